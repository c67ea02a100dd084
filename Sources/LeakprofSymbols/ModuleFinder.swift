internal import CElfutils
internal import Glibc
internal import LeakprofModel

/// Finds the file a mapping came from: the very file, by its build ID, never another one of its name.
struct ModuleFinder {
    /// The running target in the analyzer's pid namespace; `nil` when it is gone.
    let pid: Int32?
    /// Directories with separate debug files, searched for the file itself when it is gone.
    let debugDirectories: [String]
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
            guard let descriptor = Self.open(candidate) else { continue }
            sawAnyFile = true
            guard
                let module = DwflModule(
                    descriptor: descriptor, path: candidate, start: mapping.start,
                    callbacks: callbacks)
            else { continue }
            // Without a build ID only the kernel can vouch for the file.
            if mapping.buildID.isEmpty ? module.buildID.isEmpty : module.buildID == mapping.buildID
            {
                return .found(module)
            }
            sawOtherBuild = true
        }
        if mapping.path.hasPrefix("linux-vdso"), let module = ownVdso(as: mapping) {
            return .found(module)
        }
        if sawOtherBuild { return .missing("the file has been replaced since by another build") }
        return .missing(sawAnyFile ? "it is not an ELF file" : "the file is gone")
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

    /// Opens a regular file for reading; `nil` for anything else, since a path from the target may name
    /// a pipe or a device.
    private static func open(_ path: String) -> Int32? {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { return nil }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    /// The name in /proc/PID/map_files of the mapping that begins at `start`.
    private static func firstMapping(of pid: Int32, at start: UInt64) -> Substring? {
        guard let maps = SmallFile.read("/proc/\(pid)/maps") else { return nil }
        let prefix = String(start, radix: 16) + "-"
        return maps.split(separator: "\n").first { $0.hasPrefix(prefix) }?.prefix { $0 != " " }
    }

    /// The kernel gives every process the same vDSO, so this process's own serves if it is the same build.
    private func ownVdso(as mapping: Mapping) -> DwflModule? {
        guard let image = leakprof_own_vdso() else { return nil }
        let bytes = Int(mapping.limit - mapping.start)
        guard bytes <= 1 << 16 else { return nil }
        let descriptor = leakprof_memory_file(image, bytes)
        guard descriptor >= 0,
            let module = DwflModule(
                descriptor: descriptor, path: mapping.path, start: mapping.start,
                callbacks: callbacks)
        else { return nil }
        return module.buildID == mapping.buildID ? module : nil
    }
}

/// Files that are read whole.
enum SmallFile {
    /// The file as text; `nil` when it can't be read or has more than `limit` bytes.
    static func read(_ path: String, limit: Int = 64 << 20) -> String? {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= limit {
            let got = Glibc.read(descriptor, &chunk, chunk.count)
            guard got > 0 else { return got == 0 ? String(decoding: bytes, as: UTF8.self) : nil }
            bytes.append(contentsOf: chunk[..<got])
        }
        return nil
    }
}
