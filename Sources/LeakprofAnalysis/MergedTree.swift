internal import LeakprofModel

/// Merged stacks as a tree of functions: lines of one function are one node.
struct MergedTree {
    struct Node {
        var parent: Int32
        /// Index into the stacks' functions; -1 for the root.
        var function: Int32
        var amounts = MergedAmounts()
        var isWithinSite = false
        var hasNotableGrowth = false
        var hasNotableShrinkage = false
        var firstChild: Int32 = -1
        var nextSibling: Int32 = -1
        /// The first of the stacks' nodes that are this one.
        var firstMember: Int32 = -1
    }

    let stacks: MergedStacks
    /// What ends at each of the stacks' nodes.
    private(set) var ends: [MergedAmounts]
    private(set) var nodes: [Node] = []
    private var nextMember: [Int32]
    private(set) var omitted = 0
    let notable: Int64
    private var smallest: Smallest
    /// Of the stacks' nodes, with what they called.
    private let sums: [MergedAmounts]

    /// What a frame must have to be kept in a tree.
    struct Smallest {
        var all: Double
        var grown: Double
        var shrunk: Double

        init(share: Double, of total: MergedAmounts) {
            all = Double(total.all) * share
            grown = max(1, Double(total.grown) * share)
            shrunk = max(1, Double(total.shrunk) * share)
        }

        func accepts(_ amounts: MergedAmounts) -> Bool {
            Double(amounts.all) >= all || Double(amounts.grown) >= grown
                || Double(amounts.shrunk) >= shrunk
        }
    }

    init(_ stacks: MergedStacks, _ limits: ComparisonTree.Limits) {
        self.stacks = stacks
        ends = stacks.nodes.map { node in
            var amounts = node.amounts
            amounts.kept = min(node.base, node.current)
            amounts.grown = node.current.saturatingSubtract(amounts.kept)
            amounts.shrunk = node.base.saturatingSubtract(amounts.kept)
            return amounts
        }
        // A node comes after its parent.
        var sums = ends
        var isWithinSite = stacks.nodes.map(\.isWithinSite)
        for index in stacks.nodes.indices.dropFirst().reversed() {
            let parent = Int(stacks.nodes[index].parent)
            sums[parent] += sums[index]
            if isWithinSite[index] { isWithinSite[parent] = true }
        }
        self.sums = sums
        nextMember = Array(repeating: -1, count: sums.count)
        let thousandth = sums[0].grown / 1000
        notable = stacks.sampleType.unit == "bytes" ? max(64 << 10, thousandth) : thousandth
        nodes = [Node(parent: -1, function: -1)]
        smallest = Smallest(share: 0, of: sums[0])
        merge(sums, isWithinSite)
        judge()
        var share = limits.share
        var smallest = Smallest(share: share, of: sums[0])
        var count = nodes.count { smallest.accepts($0.amounts) }
        while count > limits.frames && share < 1 {
            share = max(share * 1.5, 1e-6)
            smallest = Smallest(share: share, of: sums[0])
            count = nodes.count { smallest.accepts($0.amounts) }
        }
        self.smallest = smallest
        omitted = nodes.dropFirst().count { $0.isWithinSite && !smallest.accepts($0.amounts) }
    }

    private mutating func merge(_ sums: [MergedAmounts], _ isWithinSite: [Bool]) {
        var known: [UInt64: Int32] = [:]
        var merged: [Int32] = [0]
        merged.reserveCapacity(sums.count)
        nodes[0].amounts = sums[0]
        nodes[0].isWithinSite = true
        nodes[0].firstMember = 0
        for index in stacks.nodes.indices.dropFirst() {
            let parent = merged[Int(stacks.nodes[index].parent)]
            let function = stacks.lines[Int(stacks.nodes[index].line)].function
            let key =
                UInt64(UInt32(bitPattern: parent)) << 32 | UInt64(UInt32(bitPattern: function))
            let node = known[key] ?? Int32(nodes.count)
            if node == nodes.count {
                known[key] = node
                nodes.append(Node(parent: parent, function: function))
                nodes[Int(node)].nextSibling = nodes[Int(parent)].firstChild
                nodes[Int(parent)].firstChild = node
            }
            merged.append(node)
            nodes[Int(node)].amounts += sums[index]
            if isWithinSite[index] { nodes[Int(node)].isWithinSite = true }
            nextMember[index] = nodes[Int(node)].firstMember
            nodes[Int(node)].firstMember = Int32(index)
        }
    }

    /// Finds the nodes whose change is worth a look.
    private mutating func judge() {
        for index in nodes.indices.reversed() {
            let amounts = nodes[index].amounts
            let isCertain = isCertain(amounts)
            if isCertain && amounts.grown >= max(1, notable) {
                nodes[index].hasNotableGrowth = true
            }
            if isCertain && amounts.shrunk >= max(1, notable) {
                nodes[index].hasNotableShrinkage = true
            }
            guard index > 0 else { continue }
            // What one child lost does not make uncertain what another one gained.
            let parent = Int(nodes[index].parent)
            if nodes[index].hasNotableGrowth { nodes[parent].hasNotableGrowth = true }
            if nodes[index].hasNotableShrinkage { nodes[parent].hasNotableShrinkage = true }
        }
    }

    /// Whether a change is more than twice its standard error, or exact.
    func isCertain(_ amounts: MergedAmounts) -> Bool {
        let variance = amounts.changeVariance
        guard variance > 0 else { return true }
        let change = amounts.grown.saturatingSubtract(amounts.shrunk)
        return Double(change.magnitude) >= 2 * Double(variance).squareRoot()
    }

    // MARK: The result

    func root() -> ComparisonTree.Node { node(0) }

    private func node(_ index: Int32) -> ComparisonTree.Node {
        let node = nodes[Int(index)]
        var lines: [Int64: (grown: Int64, kept: Int64)] = [:]
        var member = node.firstMember
        while member > 0 {
            let line = stacks.lines[Int(stacks.nodes[Int(member)].line)].line
            let sums = sums[Int(member)]
            Self.add((sums.grown, sums.kept), at: line, to: &lines)
            member = nextMember[Int(member)]
        }
        var result = make(node.function, node.amounts, lines)
        result.isMachinery = !node.isWithinSite
        result.hasNotableGrowth = node.hasNotableGrowth
        result.hasNotableShrinkage = node.hasNotableShrinkage
        var children: [(order: Order, index: Int32)] = []
        var child = node.firstChild
        while child >= 0 {
            if smallest.accepts(nodes[Int(child)].amounts) {
                children.append(
                    (order(of: nodes[Int(child)].function, nodes[Int(child)].amounts), child))
            }
            child = nodes[Int(child)].nextSibling
        }
        result.children = children.sorted { $0.order < $1.order }.map { self.node($0.index) }
        return result
    }

    /// Sums of a function's lines.
    typealias Lines = [Int64: (grown: Int64, kept: Int64)]

    static func add(
        _ amounts: (grown: Int64, kept: Int64), at line: Int64, to lines: inout Lines
    ) {
        guard line != 0 else { return }
        let seen = lines[line] ?? (0, 0)
        lines[line] = (
            MergedAmounts.sum(seen.grown, amounts.grown), MergedAmounts.sum(seen.kept, amounts.kept)
        )
    }

    /// A node without children, of which nothing is worth a look.
    func make(_ function: Int32, _ amounts: MergedAmounts, _ lines: Lines) -> ComparisonTree.Node {
        let lines = lines.sorted { left, right in
            (right.value.grown, right.value.kept, left.key)
                < (left.value.grown, left.value.kept, right.key)
        }.map(\.key)
        let function = function >= 0 ? Int(function) : nil
        let named = function.map { stacks.functions[$0] }
        return ComparisonTree.Node(
            frame: Frame(
                function: named?.name ?? "", file: named?.file ?? "", line: lines.first ?? 0),
            module: named?.module ?? "", buildID: function.map { stacks.builds[$0] } ?? "",
            lines: lines, kept: amounts.kept, grown: amounts.grown, shrunk: amounts.shrunk,
            baseObjects: amounts.baseObjects, currentObjects: amounts.currentObjects,
            changeError: Int64(Double(amounts.changeVariance).squareRoot().rounded()),
            hasNotableGrowth: false, hasNotableShrinkage: false, isMachinery: false, children: [])
    }

    /// By what siblings are ordered.
    struct Order: Comparable {
        var size: Int64
        var function: MergedStacks.Function

        static func < (left: Self, right: Self) -> Bool {
            if left.size != right.size { return left.size > right.size }
            return (
                left.function.name, left.function.file, left.function.module, left.function.build
            )
                < (
                    right.function.name, right.function.file, right.function.module,
                    right.function.build
                )
        }
    }

    func order(of function: Int32, _ amounts: MergedAmounts) -> Order {
        Order(
            size: stacks.isSingle ? amounts.kept : amounts.grown,
            function: stacks.functions[Int(function)])
    }
}

/// Merged stacks from their sites outwards.
///
/// What is too small to be kept is not followed further.
struct InvertedTree {
    private let tree: MergedTree
    private let stacks: MergedStacks
    private var limit: MergedTree.Smallest
    private var count = 0
    /// A frame per function while siblings are told apart; -1 in between.
    private var slots: [Int32]

    /// A stack, and the node of it that is looked at.
    private struct Item {
        var node: Int32
        var end: Int32
    }

    init(_ tree: MergedTree) {
        self.tree = tree
        stacks = tree.stacks
        limit = MergedTree.Smallest(share: 0, of: MergedAmounts())
        slots = Array(repeating: -1, count: tree.stacks.functions.count)
    }

    consuming func root(_ limits: ComparisonTree.Limits) -> ComparisonTree.Node {
        let total = tree.nodes[0].amounts
        let items = stacks.nodes.indices.filter { stacks.nodes[$0].site >= 0 }.map {
            Item(node: stacks.nodes[$0].site, end: Int32($0))
        }
        var share = limits.share
        while true {
            limit = MergedTree.Smallest(share: share, of: total)
            count = 0
            var root = tree.make(-1, total, [:])
            (root.children, root.hasNotableGrowth, root.hasNotableShrinkage) = children(items)
            root.hasNotableGrowth = tree.nodes[0].hasNotableGrowth
            root.hasNotableShrinkage = tree.nodes[0].hasNotableShrinkage
            if count <= limits.frames || share >= 1 { return root }
            share = max(share * 2, 1e-6)
        }
    }

    private struct Group {
        var function: Int32
        var amounts = MergedAmounts()
        var items: [Item] = []
    }

    private mutating func groups(_ items: [Item]) -> [Group] {
        var groups: [Group] = []
        for item in items where item.node > 0 {
            let function = stacks.lines[Int(stacks.nodes[Int(item.node)].line)].function
            if slots[Int(function)] < 0 {
                slots[Int(function)] = Int32(groups.count)
                groups.append(Group(function: function))
            }
            let slot = Int(slots[Int(function)])
            groups[slot].amounts += tree.ends[Int(item.end)]
            groups[slot].items.append(item)
        }
        for group in groups { slots[Int(group.function)] = -1 }
        return groups
    }

    private mutating func children(_ items: [Item]) -> ([ComparisonTree.Node], Bool, Bool) {
        let kept = groups(items).filter { limit.accepts($0.amounts) }
            .map { (order: tree.order(of: $0.function, $0.amounts), group: $0) }
            .sorted { $0.order < $1.order }
        count += kept.count
        var nodes: [ComparisonTree.Node] = []
        for (_, group) in kept { nodes.append(node(group)) }
        return (
            nodes, nodes.contains(where: \.hasNotableGrowth),
            nodes.contains(where: \.hasNotableShrinkage)
        )
    }

    private mutating func node(_ group: Group) -> ComparisonTree.Node {
        var lines: MergedTree.Lines = [:]
        // Stacks come in the order of their nodes, so that many of one line follow each other.
        var line: Int32 = -1
        var amounts: (grown: Int64, kept: Int64) = (0, 0)
        for item in group.items {
            let next = stacks.nodes[Int(item.node)].line
            if next != line {
                if line >= 0 {
                    MergedTree.add(amounts, at: stacks.lines[Int(line)].line, to: &lines)
                }
                line = next
                amounts = (0, 0)
            }
            amounts.grown = MergedAmounts.sum(amounts.grown, tree.ends[Int(item.end)].grown)
            amounts.kept = MergedAmounts.sum(amounts.kept, tree.ends[Int(item.end)].kept)
        }
        if line >= 0 { MergedTree.add(amounts, at: stacks.lines[Int(line)].line, to: &lines) }
        var node = tree.make(group.function, group.amounts, lines)
        let outer = group.items.map { Item(node: stacks.nodes[Int($0.node)].parent, end: $0.end) }
        let below = children(outer)
        let isCertain = tree.isCertain(group.amounts)
        let least = max(1, tree.notable)
        node.children = below.0
        node.hasNotableGrowth = below.1 || isCertain && group.amounts.grown >= least
        node.hasNotableShrinkage = below.2 || isCertain && group.amounts.shrunk >= least
        return node
    }
}
