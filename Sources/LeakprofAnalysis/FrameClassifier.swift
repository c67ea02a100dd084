internal import LeakprofModel

/// Tells the frames that only carry out an allocation from those that decided to make it.
///
/// Below the line that wants memory lie allocator wrappers (`xmalloc`), the language's own library
/// (`operator new`, `std::vector`, `swift_allocObject`), and libc. Their lines are the same for every
/// caller; a report that stopped there would name `new_allocator.h` for every C++ program.
enum FrameClassifier {
    /// Whether the frame belongs to the language's runtime or to an allocator.
    static func isAllocationMachinery(_ frame: Frame, in mapping: Mapping?) -> Bool {
        if let mapping, isRuntimeLibrary(mapping.name) { return true }
        // Where a stack was cut is not where memory was asked for.
        if frame.function.hasPrefix("[stack cut") { return true }
        if frame.function.hasPrefix(redactedMachinery) { return true }
        if isRuntimeSource(frame.file) { return true }
        let name = FunctionName(frame.function).qualified
        return wrappers.contains(name) || hasRuntimePrefix(name)
    }

    /// Whether the frame belongs to what a program in JavaScript or Java runs on: the virtual machine, or the
    /// language's own library.
    static func isManagedRuntime(_ frame: Frame, in mapping: Mapping?) -> Bool {
        if let mapping {
            return mapping.name == "node" || mapping.name == "nodejs"
                || virtualMachines.contains { mapping.name.utf8.starts(with: $0.utf8) }
        }
        return frame.file.utf8.starts(with: "node:".utf8)
            || javaPackages.contains { frame.function.utf8.starts(with: $0.utf8) }
            || javaStubs.contains { frame.function.utf8.starts(with: $0.utf8) }
    }

    private static let virtualMachines = ["libnode.so", "libjvm.so", "libjli.so"]
    private static let javaPackages = ["java.", "javax.", "jdk.", "sun.", "com.sun."]
    /// Of interpreted methods, a perf map has no names.
    private static let javaStubs = ["Interpreter", "StubRoutines", "I2C/C2I adapters"]

    /// Whether the frame belongs to how threads and programs begin, which every stack has in common.
    static func isEntry(_ frame: Frame) -> Bool { entries.contains(frame.function) }

    private static let entries: Set<String> = [
        "_start", "__libc_start_main", "__libc_start_main_impl", "__libc_start_call_main",
        "__libc_start_main@@GLIBC_2.34", "start_thread", "clone", "clone3", "__clone", "__clone3",
        "call_init", "_dl_init", "_dl_start_user",
    ]

    /// What names of machinery begin with after a ``Redaction``, which would have hidden what they are.
    static let redactedMachinery = "[allocator "

    /// Whether a name is one that every program may have and that tells nothing of this one.
    static func isCommon(_ function: String) -> Bool {
        function == "main" || entries.contains(function) || wrappers.contains(function)
    }

    /// Whether a file is a library that every program of its language has, by its whole name.
    static func isCommonLibrary(_ name: String) -> Bool {
        runtimeLibraries.contains { prefix in
            name.hasPrefix(prefix)
                && name.utf8.dropFirst(prefix.utf8.count).allSatisfy {
                    $0 == UInt8(ascii: ".") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                }
        }
    }

    static func isRuntimeLibrary(_ name: String) -> Bool {
        runtimeLibraries.contains { name.utf8.starts(with: $0.utf8) }
    }

    private static let runtimeLibraries = [
        "libc.so", "libc-2.", "libm.so", "libstdc++.so", "libc++.so", "libc++abi.so", "libgcc_s.so",
        "libswiftCore.so", "libswift_", "libjemalloc.so", "libtcmalloc", "libmimalloc.so",
        "libleakshim.so", "libasan.so",
    ]

    /// Headers and libraries whose code is compiled into the program.
    private static func isRuntimeSource(_ file: String) -> Bool {
        file.containsBytes(of: "/include/c++/") || file.hasPrefix("/rustc/")
            || file.containsBytes(of: "/rust/library/")
            || file.containsBytes(of: "/lib/gcc/") || file.containsBytes(of: "/libstdc++-v3/")
    }

    private static func hasRuntimePrefix(_ name: String) -> Bool {
        // As bytes: characters take several times as long, and this is asked of every frame.
        let bytes = name.utf8
        return runtimePrefixes.contains { bytes.starts(with: $0.utf8) }
            // "generic specialization <…> of static Swift.Array.append"
            || bytes.starts(with: "generic specialization".utf8)
                && name.containsBytes(of: " Swift.")
            // What a class's initializer is called through: its caller made the object.
            || bytes.suffix(allocatingInit.utf8.count).elementsEqual(allocatingInit.utf8)
    }

    private static let allocatingInit = ".__allocating_init"

    private static let runtimePrefixes = [
        // C++
        "std::", "__gnu_cxx::", "operator new",
        // Swift
        "swift_slowAlloc", "swift_alloc", "swift_initStackObject", "swift_bufferAllocate",
        "swift::", "Swift.",
        // Rust
        "alloc::", "core::", "hashbrown::", "<alloc::", "<core::", "<std::", "<hashbrown::",
        "__rust_", "__rdl_", "__rg_",
        // CPython's allocators
        "PyMem_", "_PyMem_", "PyObject_Malloc", "PyObject_Calloc", "PyObject_Realloc",
        "_PyObject_Malloc", "_PyObject_GC_", "PyType_GenericAlloc",
    ]

    /// C allocators and wrappers around them, by every name in common use.
    private static let wrappers: Set<String> = {
        var names: Set<String> = []
        let functions = [
            "malloc", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc",
            "posix_memalign", "valloc", "pvalloc", "strdup", "strndup", "memdup",
        ]
        let prefixes = [
            "", "_", "__", "__libc_", "x", "z", "g_", "je_", "mi_", "tc_", "rpl_", "ztry",
            "zmalloc_",
            "CRYPTO_", "OPENSSL_", "xml", "ck_", "safe_", "s", "u",
        ]
        let suffixes = [
            "", "0", "_n", "0_n", "_usable", "_usable_internal", "_internal", "_aligned", "_impl",
        ]
        for function in functions {
            for prefix in prefixes {
                for suffix in suffixes { names.insert(prefix + function + suffix) }
            }
        }
        names.formUnion([
            "g_slice_alloc", "g_slice_alloc0", "g_slice_copy", "g_try_malloc", "g_try_malloc0",
            "apr_palloc", "apr_pcalloc", "ngx_alloc", "ngx_calloc", "ngx_palloc", "ngx_pnalloc",
            "ngx_pcalloc", "ngx_palloc_large", "ngx_palloc_block", "sqlite3MemMalloc",
            "sqlite3Malloc", "sqlite3DbMallocRaw", "sqlite3DbMallocRawNN", "sqlite3DbMallocZero",
            "dbMallocRawFinish", "mallocWithAlarm", "palloc", "palloc0", "MemoryContextAlloc",
            "AllocSetAlloc", "zend_mm_alloc_huge", "_emalloc", "zcalloc_num", "zmalloc_usable",
        ])
        return names
    }()
}
