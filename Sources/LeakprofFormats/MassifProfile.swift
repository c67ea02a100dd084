internal import LeakprofModel
internal import LeakprofPprof

/// The files of valgrind's massif, and what `heaptrack_print --print-massif` makes of heaptrack's.
///
/// https://valgrind.org/docs/manual/ms-manual.html shows one. Of its snapshots, the last with a tree is read.
enum MassifProfile {
    static func recognizes(_ bytes: [UInt8]) -> Bool {
        // heaptrack may write its snapshots first.
        bytes.starts(with: "desc:".utf8) || bytes.starts(with: "#-----------\nsnapshot=".utf8)
    }

    static func decode(_ bytes: [UInt8]) throws(ProfileError) -> Snapshot {
        let contents = Contents(bytes)
        guard let tree = contents.tree else {
            throw .inconsistent("none of its \(contents.snapshots) snapshots has a tree")
        }
        var reader = MassifTreeReader()
        var lines = TextLines(bytes, from: tree.position)
        while let line = lines.next(), let node = try MassifNode(line) { try reader.add(node) }
        var snapshot = try reader.finish()
        if tree.snapshot != contents.snapshots {
            snapshot.facts.notes.append(
                "of snapshot \(tree.snapshot) of \(contents.snapshots), the last with a tree; "
                    + "the last has \(contents.lastBytes) bytes")
        }
        return snapshot
    }

    /// What the file holds, found without reading its trees.
    private struct Contents {
        private(set) var snapshots = 0
        private(set) var lastBytes: Int64 = 0
        /// Where the last tree begins, and which snapshot has it, from 1.
        private(set) var tree: (position: Int, snapshot: Int)?

        init(_ bytes: [UInt8]) {
            var lines = TextLines(bytes)
            while let line = lines.next() {
                var scanner = TextScanner(line)
                if scanner.take("snapshot=") {
                    snapshots += 1
                } else if scanner.take("mem_heap_B=") {
                    lastBytes = scanner.number() ?? 0
                } else if scanner.take("heap_tree=") && !scanner.take("empty") {
                    tree = (lines.position, snapshots)
                }
            }
        }
    }
}

/// A line of a tree: `nCHILDREN: BYTES LABEL`, indented by its depth.
private struct MassifNode {
    let depth: Int
    let bytes: Int64
    let label: String

    /// `nil` for a line that is none, which ends the tree.
    init?(_ line: ArraySlice<UInt8>) throws(ProfileError) {
        let indentation = line.prefix { $0 == UInt8(ascii: " ") }
        var scanner = TextScanner(line.dropFirst(indentation.count))
        guard scanner.take("n") else { return nil }
        guard scanner.number() != nil, scanner.take(":"), let bytes = scanner.number() else {
            throw .inconsistent(
                "there is a line “\(String(decoding: line.prefix(60), as: UTF8.self))”")
        }
        scanner.skipSpaces()
        depth = indentation.count
        self.bytes = bytes
        label = String(decoding: scanner.rest, as: UTF8.self)
    }

    /// The frame of `0xADDRESS: NAME (PLACE)`, and the module it is in if that is the place.
    var frame: (frame: Frame, module: String) {
        // "in 3 places, all below massif's threshold (1.00%)"
        if label.hasPrefix("in "), label.contains("below massif's threshold") {
            return (Frame(function: "[below massif's threshold]"), "")
        }
        var scanner = TextScanner(Array(label.utf8)[...])
        let address = scanner.word()
        scanner.skipSpaces()
        guard address.hasPrefix("0x"), address.hasSuffix(":") else {
            return (Frame(text: label), "")
        }
        var name = String(decoding: scanner.rest, as: UTF8.self)
        var module = ""
        if name.hasSuffix(")"), let place = name.range(ofLast: " (in ") {
            module = String(name[place.upperBound...].dropLast())
                .clipped(toBytes: Frame.nameLimit)
            name = String(name[..<place.lowerBound])
        }
        let isUnknown = name.isEmpty || name == "???"
        return (Frame(text: isUnknown ? String(address.dropLast()) : name), module)
    }
}

extension String {
    /// Where `text` stands last.
    fileprivate func range(ofLast text: String) -> Range<String.Index>? {
        let wanted = Array(text.utf8)
        var start = utf8.endIndex
        while start > utf8.startIndex {
            start = utf8.index(before: start)
            if utf8[start] == wanted[0], utf8[start...].starts(with: wanted) {
                return start..<utf8.index(start, offsetBy: wanted.count)
            }
        }
        return nil
    }
}

/// Makes samples of a tree: what a node has more than its children.
private struct MassifTreeReader {
    private var assembler = StackAssembler()
    /// From the root to the node read last; the root stands for all blocks and is no frame.
    private var path: [(location: Int?, own: Int64)] = []
    private var isComplete = false

    mutating func add(_ node: MassifNode) throws(ProfileError) {
        guard node.depth == 0 ? path.isEmpty && !isComplete : node.depth <= path.count else {
            throw .inconsistent("its tree has a node where none can be")
        }
        try close(to: node.depth)
        isComplete = true
        if let last = path.indices.last {
            path[last].own = path[last].own.saturatingSubtract(node.bytes)
        }
        guard node.depth > 0 else {
            path.append((nil, node.bytes))
            return
        }
        let (frame, module) = node.frame
        path.append((try assembler.location(of: frame, in: module), node.bytes))
    }

    private mutating func close(to depth: Int) throws(ProfileError) {
        while path.count > depth, let node = path.last {
            if node.own > 0 {
                var stack = path.compactMap(\.location)
                // heaptrack has roots that say more than their children.
                if stack.isEmpty {
                    stack = [try assembler.location(of: Frame(function: "[no stack in the file]"))]
                }
                try assembler.add(stack, AllocationCounts(inuseSpace: node.own))
            }
            path.removeLast()
        }
    }

    mutating func finish() throws(ProfileError) -> Snapshot {
        try close(to: 0)
        return assembler.snapshot
    }
}
