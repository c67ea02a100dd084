internal import CElfutils
internal import Glibc

/// What kind of program a file is, as far as the shim can be loaded into it.
package enum ExecutableKind: Sendable, Equatable {
    /// A program for this machine that glibc's loader starts: the shim can be loaded.
    case dynamic
    /// There is no loader that would read LD_PRELOAD.
    case staticallyLinked(isGo: Bool)
    /// Another libc's loader; its path.
    case otherLoader(String)
    /// A program for another kind of processor.
    case otherArchitecture
    /// A script; the interpreter's path. What matters is the interpreter.
    case script(interpreter: String)
    /// Neither an ELF file nor a script.
    case unknown
}

/// A program file, looked at before it is run.
package struct ExecutableFile: Sendable {
    package let path: String
    package let kind: ExecutableKind
    /// The program runs with more rights than its caller, so the loader ignores LD_PRELOAD.
    package let gainsPrivileges: Bool
    /// Debug information is in the file itself.
    package let hasDebugInformation: Bool
    /// The program brings its own allocator instrumentation (AddressSanitizer and its kin).
    package let isSanitized: Bool
    /// The function by which the program allocates past any preloaded library: a malloc of its own, or that
    /// of an allocator which is linked into it under another name.
    package let ownMalloc: String?

    /// `nil` when the file can't be read.
    package init?(path: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            return nil
        }
        self.path = path
        let isOwnUser = status.st_uid == geteuid()
        gainsPrivileges =
            status.st_mode & S_ISUID != 0 && !isOwnUser
            || status.st_mode & S_ISGID != 0 && status.st_gid != getegid()
            // Root has them all.
            || geteuid() != 0 && leakprof_has_capabilities(descriptor) != 0

        elf_version(UInt32(EV_CURRENT))
        guard let elf = elf_begin(descriptor, ELF_C_READ_MMAP, nil), elf_kind(elf) == ELF_K_ELF
        else {
            kind = Self.scriptKind(descriptor)
            hasDebugInformation = false
            isSanitized = false
            ownMalloc = nil
            return
        }
        defer { elf_end(elf) }
        let sections = Self.sectionNames(elf)
        hasDebugInformation = sections.contains(".debug_info") || sections.contains(".zdebug_info")
        let functions = Self.definedFunctions(elf, among: Self.sanitizers + Self.allocators)
        isSanitized =
            Self.neededLibraries(elf).contains { library in
                ["libasan.so", "libtsan.so", "liblsan.so", "libmsan.so", "libhwasan.so"].contains {
                    library.hasPrefix($0)
                }
            } || Self.sanitizers.contains { functions.contains($0) }
        ownMalloc = Self.allocators.first { functions.contains($0) }
        kind = Self.kind(of: elf, sections: sections)
    }

    private static func kind(of elf: OpaquePointer, sections: Set<String>) -> ExecutableKind {
        var header = GElf_Ehdr()
        guard gelf_getehdr(elf, &header) != nil else { return .unknown }
        guard header.e_machine == leakprof_native_machine(), gelf_getclass(elf) == ELFCLASS64 else {
            return .otherArchitecture
        }
        guard let loader = loader(of: elf) else {
            return .staticallyLinked(isGo: sections.contains(".go.buildinfo"))
        }
        let name = loader.split(separator: "/").last.map(String.init) ?? loader
        return name.hasPrefix("ld-linux") || name.hasPrefix("ld64") || name.hasPrefix("ld-2.")
            ? .dynamic : .otherLoader(loader)
    }

    /// The path in PT_INTERP.
    private static func loader(of elf: OpaquePointer) -> String? {
        var count = 0
        guard elf_getphdrnum(elf, &count) == 0 else { return nil }
        for index in 0..<min(count, 1024) {
            var segment = GElf_Phdr()
            guard gelf_getphdr(elf, Int32(index), &segment) != nil, segment.p_type == PT_INTERP,
                segment.p_filesz > 1, segment.p_filesz < 4096,
                let data = elf_getdata_rawchunk(
                    elf, Int64(clamping: segment.p_offset), Int(segment.p_filesz), ELF_T_BYTE),
                let bytes = data.pointee.d_buf
            else { continue }
            let text = UnsafeRawBufferPointer(start: bytes, count: Int(segment.p_filesz))
            return String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
        }
        return nil
    }

    private static func sectionNames(_ elf: OpaquePointer) -> Set<String> {
        var names: Set<String> = []
        var stringSection = 0
        guard elf_getshdrstrndx(elf, &stringSection) == 0 else { return names }
        var section = elf_nextscn(elf, nil)
        while let current = section {
            var header = GElf_Shdr()
            if gelf_getshdr(current, &header) != nil,
                let name = elf_strptr(elf, stringSection, Int(header.sh_name))
            {
                names.insert(String(cString: name))
            }
            section = elf_nextscn(elf, current)
        }
        return names
    }

    /// Defined in programs that have a sanitizer's library linked into them.
    private static let sanitizers = [
        "__asan_init", "__tsan_init", "__lsan_init", "__msan_init", "__hwasan_init",
    ]

    /// What allocates in programs that are linked with an allocator: jemalloc's, mimalloc's and tcmalloc's
    /// names where they are not to be malloc, as in Rust programs.
    private static let allocators = [
        "malloc", "_rjem_malloc", "je_malloc", "mi_malloc", "tc_malloc",
    ]

    /// Those of the names that the program defines as functions.
    private static func definedFunctions(_ elf: OpaquePointer, among names: [String]) -> Set<String>
    {
        var found: Set<String> = []
        var section = elf_nextscn(elf, nil)
        while let current = section {
            defer { section = elf_nextscn(elf, current) }
            var header = GElf_Shdr()
            guard gelf_getshdr(current, &header) != nil,
                header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB,
                header.sh_entsize > 0, let data = elf_getdata(current, nil)
            else { continue }
            for index in 0..<Int32(clamping: header.sh_size / header.sh_entsize) {
                var symbol = GElf_Sym()
                guard gelf_getsym(data, index, &symbol) != nil, symbol.st_shndx != SHN_UNDEF,
                    let text = elf_strptr(elf, Int(header.sh_link), Int(symbol.st_name))
                else { continue }
                for name in names where strcmp(text, name) == 0 { found.insert(name) }
            }
        }
        return found
    }

    /// The DT_NEEDED entries.
    private static func neededLibraries(_ elf: OpaquePointer) -> [String] {
        var libraries: [String] = []
        var section = elf_nextscn(elf, nil)
        while let current = section {
            defer { section = elf_nextscn(elf, current) }
            var header = GElf_Shdr()
            guard gelf_getshdr(current, &header) != nil, header.sh_type == SHT_DYNAMIC,
                header.sh_entsize > 0, let data = elf_getdata(current, nil)
            else { continue }
            for index in 0..<Int32(clamping: min(header.sh_size / header.sh_entsize, 4096)) {
                var entry = GElf_Dyn()
                guard gelf_getdyn(data, index, &entry) != nil, entry.d_tag == Int64(DT_NEEDED),
                    let name = elf_strptr(elf, Int(header.sh_link), Int(entry.d_un.d_val))
                else { continue }
                libraries.append(String(cString: name))
            }
        }
        return libraries
    }

    private static func scriptKind(_ descriptor: Int32) -> ExecutableKind {
        var bytes = [UInt8](repeating: 0, count: 256)
        let got = pread(descriptor, &bytes, bytes.count, 0)
        guard got > 2, bytes.starts(with: Array("#!".utf8)) else { return .unknown }
        let line = bytes[2..<got].prefix { $0 != UInt8(ascii: "\n") }
        let words = String(decoding: line, as: UTF8.self).split(whereSeparator: {
            $0 == " " || $0 == "\t"
        })
        return words.first.map { .script(interpreter: String($0)) } ?? .unknown
    }
}
