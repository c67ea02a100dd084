internal import Glibc
internal import LeakprofFormats
package import LeakprofModel
internal import LeakprofPprof
internal import SystemPackage

/// Where a snapshot can be had from: what a user may write wherever a command takes a source.
package enum Source: Sendable {
    /// A region, and the process that writes it if that is running.
    case region(Region)
    /// A running Go program without a region: its own heap profile, read from its memory.
    case go(GoProcess)
    /// A file with a pprof profile, or a heap profile of another tool.
    case profile(path: String)
    /// A service that answers with a heap profile, such as Go's `/debug/pprof/heap`.
    case url(ProfileURL)

    /// Finds out what `text` names: a process ID, a process name, a region, a snapshot file, or an
    /// http or https URL.
    ///
    /// A file of that name wins over a process of that name. What dead processes left is looked for
    /// in `directory` and in the default recording directory.
    package static func resolve(
        _ text: String, directory: String? = nil
    ) throws(CaptureError) -> Source {
        if let url = try ProfileURL(text) { return .url(url) }
        if let pid = Int32(text), pid > 0, access(text, F_OK) != 0 {
            return try process(pid, directory)
        }
        if access(text, F_OK) == 0 { return try file(text) }
        return try process(try pid(named: text), directory)
    }

    /// Reads the snapshot; frames that the source has no names for are left to be looked up.
    ///
    /// For `startsEpoch`, see ``Region/capture(startsEpoch:)``.
    package func capture(startsEpoch: Bool) throws(CaptureError) -> Snapshot {
        switch self {
        case .region(let region):
            var snapshot = try region.capture(startsEpoch: startsEpoch)
            // A program with cgo has two heaps, and the shim sees C's.
            if let pid = region.runningProcessID(), let process = LiveProcess(pid: pid),
                let program = GoProcess(process)
            {
                program.addHeap(to: &snapshot)
            }
            return snapshot
        case .go(let process): return try process.capture()
        case .profile(let path): return try Self.decode(try Self.contents(of: path), of: path)
        case .url(let url): return try Self.decode(try url.contents(), of: url.description)
        }
    }

    private static func decode(_ bytes: [UInt8], of name: String) throws(CaptureError) -> Snapshot {
        do throws(ProfileError) {
            return try HeapProfile.decode(bytes)
        } catch {
            throw .badProfile(path: name, reason: error.description)
        }
    }

    /// Reads the goroutines of a running Go program, or those that a file has.
    package func goroutines() throws(CaptureError) -> GoroutineSnapshot {
        switch self {
        case .go(let process): return try process.goroutines()
        case .region(let region):
            guard let pid = region.runningProcessID(), let process = LiveProcess(pid: pid),
                let program = GoProcess(process)
            else { throw .unsupported("only running Go programs have goroutines") }
            return try program.goroutines()
        case .profile(let path):
            let bytes = try Self.contents(of: path)
            do throws(ProfileError) {
                return try ProfileDecoder.decodeGoroutines(bytes)
            } catch {
                throw .badProfile(path: path, reason: error.description)
            }
        case .url: throw .unsupported("goroutines are read of a running process or a file")
        }
    }

    /// The running process it is about, in the analyzer's pid namespace.
    package var runningProcessID: Int32? {
        switch self {
        case .region(let region): region.runningProcessID()
        case .go(let process): process.pid
        case .profile, .url: nil
        }
    }

    /// Whether it is a file that another tool or a snapshot left, so that nothing of a process is read.
    package var isFile: Bool {
        if case .profile = self { true } else { false }
    }

    /// The user and the group the target has, or had, or the file belongs to; `nil` when that is not known.
    package var owner: (user: UInt32, group: UInt32)? {
        switch self {
        case .region(let region): return region.owner()
        case .go(let process): return LiveProcess(pid: process.pid)?.owner
        case .profile(let path):
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            return (status.st_uid, status.st_gid)
        // Whoever answers may name any file: as root, it is read with the rights of nobody.
        case .url: return (65534, 65534)
        }
    }

    /// Whether what it has of files is their paths alone, as in other tools' profiles.
    package var trustsPaths: Bool {
        switch self {
        case .region, .go: false
        case .profile, .url: true
        }
    }

    // MARK: Files

    private static func file(_ path: String) throws(CaptureError) -> Source {
        // Whoever may not read it learns why from the region.
        if RegionName(path.lastPathComponent) != nil { return .region(Region(path: path)) }
        let first = try prefix(of: path, count: 8)
        return first == Array("LEAKREG1".utf8)
            ? .region(Region(path: path)) : .profile(path: path)
    }

    private static func prefix(of path: String, count: Int) throws(CaptureError) -> [UInt8]? {
        do {
            let file = try FileDescriptor.open(
                FilePath(path), .readOnly, options: [.closeOnExec, .nonBlocking])
            defer { try? file.close() }
            var bytes = [UInt8](repeating: 0, count: count)
            let got = try bytes.withUnsafeMutableBytes { try file.read(into: $0) }
            return got == count ? bytes : nil
        } catch {
            throw .unreadable(path: path, reason: "\(error)")
        }
    }

    /// The file's bytes; refuses what can't be a profile by its size alone.
    private static func contents(of path: String) throws(CaptureError) -> [UInt8] {
        do {
            return try read(path)
        } catch let error as CaptureError {
            throw error
        } catch {
            throw .unreadable(path: path, reason: "\(error)")
        }
    }

    private static func read(_ path: String) throws -> [UInt8] {
        let file = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec])
        defer { try? file.close() }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let got = try chunk.withUnsafeMutableBytes { try file.read(into: $0) }
            guard got > 0 else { return bytes }
            guard bytes.count <= ProfileDecoder.sizeLimit - got else {
                throw CaptureError.unreadable(
                    path: path, reason: "it has more than \(ProfileDecoder.sizeLimit) bytes")
            }
            bytes.append(contentsOf: chunk[..<got])
        }
    }

    // MARK: Processes

    /// The region of the process, or else what can be read of it without one.
    private static func process(
        _ pid: Int32, _ directory: String?
    ) throws(CaptureError) -> Source {
        if let process = LiveProcess(pid: pid), process.regionPath == nil,
            let program = GoProcess(process, directory: directory)
        {
            return .go(program)
        }
        return .region(try region(ofProcess: pid, directory))
    }

    private static func region(
        ofProcess pid: Int32, _ directory: String?
    ) throws(CaptureError) -> Region {
        if let process = LiveProcess(pid: pid) {
            if let path = process.regionPath { return Region(path: path) }
            throw .notRecorded(pid: pid, reason: ShimProbe.reasonForNoRegion(of: process))
        }
        let left = RegionDirectory.regions(ofPid: pid, in: directory)
        guard let path = left.last else {
            throw .noSuchSource("there is no process \(pid), and it left no region behind")
        }
        // Root sees every user's, and any user may leave one of any number.
        let directories = Set(left.map { $0.dropLast($0.lastPathComponent.count) })
        guard directories.count == 1 else {
            throw .ambiguousName("process \(pid)", candidates: left)
        }
        return Region(path: path)
    }

    private static func pid(named name: String) throws(CaptureError) -> Int32 {
        let own = getpid()
        let matches = LiveProcess.all().filter { process in
            process.pid != own
                && (process.name == String(name.prefix(15))
                    || process.executable?.lastPathComponent == name)
        }
        let recorded = matches.filter { $0.regionPath != nil }
        let candidates = recorded.isEmpty ? matches : recorded
        switch candidates.count {
        case 0: throw .noSuchSource("there is no file and no process called \(name)")
        case 1: return candidates[0].pid
        default:
            throw .ambiguousName(
                name,
                candidates: candidates.map { process in
                    "\(process.pid) (\(process.arguments.prefix(4).joined(separator: " ")))"
                })
        }
    }
}

/// The directories regions lie in.
enum RegionDirectory {
    /// The chosen directory and this user's default one; for root, every user's.
    static func all(_ chosen: String?) -> [String] {
        var directories = chosen.map { [$0] } ?? []
        let base = "/dev/shm"
        if geteuid() == 0 {
            directories += ProcFile.names(in: base).sorted().compactMap { name in
                isTrusted(name, in: base) ? "\(base)/\(name)" : nil
            }
        } else {
            directories.append("\(base)/leakprof-\(geteuid())")
        }
        return directories
    }

    /// Whether a name in /dev/shm is the default recording directory of the user in its name: anybody may make
    /// one of any name there, to have root take its own regions for another user's.
    private static func isTrusted(_ name: String, in base: String) -> Bool {
        guard name.hasPrefix("leakprof-"), let user = UInt32(name.dropFirst("leakprof-".count))
        else { return false }
        var status = stat()
        return lstat("\(base)/\(name)", &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
            && status.st_uid == user && status.st_mode & (S_IWGRP | S_IWOTH) == 0
    }

    /// The regions a process with this ID left, the oldest first.
    static func regions(ofPid pid: Int32, in directory: String?) -> [String] {
        all(directory).flatMap { directory in
            ProcFile.names(in: directory).compactMap { file -> (UInt64, String)? in
                guard let name = RegionName(file), name.pid == pid, !name.isCopy else { return nil }
                return (name.startTicks, "\(directory)/\(file)")
            }
        }.sorted { $0.0 < $1.0 }.map(\.1)
    }
}
