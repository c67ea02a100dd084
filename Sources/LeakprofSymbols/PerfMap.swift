internal import Glibc
internal import LeakprofModel

/// Names of code that a just-in-time compiler made, from /tmp/perf-PID.map.
///
/// A line is `start size name`, the numbers in hexadecimal, as perf-record(1) reads it. Node writes one
/// with --perf-basic-prof, and the JVM and .NET can.
package struct PerfMap {
    private struct Entry {
        var start: UInt64
        var end: UInt64
        /// Where the name lies in the file.
        var nameStart: UInt32
        var nameEnd: UInt32
    }

    /// More bytes than any map has that somebody can make use of.
    static let sizeLimit = 64 << 20

    private let bytes: [UInt8]
    private let entries: [Entry]

    /// What becomes of the map of a running process.
    enum Finding {
        /// There is none, or what is there does not belong to the process's user.
        case none
        case found(PerfMap)
        /// It has more than ``sizeLimit`` bytes.
        case tooLarge(path: String)
    }

    /// Reads the map of a running process.
    ///
    /// Lines that make no sense are skipped: the file may be written while it is read.
    static func find(pid: Int32) -> Finding {
        guard let path = path(of: pid) else { return .none }
        var process = stat()
        guard stat("/proc/\(pid)", &process) == 0 else { return .none }
        switch SmallFile.read(path, limit: sizeLimit, owner: process.st_uid) {
        case .bytes(let bytes): return .found(PerfMap(bytes))
        case .tooLarge: return .tooLarge(path: path)
        case .unreadable: return .none
        }
    }

    /// - Parameter bytes: The file; what is behind the first 64 MiB is not looked at.
    package init(_ bytes: [UInt8]) {
        var entries: [Entry] = []
        let line = UInt8(ascii: "\n")
        var start = 0
        let limit = min(bytes.count, Self.sizeLimit)
        while start < limit {
            let end = bytes[start..<limit].firstIndex(of: line) ?? limit
            if let entry = Self.entry(in: bytes[start..<end]) { entries.append(entry) }
            start = end + 1
        }
        // Code that replaces other code at the same address is written later, so its name is too.
        entries.sort { ($0.start, $0.nameStart) < ($1.start, $1.nameStart) }
        self.bytes = bytes
        self.entries = entries
    }

    private static func entry(in line: ArraySlice<UInt8>) -> Entry? {
        var rest = line
        // Some write lines as Windows does.
        if rest.last == UInt8(ascii: "\r") { rest.removeLast() }
        guard let start = takeHexadecimal(&rest), let size = takeHexadecimal(&rest), size > 0,
            !rest.isEmpty
        else { return nil }
        let (end, overflow) = start.addingReportingOverflow(size)
        guard !overflow else { return nil }
        return Entry(
            start: start, end: end, nameStart: UInt32(rest.startIndex),
            nameEnd: UInt32(rest.endIndex))
    }

    /// Takes a number and the spaces behind it; `nil` when there is none that fits.
    private static func takeHexadecimal(_ text: inout ArraySlice<UInt8>) -> UInt64? {
        let space = UInt8(ascii: " ")
        text = text.drop { $0 == space }
        var digits = text.prefix { $0 != space }
        text = text[digits.endIndex...].drop { $0 == space }
        if digits.starts(with: Array("0x".utf8)) { digits = digits.dropFirst(2) }
        guard !digits.isEmpty, digits.count <= 16 else { return nil }
        var value: UInt64 = 0
        for digit in digits {
            guard let number = Self.value(ofDigit: digit) else { return nil }
            value = value << 4 | number
        }
        return value
    }

    private static func value(ofDigit digit: UInt8) -> UInt64? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(digit - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(digit - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt64(digit - UInt8(ascii: "A") + 10)
        default: nil
        }
    }

    /// The name of the code at `address`.
    package func name(at address: UInt64) -> String? {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].start <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, address < entries[low - 1].end else { return nil }
        let entry = entries[low - 1]
        return String(decoding: bytes[Int(entry.nameStart)..<Int(entry.nameEnd)], as: UTF8.self)
            .clipped(toBytes: Frame.nameLimit)
    }

    /// The addresses that have names, in ascending order of their starts; several may start at one.
    package var ranges: some Collection<Range<UInt64>> { entries.lazy.map { $0.start..<$0.end } }

    /// In a container, the file has the container's process ID in its name and lies in its /tmp.
    private static func path(of pid: Int32) -> String? {
        guard let status = SmallFile.text("/proc/\(pid)/status") else { return nil }
        let line = status.split(separator: "\n").first { $0.hasPrefix("NSpid:") }
        let inner = line?.split(separator: "\t").last.flatMap { Int32($0) } ?? pid
        return "/proc/\(pid)/root/tmp/perf-\(inner).map"
    }
}
