internal import LeakprofAnalysis
internal import LeakprofModel

/// A comparison tree as rows of frames for two graphs, in bytes: nothing here knows of pixels or SVG.
struct FlameGraphLayout {
    /// A frame in one graph.
    struct Frame {
        /// Index into ``nodes``; the same function on the same path has the same one in both graphs.
        var node: Int
        /// Rows below the root.
        var depth: Int
        /// Where it begins, in bytes from the graph's left edge.
        var offset: Int64
        /// Bytes that are in both snapshots.
        var kept: Int64
        /// Bytes that are in this one alone: shrunk in the base, grown in the current one.
        var delta: Int64

        var width: Int64 { kept.saturatingAdd(delta) }
    }

    private(set) var nodes: [ComparisonTree.Node] = []
    private(set) var base: [Frame] = []
    private(set) var current: [Frame] = []
    /// The nodes below which nothing is drawn: where memory is asked for.
    private(set) var leaves: Set<Int> = []
    /// Rows of the taller graph.
    private(set) var depth = 0
    /// Frames left out because they are too small to see.
    private(set) var omitted = 0

    /// Lays out a tree; frames with less than `threshold` of the larger graph's bytes are left out.
    init(_ tree: ComparisonTree, threshold: Double = 0.0002) {
        let largest = max(tree.root.base, tree.root.current, 1)
        let smallest = Int64(Double(largest) * threshold)
        place(tree.root, depth: 0, base: 0, current: 0, smallest: smallest)
    }

    private mutating func place(
        _ node: ComparisonTree.Node, depth: Int, base: Int64, current: Int64, smallest: Int64
    ) {
        let index = nodes.count
        nodes.append(node)
        self.depth = max(self.depth, depth + 1)
        if node.base > 0 {
            self.base.append(
                Frame(node: index, depth: depth, offset: base, kept: node.kept, delta: node.shrunk))
        }
        if node.current > 0 {
            self.current.append(
                Frame(
                    node: index, depth: depth, offset: current, kept: node.kept, delta: node.grown))
        }
        var baseOffset = base
        var currentOffset = current
        let placedBefore = nodes.count
        for child in node.children {
            // What a leaf frame did to get its memory says nothing; the bytes are the caller's.
            if child.isMachinery && child.children.allSatisfy(\.isMachinery) { continue }
            if max(child.base, child.current) < smallest {
                omitted += 1
            } else {
                place(
                    child, depth: depth + 1, base: baseOffset, current: currentOffset,
                    smallest: smallest)
            }
            baseOffset = baseOffset.saturatingAdd(child.base)
            currentOffset = currentOffset.saturatingAdd(child.current)
        }
        if nodes.count == placedBefore { leaves.insert(index) }
    }
}
