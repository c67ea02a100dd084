import LeakprofTestSupport
import Testing

/// What a library that is loaded into every process must not do, read from the file itself.
@Suite struct ShimHygieneTests {
    private func readelf(_ flags: String) async throws -> [Substring] {
        try await Programs.succeed("readelf", [flags, BuiltProducts.shim]).split(separator: "\n")
    }

    /// The names in CShim/Interpose/hooks.h.
    private func hookedFunctions() throws -> [String] {
        let table = try Files.text(of: "\(BuiltProducts.root)/CShim/Interpose/hooks.h")
        let names = table.split(separator: "\n").compactMap { line -> String? in
            let row = line.drop { $0 == " " }
            guard row.hasPrefix("LP_HOOK(") else { return nil }
            return String(row.dropFirst("LP_HOOK(".count).prefix { $0 != "," })
        }
        try #require(names.count > 10)
        return names
    }

    @Test func `it needs libc and nothing else`() async throws {
        let needed = try await readelf("-dW").filter { $0.contains("(NEEDED)") }
        #expect(needed.count == 1)
        #expect(needed.allSatisfy { $0.contains("[libc.so.6]") })
    }

    @Test func `it exports the hooked functions, dlclose, prctl and its own two`() async throws {
        let symbols = try await Programs.succeed(
            "nm", ["-D", "--defined-only", BuiltProducts.shim]
        ).split(separator: "\n").compactMap { line -> String? in
            let fields = line.split(separator: " ")
            // Lowercase: local.
            return fields[1].first?.isUppercase == true ? String(fields[2]) : nil
        }
        #expect(
            Set(symbols)
                == Set(
                    try hookedFunctions() + [
                        "dlclose", "prctl", "leakshim_snapshot", "leakshim_version",
                    ]))
    }

    @Test func `the export map lists every hooked function`() throws {
        let map = try Files.text(of: "\(BuiltProducts.root)/CShim/Interpose/exports.map")
        for name in try hookedFunctions() { #expect(map.contains("        \(name);\n")) }
    }

    @Test func `every hooked function is in the allocator-family sample`() throws {
        let sample = try Files.text(of: "\(BuiltProducts.root)/Samples/allocator-family.c")
        for name in try hookedFunctions() { #expect(sample.contains("\(name)(")) }
    }

    @Test func `its thread-local memory is there from the start`() async throws {
        let relocations = try await readelf("-rW")
        #expect(relocations.contains { $0.contains("TPOFF64") })
        #expect(!relocations.contains { $0.contains("DTPMOD") || $0.contains("TLSDESC") })
        let segments = try await readelf("-lW").filter { $0.contains("  TLS  ") }
        // Offset, addresses, file size, memory size.
        let bytes = segments.first?.split(separator: " ").dropFirst(5).first
            .flatMap { Int($0.dropFirst(2), radix: 16) }
        #expect(try #require(bytes) <= 64)
    }

    @Test func `it calls nothing that allocates, locks, prints or ends the process`() async throws {
        let undefined = Set(
            try await Programs.succeed("nm", ["-D", "--undefined-only", BuiltProducts.shim])
                .split(separator: "\n").compactMap { line in
                    line.split(separator: " ").last.map { String($0.prefix { $0 != "@" }) }
                })
        // libgcc's unwinder refers to the first four weakly, for thread-safe registration of unwind
        // information by hand, which nothing here does; linkers and start files to the others.
        let weak: Set = [
            "__pthread_key_create", "pthread_mutex_lock", "pthread_mutex_unlock", "pthread_once",
            "_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__cxa_finalize",
            "__gmon_start__",
        ]
        let plain: Set = [
            "__errno_location", "memcpy", "memset", "strlen", "strnlen", "strcmp", "strncmp",
            "strchr", "strrchr", "memrchr", "bcmp",
        ]
        let kernel: Set = [
            "syscall", "clock_gettime", "getauxval", "geteuid", "getppid", "getpagesize", "lseek",
            "sigaction", "sigfillset", "__libc_current_sigrtmin", "__libc_current_sigrtmax",
        ]
        // dl_iterate_phdr, which takes the loader's lock, where glibc is too old to be asked otherwise.
        let loader: Set = ["dlsym", "dl_iterate_phdr", "environ", "gnu_get_libc_version"]
        let known = weak.union(plain).union(kernel).union(loader)
        #expect(undefined.subtracting(known) == [])
    }

    /// It loads on hosts as old as RHEL 7: what is newer is looked up, or weak.
    @Test func `it needs no glibc newer than 2.17`() async throws {
        // What the loader asks of a library before it looks at any symbol, weak ones included.
        let versions = try await readelf("-VW").flatMap { line in
            line.split(separator: " ").filter { $0.hasPrefix("GLIBC_") }.map {
                String($0.dropFirst("GLIBC_".count))
            }
        }
        #expect(!versions.isEmpty)
        for version in versions {
            let numbers = version.split(separator: ".").compactMap { Int($0) }
            #expect(numbers.count >= 2 && (numbers[0], numbers[1]) <= (2, 17), "\(version)")
        }
    }

    @Test func `its memory is not executable and its relocations are read-only`() async throws {
        let segments = try await readelf("-lW")
        #expect(segments.contains { $0.contains("GNU_RELRO") })
        let stack = segments.first { $0.contains("GNU_STACK") }
        #expect(stack.map { !$0.contains("RWE") } ?? false)
        #expect(try await readelf("-dW").contains { $0.contains("NOW") })
    }
}
