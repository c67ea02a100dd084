internal import Glibc
internal import LeakprofModel

/// Names of code that a just-in-time compiler made, from /tmp/perf-PID.map.
///
/// A line is `start size name`, the numbers in hexadecimal, as perf-record(1) reads it. Node writes one
/// with --perf-basic-prof, and the JVM and .NET can.
struct PerfMap {
    private struct Entry {
        var start: UInt64
        var end: UInt64
        var name: String
    }

    private let entries: [Entry]

    /// Reads the map of a running process; `nil` when there is none that belongs to its user.
    ///
    /// Lines that make no sense are skipped: the file may be written while it is read.
    init?(pid: Int32) {
        guard let path = Self.path(of: pid), let text = SmallFile.read(path) else { return nil }
        self.init(text: text)
    }

    init(text: String) {
        var entries: [Entry] = []
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ", maxSplits: 2)
            guard fields.count == 3, let start = Self.hexadecimal(fields[0]),
                let size = Self.hexadecimal(fields[1]), size > 0,
                !start.addingReportingOverflow(size).overflow
            else { continue }
            entries.append(Entry(start: start, end: start + size, name: String(fields[2])))
        }
        // Code that replaces other code at the same address is written later.
        self.entries = entries.enumerated().sorted {
            ($0.element.start, $0.offset) < ($1.element.start, $1.offset)
        }.map(\.element)
    }

    /// The name of the code at `address`.
    func name(at address: UInt64) -> String? {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].start <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, address < entries[low - 1].end else { return nil }
        return entries[low - 1].name
    }

    private static func hexadecimal(_ text: Substring) -> UInt64? {
        UInt64(text.hasPrefix("0x") ? text.dropFirst(2) : text, radix: 16)
    }

    /// In a container, the file has the container's process ID in its name and lies in its /tmp.
    private static func path(of pid: Int32) -> String? {
        guard let status = SmallFile.read("/proc/\(pid)/status") else { return nil }
        let line = status.split(separator: "\n").first { $0.hasPrefix("NSpid:") }
        let inner = line?.split(separator: "\t").last.flatMap { Int32($0) } ?? pid
        let path = "/proc/\(pid)/root/tmp/perf-\(inner).map"
        var file = stat()
        var process = stat()
        guard lstat(path, &file) == 0, stat("/proc/\(pid)", &process) == 0,
            file.st_mode & S_IFMT == S_IFREG, file.st_uid == process.st_uid
        else { return nil }
        return path
    }
}
