internal import Glibc
internal import LeakprofModel
internal import SystemPackage

/// A process as /proc shows it.
struct LiveProcess {
    /// In the analyzer's own pid namespace.
    let pid: Int32
    let startTicks: UInt64

    /// `nil` when there is no such process, or it has ended.
    init?(pid: Int32) {
        guard let start = ProcFile.start(of: pid), !start.hasEnded else { return nil }
        self.pid = pid
        startTicks = start.ticks
    }

    private var directory: String { "/proc/\(pid)" }

    /// The command's name, as ps(1) shows it.
    var name: String? {
        ProcFile.read("\(directory)/comm").map { $0.trimmingSuffix("\n") }
    }

    var executable: String? { ProcFile.link("\(directory)/exe") }

    var arguments: [String] {
        guard let raw = ProcFile.read("\(directory)/cmdline") else { return [] }
        return raw.trimmingSuffix("\0").split(separator: "\0", omittingEmptySubsequences: false)
            .map(String.init)
    }

    /// The process ID in its innermost pid namespace, which is the one the shim knows.
    var innermostPid: Int32 {
        guard let status = ProcFile.read("\(directory)/status") else { return pid }
        let line = status.split(separator: "\n").first { $0.hasPrefix("NSpid:") }
        return line?.split(separator: "\t").last.flatMap { Int32($0) } ?? pid
    }

    var residentBytes: Int64? {
        guard let status = ProcFile.read("\(directory)/status"),
            let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") })
        else { return nil }
        return line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first
            .flatMap { Int64($0) }.map { $0 * 1024 }
    }

    /// The tightest memory limit of the control groups the process is in.
    var memoryLimitBytes: Int64? {
        guard let groups = ProcFile.read("\(directory)/cgroup") else { return nil }
        var limit: Int64?
        for line in groups.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let isUnified = fields[0] == "0" && fields[1].isEmpty
            guard isUnified || fields[1].split(separator: ",").contains("memory") else { continue }
            let root = isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
            let file = isUnified ? "memory.max" : "memory.limit_in_bytes"
            var group = String(fields[2])
            while true {
                let text = ProcFile.read("\(root)\(group == "/" ? "" : group)/\(file)")
                // cgroup v1 says "no limit" with a number near 2^63.
                if let found = text.flatMap({ Int64($0.trimmingSuffix("\n")) }), found < 1 << 62 {
                    limit = min(limit ?? found, found)
                }
                guard let slash = group.lastIndex(of: "/"), group != "/" else { break }
                group = slash == group.startIndex ? "/" : String(group[..<slash])
            }
        }
        return limit
    }

    /// The path of the region the process has mapped, openable from here.
    var regionPath: String? {
        guard let maps = ProcFile.read("\(directory)/maps") else { return nil }
        for line in maps.split(separator: "\n") where line.hasSuffix(".region") {
            guard let slash = line.firstIndex(of: "/") else { continue }
            let path = String(line[slash...])
            guard RegionName(path.lastPathComponent) != nil else { continue }
            // In a container, the path is the container's.
            let inRoot = "\(directory)/root\(path)"
            return access(inRoot, R_OK) == 0 ? inRoot : path
        }
        return nil
    }

    /// Whether the shim's library is mapped.
    var hasShim: Bool {
        ProcFile.read("\(directory)/maps")?.contains("/libleakshim.so") ?? false
    }

    /// All processes that can be seen.
    static func all() -> [LiveProcess] {
        ProcFile.names(in: "/proc").compactMap { Int32($0) }.sorted()
            .compactMap { LiveProcess(pid: $0) }
    }
}

/// A region's file name, `<pid>.<start-ticks>.region`, or that of a copy the target wrote.
struct RegionName {
    let pid: Int32
    let startTicks: UInt64
    let isCopy: Bool

    init?(_ name: String) {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count >= 3, let pid = Int32(parts[0]), let ticks = UInt64(parts[1]),
            parts.last == "region" && parts.count == 3 || parts.last == "copy" && parts.count == 4
        else { return nil }
        self.pid = pid
        startTicks = ticks
        isCopy = parts.last == "copy"
    }
}

/// Small files that the kernel writes when they are read.
enum ProcFile {
    /// The whole file as text; `nil` when it can't be read.
    static func read(_ path: String) -> String? {
        guard
            let file = try? FileDescriptor.open(
                FilePath(path), .readOnly, options: [.closeOnExec])
        else { return nil }
        defer { try? file.close() }
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 14)
        while let got = try? chunk.withUnsafeMutableBytes({ try file.read(into: $0) }), got > 0 {
            text.append(contentsOf: chunk[..<got])
        }
        return String(decoding: text, as: UTF8.self)
    }

    static func link(_ path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let length = buffer.withUnsafeMutableBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                characters.baseAddress.map { readlink(path, $0, characters.count) } ?? -1
            }
        }
        return length < 0 ? nil : String(decoding: buffer[..<length], as: UTF8.self)
    }

    /// From proc(5)'s stat: when a process started, in clock ticks since boot, and whether it has ended
    /// and only waits for its parent to ask for its status.
    static func start(of pid: Int32) -> (ticks: UInt64, hasEnded: Bool)? {
        guard let stat = read("/proc/\(pid)/stat"), let name = stat.lastIndex(of: ")") else {
            return nil
        }
        // The state behind the name is field 3, the time is field 22.
        let fields = stat[stat.index(after: name)...].split(separator: " ")
        guard fields.count > 19, let ticks = UInt64(fields[19]) else { return nil }
        return (ticks, fields[0] == "Z" || fields[0] == "X")
    }

    /// The names in a directory; none when it can't be read.
    static func names(in directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }
}

extension String {
    fileprivate func trimmingSuffix(_ suffix: String) -> String {
        hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
    }
}
