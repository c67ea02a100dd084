internal import CElfutils
internal import Glibc
internal import LeakprofModel

/// Finds the file a mapping came from: the very file, by its build ID, never another one of its name unless
/// paths are trusted.
struct ModuleFinder {
    /// The running target in the analyzer's pid namespace; `nil` when it is gone.
    let pid: Int32?
    /// Directories with separate debug files, searched for the file itself when it is gone.
    let debugDirectories: [String]
    /// See ``Symbolizer/Options/trustsPaths``.
    let trustsPaths: Bool
    let callbacks: UnsafePointer<Dwfl_Callbacks>

    enum Finding {
        case found(DwflModule)
        /// No file could be used, and why.
        case missing(String)
    }

    func find(_ mapping: Mapping) -> Finding {
        guard mapping.limit > mapping.start, !mapping.path.isEmpty else {
            return .missing("its path is not known")
        }
        var sawOtherBuild = false
        var sawAnyFile = false
        for candidate in candidates(for: mapping) {
            guard access(candidate, R_OK) == 0 else { continue }
            sawAnyFile = true
            guard let descriptor = Self.open(candidate) else { continue }
            guard
                let module = DwflModule(
                    descriptor: descriptor, path: candidate, start: mapping.start,
                    callbacks: callbacks)
            else { continue }
            if isOfMapping(module, mapping) { return .found(module) }
            sawOtherBuild = true
        }
        if mapping.path.hasPrefix("linux-vdso"), let module = ownVdso(as: mapping) {
            return .found(module)
        }
        if sawOtherBuild { return .missing("the file has been replaced since by another build") }
        return .missing(sawAnyFile ? "it is not an ELF file" : "the file is gone")
    }

    private func isOfMapping(_ module: DwflModule, _ mapping: Mapping) -> Bool {
        // Without a build ID only the kernel can vouch for the file.
        mapping.buildID.isEmpty
            ? trustsPaths || module.buildID.isEmpty : module.buildID == mapping.buildID
    }

    private func candidates(for mapping: Mapping) -> [String] {
        var paths: [String] = []
        if let pid {
            // What the kernel has mapped, even if the file was deleted.
            if let range = Self.firstMapping(of: pid, at: mapping.start) {
                paths.append("/proc/\(pid)/map_files/\(range)")
            }
            paths.append("/proc/\(pid)/exe")
            if mapping.path.hasPrefix("/") { paths.append("/proc/\(pid)/root\(mapping.path)") }
        }
        if mapping.path.hasPrefix("/") { paths.append(mapping.path) }
        if mapping.buildID.count > 2 {
            let file = mapping.buildID.prefix(2) + "/" + mapping.buildID.dropFirst(2) + ".debug"
            paths += debugDirectories.map { "\($0)/.build-id/\(file)" }
        }
        return paths
    }

    /// Opens a file for reading if it has an ELF header; `nil` for anything else.
    ///
    /// libdw unpacks what it takes for a compressed file or a kernel image, however large that becomes.
    private static func open(_ path: String) -> Int32? {
        guard let descriptor = RegularFile.open(path) else { return nil }
        var identification = [UInt8](repeating: 0, count: Int(EI_NIDENT))
        guard
            pread(descriptor, &identification, identification.count, 0) == identification.count,
            identification.starts(with: Array("\u{7f}ELF".utf8)),
            (1...2).contains(identification[Int(EI_CLASS)]),
            (1...2).contains(identification[Int(EI_DATA)]),
            identification[Int(EI_VERSION)] == UInt8(EV_CURRENT)
        else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    /// The name in /proc/PID/map_files of the mapping that begins at `start`.
    private static func firstMapping(of pid: Int32, at start: UInt64) -> String? {
        guard case .bytes(let maps) = SmallFile.read("/proc/\(pid)/maps") else { return nil }
        let prefix = Array((String(start, radix: 16) + "-").utf8)
        return maps.split(separator: UInt8(ascii: "\n")).first { $0.starts(with: prefix) }
            .map { String(decoding: $0.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self) }
    }

    /// The kernel gives every process the same vDSO, so this process's own serves if it is the same build.
    private func ownVdso(as mapping: Mapping) -> DwflModule? {
        guard let image = leakprof_own_vdso() else { return nil }
        // The mapping is the target's word, and the image is as long as the kernel made it.
        let bytes = mapping.limit - mapping.start
        guard bytes <= 1 << 16 else { return nil }
        let descriptor = leakprof_memory_file(image, Int(bytes))
        guard descriptor >= 0,
            let module = DwflModule(
                descriptor: descriptor, path: mapping.path, start: mapping.start,
                callbacks: callbacks)
        else { return nil }
        return module.buildID == mapping.buildID ? module : nil
    }
}
