internal import LeakprofAnalysis
internal import LeakprofModel

/// A comparison tree as rows of frames, in bytes: nothing here knows of SVG.
struct FlameGraphLayout {
    /// A frame where it is drawn, with as much of its bytes as the lens shows.
    struct Frame {
        var node: ComparisonTree.Node
        /// Rows below the root.
        var depth: Int
        /// Where it begins, in bytes from the graph's left edge.
        var offset: Int64
        var part: Part
        /// The allocation machinery below it, which is drawn as a part of it.
        var folded: [String]
        /// Whether nothing but machinery is below it: memory is asked for here.
        var isLeaf: Bool
    }

    /// The widths of a frame's segments, in bytes.
    struct Part: Equatable {
        var kept: Int64 = 0
        var grown: Int64 = 0
        var shrunk: Int64 = 0

        var width: Int64 { kept.saturatingAdd(grown).saturatingAdd(shrunk) }
    }

    /// What a graph shows of a node.
    enum Content {
        case growth, union, before, after, beforeOfTwo, afterOfTwo

        func part(of node: ComparisonTree.Node) -> Part {
            switch self {
            case .growth: Part(grown: node.grown)
            case .union: Part(kept: node.kept, grown: node.grown, shrunk: node.shrunk)
            case .before: Part(kept: node.base)
            case .after: Part(kept: node.current)
            case .beforeOfTwo: Part(kept: node.kept, shrunk: node.shrunk)
            case .afterOfTwo: Part(kept: node.kept, grown: node.grown)
            }
        }
    }

    /// The frames of each graph, outermost first.
    private(set) var graphs: [[Frame]] = []
    /// Rows of the tallest graph.
    private(set) var depth = 1

    /// Lays out a tree once for each of `contents`, on one scale, without frames that are narrower than
    /// `threshold` of the widest graph, or than what makes more than `most` of them.
    init(
        _ root: ComparisonTree.Node, _ contents: [Content], threshold: Double = 0, most: Int = .max
    ) {
        let widest = Double(contents.map { $0.part(of: root).width }.max() ?? 0)
        var threshold = threshold
        repeat {
            let smallest = max(1, widest * threshold)
            graphs = contents.map { content in
                var frames: [Frame] = []
                place(root, content, depth: 0, offset: 0, smallest: smallest, into: &frames)
                return frames
            }
            threshold = max(threshold * 1.5, 1e-6)
        } while graphs.reduce(0, { $0 + $1.count }) > most && threshold < 1
        depth = (graphs.joined().map(\.depth).max() ?? 0) + 1
    }

    private func place(
        _ node: ComparisonTree.Node, _ content: Content, depth: Int, offset: Int64,
        smallest: Double, into frames: inout [Frame]
    ) {
        let part = content.part(of: node)
        // The root is there even if nothing is in it.
        guard depth == 0 || Double(part.width) >= smallest else { return }
        let folded = node.children.filter(\.isMachinery).map(\.frame.function)
        frames.append(
            Frame(
                node: node, depth: depth, offset: offset, part: part, folded: folded,
                isLeaf: node.children.allSatisfy(\.isMachinery)))
        var offset = offset
        for child in node.children where !child.isMachinery {
            place(
                child, content, depth: depth + 1, offset: offset, smallest: smallest, into: &frames)
            offset = offset.saturatingAdd(content.part(of: child).width)
        }
    }
}
