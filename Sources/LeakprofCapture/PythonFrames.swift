internal import CLeakprofLayout
internal import LeakprofModel

/// Reads the Python frames of a region: names and lines from the code objects in its heap.
struct PythonFrames {
    private let tables: RegionTables
    /// By place in the heap; `nil` for what is no code object.
    private var codes: [UInt32: Code?] = [:]
    private var files: [UInt32: String] = [:]
    /// How many more bytes of names and line tables may be read: records may overlap, so that a small heap
    /// could hold very many long ones.
    private var bytesLeft: Int

    private struct Code {
        var name: String
        var file: String
        var firstLine: Int64
        var lines: PythonLineTable
    }

    init(_ tables: RegionTables) {
        self.tables = tables
        bytesLeft = 4 * Int(clamping: tables.header.raw.region_bytes)
    }

    /// Whether the node's word is a Python frame.
    static func isPython(_ word: UInt64) -> Bool { word & LP_FRAME_PYTHON != 0 }

    /// The frame; `nil` when its code object is not in the heap.
    mutating func frame(_ word: UInt64) -> Frame? {
        let position = UInt32(
            truncatingIfNeeded: word >> UInt64(LP_PYTHON_CODE_SHIFT) & LP_PYTHON_CODE_MASK)
        guard let code = code(at: position) else { return nil }
        let place = Int(word & LP_PYTHON_OFFSET_MASK)
        let line =
            word & LP_PYTHON_LINE != 0
            ? Int64(Int32(truncatingIfNeeded: place)) : code.lines.line(at: place - 1)
        return Frame(
            function: code.name, file: code.file, line: max(0, line), startLine: code.firstLine)
    }

    private mutating func code(at position: UInt32) -> Code? {
        if let known = codes[position] { return known }
        let code = readCode(at: position)
        codes[position] = code
        return code
    }

    private mutating func readCode(at position: UInt32) -> Code? {
        guard position != 0,
            let (record, bytes) = tables.heapRecord(lp_code.self, at: position),
            let layout = Self.layout(record.table_kind),
            Int(record.name_length) <= bytes.count, record.name_length <= Frame.nameLimit,
            Int(record.table_length) <= bytes.count - Int(record.name_length),
            take(Int(record.name_length) + Int(record.table_length))
        else { return nil }
        let name = String(decoding: bytes.prefix(Int(record.name_length)), as: UTF8.self)
        let table = bytes.dropFirst(Int(record.name_length)).prefix(Int(record.table_length))
        let firstLine = Int64(max(0, record.first_line))
        return Code(
            name: name.isEmpty ? "<unnamed>" : name, file: file(at: record.file_text),
            firstLine: firstLine,
            lines: PythonLineTable(
                layout: layout, bytes: table, firstLine: Int64(record.first_line)))
    }

    /// Whether so many bytes may still be read.
    private mutating func take(_ count: Int) -> Bool {
        guard count <= bytesLeft else { return false }
        bytesLeft -= count
        return true
    }

    private static func layout(_ kind: UInt32) -> PythonLineTable.Layout? {
        switch kind {
        case UInt32(LP_LINES_NUMBERS): .lnotab
        case UInt32(LP_LINES_RANGES): .ranges
        case UInt32(LP_LINES_LOCATIONS): .locations
        default: nil
        }
    }

    private mutating func file(at position: UInt32) -> String {
        if let known = files[position] { return known }
        var name = ""
        if position != 0, let (record, bytes) = tables.heapRecord(lp_text.self, at: position),
            Int(record.length) <= bytes.count, record.length <= Frame.nameLimit,
            take(Int(record.length))
        {
            name = String(decoding: bytes.prefix(Int(record.length)), as: UTF8.self)
        }
        files[position] = name
        return name
    }
}

extension PythonFacts {
    /// What the region's header says of an interpreter; `nil` when there is none.
    init?(header: lp_header, interpreter: String?) {
        let word = header.python
        let version = word & UInt32(LP_PYTHON_VERSION_MASK)
        guard version != 0 else { return nil }
        let suffix = word & UInt32(LP_PYTHON_FREE_THREADED) != 0 ? "t" : ""
        self.init(
            version: "\(version >> 8).\(version & 0xff)\(suffix)",
            hasFrames: word & UInt32(LP_PYTHON_FRAMES) != 0,
            hasAllocators: word & UInt32(LP_PYTHON_ALLOCATORS) != 0, interpreter: interpreter)
    }
}
