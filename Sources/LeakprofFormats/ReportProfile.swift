internal import FoundationEssentials
internal import LeakprofModel
internal import LeakprofPprof

/// leakprof's own graphs, as SVG files and in HTML reports, from the numbers in their `<metadata>`.
///
/// A graph of two snapshots is read as the later one. It has one line per function; frames that were too small for the graph count for their callers.
enum GraphFile {
    private static let start = Array("<metadata>".utf8)
    private static let end = Array("</metadata>".utf8)
    private static let format = "leakprof-graph-1"

    /// Whether it is SVG or HTML; others' have no numbers of ours in them.
    static func recognizes(_ bytes: [UInt8]) -> Bool {
        ["<?xml", "<svg", "<!DOCTYPE html"].contains { bytes.starts(with: $0.utf8) }
    }

    static func decode(_ bytes: [UInt8]) throws(ProfileError) -> Snapshot {
        guard let opened = bytes.firstRange(of: start)?.upperBound,
            let closed = bytes[opened...].firstRange(of: end)?.lowerBound
        else { throw .unrecognized }
        var json = unescaped(bytes[opened..<closed])
        // In a report, the graph is the value of an attribute.
        if json.starts(with: "{&quot;".utf8) { json = unescaped(json[...]) }
        guard json.count <= JSONProfile.sizeLimit else {
            throw .inconsistent("it holds JSON of more than \(JSONProfile.sizeLimit) bytes")
        }
        guard let graph = try? JSONDecoder().decode(Graph.self, from: Data(json)),
            graph.format == format
        else { throw .unrecognized }
        return try graph.snapshot()
    }

    private static let entities: [(name: [UInt8], character: UInt8)] = [
        (Array("&amp;".utf8), UInt8(ascii: "&")), (Array("&lt;".utf8), UInt8(ascii: "<")),
        (Array("&gt;".utf8), UInt8(ascii: ">")), (Array("&quot;".utf8), UInt8(ascii: "\"")),
        (Array("&#39;".utf8), UInt8(ascii: "'")),
    ]

    private static func unescaped(_ text: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var index = text.startIndex
        while index < text.endIndex {
            let entity =
                text[index] == UInt8(ascii: "&")
                ? entities.first { text[index...].starts(with: $0.name) } : nil
            result.append(entity?.character ?? text[index])
            index += entity?.name.count ?? 1
        }
        return result
    }

    fileprivate struct Graph: Decodable {
        let format: String
        let unit: String
        let inUse: Bool
        let names: [String]
        let strings: [String]
        let functions: [Function]
        let tree: String
    }

    fileprivate struct Function: Decodable {
        let name: String
        let file: Int
        let module: Int

        init(from decoder: any Decoder) throws {
            var values = try decoder.unkeyedContainer()
            name = try values.decode(String.self)
            // The short name, or 0.
            if (try? values.decode(String.self)) == nil { _ = try values.decode(Int.self) }
            file = try values.decode(Int.self)
            module = try values.decode(Int.self)
        }
    }
}

extension GraphFile.Graph {
    /// A frame in its place, with what none of the frames it called has.
    private struct Node {
        /// `nil` for what stands for all stacks.
        var location: Int?
        var amount: Int64
        var blocks: Int64
    }

    /// Twice as deep as leakprof's graphs are.
    private static let depthLimit: Int64 = 1024

    fileprivate func snapshot() throws(ProfileError) -> Snapshot {
        var assembler = StackAssembler()
        var path: [Node] = []
        for row in tree.utf8.split(separator: UInt8(ascii: ";")) {
            let values = try Self.values(row)
            guard values[0] <= Int64(path.count), values[0] > 0 || path.isEmpty,
                values[0] <= Self.depthLimit
            else {
                throw .inconsistent("a frame of the graph has no caller")
            }
            while path.count > Int(values[0]) { try end(&path, &assembler) }
            let amount = values[4].saturatingAdd(values[5])
            if let caller = path.indices.last {
                path[caller].amount = path[caller].amount.saturatingSubtract(amount)
                path[caller].blocks = path[caller].blocks.saturatingSubtract(values[8])
            }
            path.append(
                Node(
                    location: path.isEmpty ? nil : try location(values, &assembler),
                    amount: amount, blocks: values[8]))
        }
        while !path.isEmpty { try end(&path, &assembler) }
        if names.count == 2 {
            assembler.note("the graph compares two snapshots: this is the later one")
        }
        assembler.note(
            "a graph has one line per function, and frames too small for it count for their callers"
        )
        return assembler.snapshot
    }

    /// As many as the columns that are read; what is not there is 0.
    private static func values(_ row: Substring.UTF8View.SubSequence) throws(ProfileError)
        -> [Int64]
    {
        var values: [Int64] = []
        for text in row.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
            .prefix(9)
        {
            guard let value = text.isEmpty ? 0 : Int64(String(Substring(text))), value >= 0 else {
                throw .inconsistent("the graph has a number that is none")
            }
            values.append(value)
        }
        return values + Array(repeating: 0, count: 9 - values.count)
    }

    private func location(_ values: [Int64], _ assembler: inout StackAssembler)
        throws(ProfileError) -> Int
    {
        guard values[1] < Int64(functions.count) else {
            throw .inconsistent("a frame of the graph has no name")
        }
        let function = functions[Int(values[1])]
        guard strings.indices.contains(function.file), strings.indices.contains(function.module)
        else { throw .inconsistent("a function of the graph has no place") }
        // `libx.so, build 00112233`.
        let module = strings[function.module]
        let name = module.firstRange(of: ", build ").map { String(module[..<$0.lowerBound]) }
        return try assembler.location(
            of: Frame(
                function: function.name.clipped(toBytes: Frame.nameLimit),
                file: strings[function.file].clipped(toBytes: Frame.nameLimit), line: values[2]),
            in: (name ?? module).clipped(toBytes: Frame.nameLimit))
    }

    /// Adds the stack of the innermost node.
    private func end(_ path: inout [Node], _ assembler: inout StackAssembler) throws(ProfileError) {
        let node = path.removeLast()
        guard node.amount > 0 || node.blocks > 0 else { return }
        var stack = path.reversed().compactMap(\.location)
        if let location = node.location {
            stack.insert(location, at: 0)
        } else {
            stack = [try assembler.location(of: Frame(function: "[left out]"))]
        }
        try assembler.add(stack, counts(max(0, node.amount), max(0, node.blocks)))
    }

    private func counts(_ amount: Int64, _ blocks: Int64) -> AllocationCounts {
        let (space, objects) = unit == "bytes" ? (amount, blocks) : (0, amount)
        return inUse
            ? AllocationCounts(inuseObjects: objects, inuseSpace: space)
            : AllocationCounts(allocObjects: objects, allocSpace: space)
    }
}

/// What `leakprof top` and `diff` write as JSON: a frame per row, or a stack where rows are stacks.
///
/// A comparison is read as the later snapshot.
struct JSONReportFile: Decodable {
    private let schema: Int
    private let kind: String
    private let rows: [Row]
    private let snapshot: Facts?
    private let current: Facts?

    private struct Facts: Decodable {
        let capturedAtNs: Int64
        let durationNs: Int64
    }

    private struct Place: Decodable {
        let file: String
        let function: String
        let line: Int64
        let module: String
    }

    private struct Sums: Decodable {
        let allocObjects: Int64
        let allocSpace: Int64
        let inuseObjects: Int64
        let inuseSpace: Int64
    }

    private struct Row: Decodable {
        let label: String
        let place: Place
        let stack: [Place]?
        let sums: Sums?
        let current: Sums?
    }

    func readSnapshot() throws(ProfileError) -> Snapshot {
        guard schema == 1, ["top", "diff"].contains(kind) else { throw .unrecognized }
        var assembler = StackAssembler()
        for row in rows {
            guard let sums = row.sums ?? row.current else { continue }
            let counts = AllocationCounts(
                allocObjects: max(0, sums.allocObjects), allocSpace: max(0, sums.allocSpace),
                inuseObjects: max(0, sums.inuseObjects), inuseSpace: max(0, sums.inuseSpace))
            guard counts != .zero else { continue }
            var stack: [Int] = []
            for place in row.stack ?? [row.place] {
                stack.append(try Self.location(place, label: row.label, &assembler))
            }
            try assembler.add(stack, counts)
        }
        if kind == "diff" {
            assembler.note("the report compares two snapshots: this is the later one")
        }
        var result = assembler.snapshot
        result.facts.capturedAt = max(0, (current ?? snapshot)?.capturedAtNs ?? 0)
        result.facts.duration = max(0, (current ?? snapshot)?.durationNs ?? 0)
        return result
    }

    /// Rows of lines and files have no function.
    private static func location(
        _ place: Place, label: String, _ assembler: inout StackAssembler
    ) throws(ProfileError) -> Int {
        try assembler.location(
            of: Frame(
                function: (place.function.isEmpty ? label : place.function)
                    .clipped(toBytes: Frame.nameLimit),
                file: place.file.clipped(toBytes: Frame.nameLimit), line: max(0, place.line)),
            in: place.module.clipped(toBytes: Frame.nameLimit))
    }
}
