internal import CElfutils

/// The calls inlined into one function, and into each other.
final class InlineTree {
    /// A function's code in place of a call of it.
    struct Call {
        /// The call's DIE, in .debug_info.
        var die: Int
        /// What is the same for all calls of one function: the DIE that describes it.
        var function: Int
        /// Where the call was; the file is a number of the line table.
        var file: UInt64?
        var line: UInt64
    }

    fileprivate struct Node {
        var call: Call
        var low: UInt64
        var high: UInt64
        /// Whether the code's ranges are to be had from libdw.
        var isElsewhere: Bool
        /// The first node behind this one and all calls that are inlined into it.
        var next: Int
    }

    /// What was inlined into a call follows it.
    private let nodes: [Node]
    /// By node; read when they are first asked for.
    private var ranges: [Int: [(low: UInt64, high: UInt64)]] = [:]
    private let information: DebugInformation

    /// Reads the function whose DIE `reader` begins at.
    init(of reader: DieReader, in information: DebugInformation) {
        self.information = information
        nodes = Self.readNodes(reader)
    }

    /// DIEs nest as deep as inlined calls do; those of damaged information may nest without end.
    private static let depthLimit = 1024

    private static func readNodes(_ start: DieReader) -> [Node] {
        var reader = start
        guard let function = reader.next(), function.hasChildren else { return [] }
        reader.skipAttributes(of: function)
        var nodes: [Node] = []
        /// For each DIE whose children are being read, its node if it is a call.
        var open: [Int?] = [nil]
        while !open.isEmpty, open.count < depthLimit, let shape = reader.next() {
            switch Int(shape.tag) {
            case Int(Abbreviations.Shape.end.tag):
                if let node = open.removeLast() { nodes[node].next = nodes.count }
            case Int(DW_TAG_inlined_subroutine):
                if shape.hasChildren { open.append(nodes.count) }
                nodes.append(
                    Node(of: reader.readAttributes(of: shape), next: nodes.count + 1))
            case Int(DW_TAG_subprogram) where shape.hasChildren:
                // A function in a function has a tree of its own.
                reader.skipAttributes(of: shape)
                reader.skipChildren()
            default:
                if shape.hasChildren { open.append(nil) }
                reader.skipAttributes(of: shape)
            }
        }
        // Of damaged information, what was read.
        for case .some(let node) in open { nodes[node].next = nodes.count }
        return nodes
    }

    /// The calls whose code contains a stated address, outermost first.
    func calls(at address: UInt64) -> [Call] {
        var calls: [Call] = []
        var index = 0
        var end = nodes.count
        while index < end {
            if contains(index, address) {
                calls.append(nodes[index].call)
                end = nodes[index].next
                index += 1
            } else {
                index = nodes[index].next
            }
        }
        return calls
    }

    private func contains(_ index: Int, _ address: UInt64) -> Bool {
        guard nodes[index].isElsewhere else {
            return nodes[index].low <= address && address < nodes[index].high
        }
        let known = ranges[index] ?? information.ranges(ofDieAt: Dwarf_Off(nodes[index].call.die))
        ranges[index] = known
        return known.contains { $0.low <= address && address < $0.high }
    }
}

extension InlineTree.Node {
    fileprivate init(of die: DieReader.Die, next: Int) {
        call = InlineTree.Call(
            die: die.offset, function: die.hasName ? die.offset : die.origin ?? die.offset,
            file: die.callFile, line: die.callLine)
        low = die.low
        high = die.high
        isElsewhere = die.code == .elsewhere
        self.next = next
    }
}
