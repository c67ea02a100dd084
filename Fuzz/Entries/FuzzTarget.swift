internal import CLeakprofLayout
internal import CLeakprofRecorder
internal import Glibc
internal import LeakprofAnalysis
internal import LeakprofCapture
internal import LeakprofFormats
internal import LeakprofModel
internal import LeakprofPprof
internal import LeakprofReport
internal import LeakprofSymbols

/// Code that reads what others wrote, as a fuzzer calls it.
///
/// `make fuzz` makes up inputs for it; FuzzInputTests runs those that are kept in Fuzz/Inputs.
package enum FuzzTarget: String, CaseIterable, Sendable {
    /// A file that claims to be a recording region.
    case region
    /// A file that claims to be a pprof profile, compressed or not.
    case pprof
    /// A file that claims to be another tool's heap profile.
    case formats
    /// What a target left in /tmp/perf-PID.map.
    case perfMap = "perf-map"
    /// The unwind information of a module of the target, as the shim reads it.
    case cfi
    /// The line table of a Python code object: a byte for its layout, the first line in four, and the table.
    case pythonLines = "python-lines"

    /// Reads `bytes` and makes every report of what they hold; ends the process when something is wrong.
    ///
    /// `scratch` is a directory for files that belong to one call at a time.
    package func run(_ bytes: [UInt8], scratch: String) {
        switch self {
        case .region: Self.readRegion(bytes, in: scratch)
        case .pprof: Self.readProfile(bytes)
        case .formats: Self.readFormats(bytes)
        case .perfMap: Self.readPerfMap(bytes)
        case .cfi: CFIImage(bytes)?.check()
        case .pythonLines: Self.readPythonLines(bytes)
        }
    }

    private static func readRegion(_ bytes: [UInt8], in scratch: String) {
        // The process is long gone: no process has started one tick after the machine.
        let path = "\(scratch)/1.1.region"
        write(withMatchingHeader(bytes), to: path)
        let region = Region(path: path)
        _ = try? region.inspect()
        guard let snapshot = try? region.capture(startsEpoch: false) else { return }
        require(snapshot.isConsistent, "an index that leads nowhere")
        // In place of symbols, which are not what this is about: what a snapshot file gets without them.
        readBack(snapshot)
    }

    /// Says of what begins as a region does that it has this layout and this length, as it must for anything
    /// else to be looked at.
    private static func withMatchingHeader(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.count >= MemoryLayout<lp_header>.size, bytes.starts(with: "LEAK".utf8) else {
            return bytes
        }
        var header = bytes.withUnsafeBytes { $0.loadUnaligned(as: lp_header.self) }
        header.magic = LP_MAGIC
        header.layout_version = UInt32(LP_LAYOUT_VERSION)
        header.layout_signature = lp_layout_signature()
        header.region_bytes = UInt64(bytes.count)
        return withUnsafeBytes(of: header) { Array($0) } + bytes[MemoryLayout<lp_header>.size...]
    }

    private static func readProfile(_ bytes: [UInt8]) {
        guard let snapshot = try? ProfileDecoder.decode(bytes) else { return }
        require(snapshot.isConsistent, "an index that leads nowhere")
        require(
            snapshot.locations.allSatisfy { !$0.frames.isEmpty }, "a location without a frame")
        readBack(snapshot)
    }

    private static func readFormats(_ bytes: [UInt8]) {
        guard let snapshot = try? HeapProfile.decode(bytes) else { return }
        require(snapshot.isConsistent, "an index that leads nowhere")
        readBack(snapshot)
    }

    private static func readPerfMap(_ bytes: [UInt8]) {
        let map = PerfMap(bytes)
        for address: UInt64 in [0, 1, 0x1000, 0x1001, 0x7fff_ffff_ffff, .max - 1, .max] {
            _ = map.name(at: address)
        }
        // Whatever is named lies in its range.
        for entry in map.ranges.prefix(1000) {
            require(entry.lowerBound < entry.upperBound, "an empty range")
            _ = map.name(at: entry.lowerBound)
            _ = map.name(at: entry.upperBound)
        }
    }

    private static func readPythonLines(_ bytes: [UInt8]) {
        guard bytes.count >= 5 else { return }
        let layouts = PythonLineTable.Layout.allCases
        let firstLine = bytes[1...4].reduce(0) { $0 << 8 | Int64($1) }
        let table = PythonLineTable(
            layout: layouts[Int(bytes[0]) % layouts.count], bytes: bytes[5...], firstLine: firstLine
        )
        for offset in [.min, -1] + Array(0...4 * bytes.count) + [.max] {
            let line = table.line(at: offset)
            require(line >= 0 && line <= Int64(Int32.max), "a line that no file has")
        }
        for offset in stride(from: UInt32(0), to: UInt32(2 * bytes.count), by: 64) {
            let start = lp_python_line_start(
                UInt32(bytes[0]) % 3, Array(bytes[5...]), UInt64(bytes.count - 5), offset)
            require(start <= offset, "a line that begins behind itself")
        }
    }

    /// A snapshot survives being written and read; then come the reports.
    private static func readBack(_ snapshot: Snapshot) {
        guard let file = try? ProfileEncoder.encode(snapshot, tool: "fuzz") else {
            fail("a snapshot that can't be written")
        }
        do {
            let copy = try ProfileDecoder.decode(file)
            require(copy.isConsistent, "an index that leads nowhere, in a snapshot of our own")
            require(
                copy.samples == snapshot.samples && copy.mappings == snapshot.mappings
                    && copy.facts == snapshot.facts, "a snapshot that changed in its file")
            checkReports(of: copy)
        } catch {
            fail("a snapshot that can't be read back: \(error)")
        }
    }

    private static func checkReports(of snapshot: Snapshot) {
        // One of each kind, or all the time would go into reports.
        let choice = snapshot.samples.count + snapshot.locations.count
        let groupBy = GroupBy.allCases[choice % GroupBy.allCases.count]
        let grouping = Grouping(groupBy: groupBy, cumulative: choice % 2 == 0)
        let report = TopReport(of: snapshot, grouping: grouping, sort: .average)
        checkText(TextReport().lines(of: report, facts: snapshot.facts))
        checkJSON(try? JSONReport.bytes(of: report, facts: snapshot.facts))
        let diff = SnapshotDiff(base: Snapshot(), current: snapshot, grouping: grouping)
        checkText(TextReport(showsAllChanges: true).lines(of: diff, base: "base"))
        let reverse = SnapshotDiff(base: snapshot, current: Snapshot(), grouping: grouping)
        checkText(TextReport(showsAllChanges: true).lines(of: reverse, base: "base"))
        checkJSON(try? JSONReport.bytes(of: reverse))
        checkText(FoldedReport.lines(of: snapshot, sampleType: .allocSpace))
        checkText(FoldedReport.lines(base: Snapshot(), current: snapshot))
        checkForms(of: snapshot, report)
        checkSVG(
            choice % 2 == 0
                ? FlameGraph(of: snapshot, name: "one").svg()
                : FlameGraph(base: Snapshot(), current: snapshot, names: ("one", "two")).svg())
    }

    private static func checkForms(of snapshot: Snapshot, _ report: TopReport) {
        checkJSON(try? SpeedscopeReport.bytes(of: snapshot, name: "one", tool: "fuzz"))
        checkJSON(
            try? SpeedscopeReport.bytes(
                base: Snapshot(), current: snapshot, names: ("one", "two"), tool: "fuzz"))
        checkText(lines(MassifReport.bytes(of: snapshot, tool: "fuzz"), separator: "\n"))
        checkText(lines(CSVReport.bytes(of: report), separator: "\r\n"))
        require(
            (try? ProfileEncoder.encodeDifference(
                base: snapshot, current: snapshot, tool: "fuzz")) != nil, "no difference")
    }

    private static func lines(_ bytes: [UInt8], separator: String) -> [String] {
        bytes.split(separator: separator.utf8).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func checkText(_ lines: [String]) {
        for line in lines {
            require(!line.utf8.contains(0x0a), "a line of two lines: \(line)")
            require(!holdsUnsafe(Array(line.utf8)), "an unsafe line: \(line)")
        }
    }

    private static func checkJSON(_ bytes: [UInt8]?) {
        guard let bytes else { fail("no JSON") }
        require(!holdsUnsafe(bytes), "unsafe JSON")
    }

    private static func checkSVG(_ bytes: [UInt8]) {
        require(!holdsUnsafe(bytes), "an unsafe image")
        require(count("<script", in: bytes) == 1, "an image with a script of another")
        require(count("<svg", in: bytes) == 1, "an image in an image")
    }

    private static func count(_ text: String, in bytes: [UInt8]) -> Int {
        let wanted = Array(text.utf8)
        return bytes.indices.count { index in
            bytes[index] == wanted[0] && bytes[index...].starts(with: wanted)
        }
    }

    /// Whether there is something besides line breaks that no report may hold: what moves a terminal's cursor,
    /// hides text, or turns it around.
    private static func holdsUnsafe(_ bytes: [UInt8]) -> Bool {
        if bytes.contains(where: { $0 < 0x20 && $0 != 0x0a || $0 == 0x7f }) { return true }
        guard bytes.contains(where: { $0 >= 0x80 }) else { return false }
        return String(decoding: bytes, as: UTF8.self).unicodeScalars.contains { scalar in
            guard scalar.value >= 0x80 else { return false }
            return switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator: true
            case .format:
                // Soft hyphens and joiners are parts of words.
                ![0xad, 0x200c, 0x200d].contains(scalar.value)
            default: scalar.value & 0xfffe == 0xfffe
            }
        }
    }

    private static func write(_ bytes: [UInt8], to path: String) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0, Glibc.write(descriptor, bytes, bytes.count) == bytes.count,
            close(descriptor) == 0
        else { fail("can't write \(path)") }
    }
}

func require(_ condition: Bool, _ what: @autoclosure () -> String) {
    if !condition { fail(what()) }
}

func fail(_ what: String) -> Never { fatalError(what) }

/// What the fuzzer calls (Fuzz/Driver).
@_cdecl("leakprof_fuzz")
func fuzz(
    _ target: UnsafePointer<CChar>, _ scratch: UnsafePointer<CChar>, _ bytes: UnsafePointer<UInt8>?,
    _ count: Int
) {
    guard let target = FuzzTarget(rawValue: String(cString: target)) else {
        fail("LEAKPROF_FUZZ_TARGET names no target")
    }
    target.run(
        Array(UnsafeBufferPointer(start: bytes, count: count)), scratch: String(cString: scratch))
}
