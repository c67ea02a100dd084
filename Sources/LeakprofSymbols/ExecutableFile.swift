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
            || leakprof_has_capabilities(descriptor) != 0

        elf_version(UInt32(EV_CURRENT))
        guard let elf = elf_begin(descriptor, ELF_C_READ_MMAP, nil), elf_kind(elf) == ELF_K_ELF
        else {
            kind = Self.scriptKind(descriptor)
            hasDebugInformation = false
            isSanitized = false
            return
        }
        defer { elf_end(elf) }
        let sections = Self.sectionNames(elf)
        hasDebugInformation = sections.contains(".debug_info") || sections.contains(".zdebug_info")
        isSanitized = Self.neededLibraries(elf).contains { library in
            ["libasan.so", "libtsan.so", "liblsan.so", "libmsan.so"].contains {
                library.hasPrefix($0)
            }
        }
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
