/// A tree whose nodes are numbers, each told from its siblings by a tag.
///
/// The first node, 0, is the root; a node comes after its parent. Stacks make trees of millions of nodes, most
/// of which have one child, made right after them: that one is found where the parent is, without a hash table.
struct NumberedTree {
    private struct Node {
        var parent: Int32
        var tag: Int32
        var firstChild: Int32 = -1
        var nextSibling: Int32 = -1
        var childCount: Int32 = 0
    }

    private var nodes = [Node(parent: -1, tag: -1)]
    /// Children of nodes that have more than are worth going through.
    private var index: [UInt64: Int32] = [:]
    private static let fewChildren = 8

    var count: Int { nodes.count }

    func parent(of node: Int32) -> Int32 { nodes[Int(node)].parent }
    /// -1 for the root.
    func tag(of node: Int32) -> Int32 { nodes[Int(node)].tag }

    /// The child with this tag; the node is ``count`` when it had to be made.
    mutating func child(of parent: Int32, tagged tag: Int32) -> Int32 {
        var child = nodes[Int(parent)].firstChild
        let isIndexed = nodes[Int(parent)].childCount > Self.fewChildren
        if isIndexed {
            if let known = index[Self.key(parent, tag)] { return known }
        } else {
            while child >= 0 {
                if nodes[Int(child)].tag == tag { return child }
                child = nodes[Int(child)].nextSibling
            }
        }
        let made = Int32(nodes.count)
        nodes.append(
            Node(parent: parent, tag: tag, nextSibling: nodes[Int(parent)].firstChild))
        nodes[Int(parent)].firstChild = made
        nodes[Int(parent)].childCount += 1
        if isIndexed {
            index[Self.key(parent, tag)] = made
        } else if nodes[Int(parent)].childCount > Self.fewChildren {
            for child in children(of: parent) {
                index[Self.key(parent, nodes[Int(child)].tag)] = child
            }
        }
        return made
    }

    /// The child with this tag, if it has been made.
    func existingChild(of parent: Int32, tagged tag: Int32) -> Int32? {
        if nodes[Int(parent)].childCount > Self.fewChildren { return index[Self.key(parent, tag)] }
        return children(of: parent).first { nodes[Int($0)].tag == tag }
    }

    /// The last one made comes first.
    func children(of node: Int32) -> some Sequence<Int32> {
        sequence(state: nodes[Int(node)].firstChild) { next in
            guard next >= 0 else { return nil }
            let child = next
            next = nodes[Int(next)].nextSibling
            return child
        }
    }

    private static func key(_ parent: Int32, _ tag: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: parent)) << 32 | UInt64(UInt32(bitPattern: tag))
    }
}
