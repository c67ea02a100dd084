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
        ProcFile.bytes("\(directory)/comm").map { String(decoding: $0.dropLast(), as: UTF8.self) }
    }

    var executable: String? { ProcFile.link("\(directory)/exe") }

    var arguments: [String] {
        guard var raw = ProcFile.bytes("\(directory)/cmdline", limit: 1 << 20) else { return [] }
        if raw.last == 0 { raw.removeLast() }
        return raw.split(separator: 0, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
    }

    /// The process ID in its innermost pid namespace, which is the one the shim knows.
    var innermostPid: Int32 {
        let ids = ProcFile.value("NSpid:", in: "\(directory)/status")
        return ids?.split(separator: "\t").last.flatMap { Int32($0) } ?? pid
    }

    /// The user and the group whose rights the process has.
    ///
    /// Of a process that has root's beside another user's, the other user's: that one may have made it.
    var owner: (user: UInt32, group: UInt32)? {
        func identity(_ name: String) -> UInt32? {
            // Real, effective, saved, and for file systems.
            let ids = ProcFile.value(name, in: "\(directory)/status")?.split(separator: "\t")
                .compactMap { UInt32($0) }
            guard let ids, ids.count == 4 else { return nil }
            return ids[1] != 0 ? ids[1] : ids[0]
        }
        guard let user = identity("Uid:"), let group = identity("Gid:") else { return nil }
        return (user, group)
    }

    var residentBytes: Int64? { bytes("VmRSS:") }

    /// The most it has had; the kernel adds up lately and may be some pages behind.
    var peakResidentBytes: Int64? { bytes("VmHWM:") }

    /// A size in its status, which proc(5) gives in KiB.
    private func bytes(_ name: String) -> Int64? {
        ProcFile.value(name, in: "\(directory)/status")?.split(separator: " ").first
            .flatMap { Int64($0) }.map { $0.multipliedReportingOverflow(by: 1024).partialValue }
    }

    /// The tightest memory limit of the control groups the process is in.
    var memoryLimitBytes: Int64? {
        guard let groups = ProcFile.lines("\(directory)/cgroup") else { return nil }
        var limit: Int64?
        for line in groups {
            let fields = String(decoding: line, as: UTF8.self).split(
                separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let isUnified = fields[0] == "0" && fields[1].isEmpty
            guard isUnified || fields[1].split(separator: ",").contains("memory") else { continue }
            let root = isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
            let file = isUnified ? "memory.max" : "memory.limit_in_bytes"
            var group = String(fields[2])
            while true {
                let text = ProcFile.lines("\(root)\(group == "/" ? "" : group)/\(file)")?.first
                let found = text.flatMap { Int64(String(decoding: $0, as: UTF8.self)) }
                // cgroup v1 says "no limit" with a number near 2^63.
                if let found, found < 1 << 62 {
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
        guard let maps = ProcFile.lines("\(directory)/maps") else { return nil }
        let suffix = Array(".region".utf8)
        for line in maps where line.suffix(suffix.count).elementsEqual(suffix) {
            guard let slash = line.firstIndex(of: UInt8(ascii: "/")) else { continue }
            let path = String(decoding: line[slash...], as: UTF8.self)
            guard RegionName(path.lastPathComponent) != nil else { continue }
            // In a container, the path is the container's.
            let inRoot = "\(directory)/root\(path)"
            return access(inRoot, R_OK) == 0 ? inRoot : path
        }
        return nil
    }

    /// Whether the shim's library is mapped.
    var hasShim: Bool {
        let name = Array("/libleakshim.so".utf8)
        return ProcFile.lines("\(directory)/maps")?.contains { $0.firstRange(of: name) != nil }
            ?? false
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
    /// The file's bytes up to `limit`; `nil` when it can't be read.
    ///
    /// Much in these files is the target's word, its command line and what it calls itself, so there may be
    /// any bytes and any number of them.
    static func bytes(_ path: String, limit: Int = 64 << 20) -> [UInt8]? {
        guard
            let file = try? FileDescriptor.open(
                FilePath(path), .readOnly, options: [.closeOnExec])
        else { return nil }
        defer { try? file.close() }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 14)
        while bytes.count < limit,
            let got = try? chunk.withUnsafeMutableBytes({ try file.read(into: $0) }), got > 0
        {
            bytes.append(contentsOf: chunk[..<min(got, limit - bytes.count)])
        }
        return bytes
    }

    /// The file's lines; `nil` when it can't be read.
    ///
    /// Taken apart as bytes: in a String, a line break behind a carriage return or a slash before an accent is
    /// another character.
    static func lines(_ path: String) -> [ArraySlice<UInt8>]? {
        bytes(path)?.split(separator: UInt8(ascii: "\n"))
    }

    /// The value behind `name` and a tab in a file of such lines.
    static func value(_ name: String, in path: String) -> String? {
        let line = lines(path)?.first { $0.starts(with: Array("\(name)\t".utf8)) }
        return line.map { String(decoding: $0.dropFirst(name.utf8.count + 1), as: UTF8.self) }
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
        // The name in parentheses may hold parentheses itself.
        guard let stat = bytes("/proc/\(pid)/stat"),
            let name = stat.lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        // The state behind the name is field 3, the time is field 22.
        let fields = stat[(name + 1)...].split(separator: UInt8(ascii: " "))
        guard fields.count > 19, let ticks = UInt64(String(decoding: fields[19], as: UTF8.self))
        else { return nil }
        return (ticks, [UInt8(ascii: "Z"), UInt8(ascii: "X")].contains(fields[0].first))
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
