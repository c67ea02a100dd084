internal import LeakprofModel

/// The table of a program's functions, `.gopclntab`: from code addresses to functions, files and lines, with what
/// was inlined.
///
/// The runtime itself needs it, so stripped programs have it too. Everything in it is checked: offsets that lead out
/// of it, or nowhere, make a frame less precise, or give none.
final class GoPclntab {
    private let bytes: PagedBytes
    private let version: GoVersion
    /// Where in `bytes` the table begins, and how long it is.
    private let start: UInt64
    private let size: UInt64
    /// By how much code addresses differ at least.
    private let quantum: UInt64
    private let functionCount: UInt64
    /// Where its parts begin, counted from its start.
    let namesOffset: UInt64
    private let unitsOffset: UInt64
    private let filesOffset: UInt64
    private let valuesOffset: UInt64
    private let functionsOffset: UInt64

    /// No program has so many.
    private static let functionsLimit: UInt64 = 1 << 24
    /// The most steps through a table of values; the longest functions have some ten thousand.
    private static let stepsLimit = 1 << 20
    /// The most steps of all look-ups together, and the most bytes of text: hostile tables would keep the reader
    /// busy for days, and fill the memory.
    private var stepsLeft = 1 << 30
    private var textLeft = 1 << 28
    /// How deep calls may be inlined in each other.
    private static let inliningLimit = 1 << 10

    /// Reads the header of the table that is so many bytes long; `nil` when it is not one of this version's.
    init?(_ bytes: PagedBytes, at start: UInt64, size: UInt64, _ version: GoVersion) {
        guard let header = bytes.bytes(at: start, count: 72), size >= 72,
            header.number(at: 0, as: UInt32.self) == version.tableMagic, header[7] == 8,
            (1...8).contains(header[6])
        else { return nil }
        let words = (0..<8).compactMap { header.number(at: 8 + $0 * 8, as: UInt64.self) }
        guard words.count == 8, words[0] <= Self.functionsLimit,
            words[3...7].allSatisfy({ $0 < size })
        else { return nil }
        self.bytes = bytes
        self.version = version
        self.start = start
        self.size = size
        quantum = UInt64(header[6])
        functionCount = words[0]
        namesOffset = words[3]
        unitsOffset = words[4]
        filesOffset = words[5]
        valuesOffset = words[6]
        functionsOffset = words[7]
    }

    // MARK: Reading

    private func number<Number: FixedWidthInteger & BitwiseCopyable>(
        at offset: UInt64, as type: Number.Type = Number.self
    ) -> Number? {
        guard offset < size, UInt64(MemoryLayout<Number>.size) <= size - offset else { return nil }
        return bytes.number(at: start &+ offset)
    }

    private func text(at offset: UInt64) -> String? {
        // One more than is kept, so that it shows what was cut.
        guard offset < size, textLeft > 0,
            let text = bytes.text(
                at: start &+ offset, limit: Int(min(size - offset, UInt64(Frame.nameLimit + 1))))
        else { return nil }
        textLeft -= text.utf8.count
        return text
    }

    // MARK: Functions

    /// A record of a function, as far as offsets from the start of the code go.
    struct Function {
        /// Offset of the record in the table.
        fileprivate let record: UInt64
        /// Of its first instruction, and of the next function's.
        let entry: UInt64
        let end: UInt64
    }

    private func entry(_ index: UInt64) -> (code: UInt64, record: UInt64)? {
        guard let code = number(at: functionsOffset + index * 8, as: UInt32.self),
            let record = number(at: functionsOffset + index * 8 + 4, as: UInt32.self)
        else { return nil }
        return (UInt64(code), functionsOffset + UInt64(record))
    }

    private func function(_ index: UInt64) -> Function? {
        // Behind the last there is one that says where its code ends.
        guard let (code, record) = entry(index),
            let end = number(at: functionsOffset + (index + 1) * 8, as: UInt32.self)
        else { return nil }
        return Function(record: record, entry: code, end: UInt64(end))
    }

    /// The function that has the code so many bytes from the code's start.
    func function(at offset: UInt64) -> Function? {
        var low: UInt64 = 0
        var high = functionCount
        while low < high {
            let middle = (low + high) / 2
            guard let (code, _) = entry(middle) else { return nil }
            if code <= offset { low = middle + 1 } else { high = middle }
        }
        guard low > 0, let found = function(low - 1), offset >= found.entry, offset < found.end
        else { return nil }
        return found
    }

    /// The functions of these names; takes a while, as all are looked at.
    func functions(named names: [String]) -> [String: Function] {
        guard namesOffset < size,
            let table = bytes.bytes(
                at: start &+ namesOffset,
                // The names come first.
                count: Int(min(size, max(namesOffset, unitsOffset)) - namesOffset))
        else { return [:] }
        var wanted: [Int32: String] = [:]
        for name in names {
            if let offset = table.offset(ofText: name) { wanted[Int32(clamping: offset)] = name }
        }
        var found: [String: Function] = [:]
        for index in 0..<functionCount where found.count < wanted.count {
            guard let function = function(index),
                let name = number(at: function.record + 4, as: Int32.self)
            else { break }
            if let known = wanted[name] { found[known] = function }
        }
        return found
    }

    // MARK: Values by address

    /// The value that the table at `table` has for the code at `target`; -1 when it has none.
    private func value(_ table: UInt32, of function: Function, at target: UInt64) -> Int32 {
        guard table != 0 else { return -1 }
        var place = valuesOffset + UInt64(table)
        var value: Int32 = -1
        var code = function.entry
        for step in 0..<Self.stepsLimit {
            stepsLeft -= 1
            guard stepsLeft > 0, let delta = varint(&place), delta != 0 || step == 0,
                let advance = varint(&place)
            else { return -1 }
            let change = Int32(bitPattern: delta & 1 != 0 ? ~(delta >> 1) : delta >> 1)
            value = value &+ change
            code += UInt64(advance) * quantum
            if target < code { return value }
        }
        return -1
    }

    private func varint(_ place: inout UInt64) -> UInt32? {
        var value: UInt32 = 0
        for shift in stride(from: UInt32(0), to: 35, by: 7) {
            guard let byte = number(at: place, as: UInt8.self) else { return nil }
            place += 1
            value |= UInt32(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }

    // MARK: Frames

    /// A frame, and where the call was made that it is inlined in: an offset from the start of the code.
    struct Inlined {
        var frame: Frame
        var caller: UInt64?
    }

    /// The innermost of the functions that the code at `offset` bytes from its start belongs to; `nil` for what is no
    /// Go code.
    ///
    /// The trees of inlined calls are in `memory`, the process's; offsets to them count from `functionData` in it.
    func frame(at offset: UInt64, memory: PagedBytes, functionData: UInt64) -> Inlined? {
        guard let function = function(at: offset),
            let lineTable = number(at: function.record + 24, as: UInt32.self)
        else { return nil }
        let line = value(lineTable, of: function, at: offset)
        var frame = Frame(
            function: "", file: file(of: function, at: offset), line: Int64(max(0, line)))
        if let call = inlinedCall(at: offset, in: function, memory, functionData) {
            frame.function = name(call.name)
            frame.startLine = call.startLine
            return Inlined(frame: frame, caller: function.entry + call.parent)
        }
        guard let nameOffset = number(at: function.record + 4, as: Int32.self) else { return nil }
        frame.function = name(nameOffset)
        if version.hasStartLines {
            let startLine = number(at: function.record + 36, as: Int32.self) ?? 0
            frame.startLine = Int64(max(0, startLine))
        }
        return Inlined(frame: frame)
    }

    /// All functions that the code at `offset` belongs to, innermost first.
    func frames(at offset: UInt64, memory: PagedBytes, functionData: UInt64) -> [Inlined] {
        var frames: [Inlined] = []
        var place: UInt64? = offset
        while let current = place, frames.count < Self.inliningLimit,
            let next = frame(at: current, memory: memory, functionData: functionData)
        {
            frames.append(next)
            place = next.caller
        }
        return frames
    }

    private func name(_ offset: Int32) -> String {
        guard offset >= 0, let name = text(at: namesOffset + UInt64(offset)), !name.isEmpty else {
            return "?"
        }
        return name.clipped(toBytes: Frame.nameLimit)
    }

    private func file(of function: Function, at offset: UInt64) -> String {
        guard let table = number(at: function.record + 20, as: UInt32.self),
            let unit = number(at: function.record + 32, as: UInt32.self)
        else { return "" }
        let number = value(table, of: function, at: offset)
        guard number >= 0,
            let place = self.number(
                at: unitsOffset + (UInt64(unit) + UInt64(number)) * 4, as: UInt32.self),
            place != .max
        else { return "" }
        return text(at: filesOffset + UInt64(place))?.clipped(toBytes: Frame.nameLimit) ?? ""
    }

    private struct InlinedCall {
        var name: Int32
        var startLine: Int64
        /// Where in the function it was called, from its first instruction.
        var parent: UInt64
    }

    private func inlinedCall(
        at offset: UInt64, in function: Function, _ memory: PagedBytes, _ functionData: UInt64
    ) -> InlinedCall? {
        let treeTable: UInt64 = 3  // FUNCDATA_InlTree
        let treeIndex: UInt64 = 2  // PCDATA_InlTreeIndex
        let header = version.functionHeaderBytes
        guard let tableCount = number(at: function.record + 28, as: UInt32.self),
            tableCount > treeIndex,
            let dataCount = number(at: function.record + header - 1, as: UInt8.self),
            dataCount > treeTable,
            let indices = number(at: function.record + header + treeIndex * 4, as: UInt32.self),
            let tree = number(
                at: function.record + header + (UInt64(tableCount) + treeTable) * 4,
                as: UInt32.self),
            tree != .max
        else { return nil }
        let index = value(indices, of: function, at: offset)
        guard index >= 0 else { return nil }
        let layout = version.inlinedCall
        let call = functionData &+ UInt64(tree) &+ UInt64(index) * layout.bytes
        guard let name = memory.number(at: call &+ layout.name, as: Int32.self),
            let parent = memory.number(at: call &+ layout.parent, as: Int32.self), parent >= 0
        else { return nil }
        let startLine = layout.startLine.flatMap { memory.number(at: call &+ $0, as: Int32.self) }
        return InlinedCall(
            name: name, startLine: Int64(max(0, startLine ?? 0)), parent: UInt64(parent))
    }
}
