internal import LeakprofModel

/// Merged stacks as a tree of functions: lines of one function are one node.
struct MergedTree {
    struct Node {
        var amounts = MergedAmounts()
        var isWithinSite = false
        var hasNotableGrowth = false
        var hasNotableShrinkage = false
        /// The first of the stacks' nodes that are this one.
        var firstMember: Int32 = -1
    }

    /// What lines are ordered by.
    struct Growth {
        var grown: Int64 = 0
        var kept: Int64 = 0

        static func += (left: inout Self, right: Self) {
            MergedAmounts.add(right.grown, to: &left.grown)
            MergedAmounts.add(right.kept, to: &left.kept)
        }
    }

    let stacks: MergedStacks
    /// By index into the stacks' ends.
    let ends: [MergedAmounts]
    private(set) var nodes: [Node] = []
    /// The same nodes, tagged with their indices into the stacks' functions.
    private var shape = NumberedTree()
    private var nextMember: [Int32]
    private(set) var omitted = 0
    let notable: Int64
    private var smallest: Smallest
    /// By end: its node.
    private var endNodes: [Int32] = []
    /// Of the stacks' nodes, with what they called.
    private let growths: [Growth]
    let births: BirthEpochs

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
        ends = stacks.ends.map { end in
            var amounts = end.amounts
            amounts.kept = min(end.base, end.current)
            amounts.grown = end.current.saturatingSubtract(amounts.kept)
            amounts.shrunk = end.base.saturatingSubtract(amounts.kept)
            return amounts
        }
        var growths = [Growth](repeating: Growth(), count: stacks.nodes.count)
        for (end, amounts) in zip(stacks.ends, ends) {
            growths[Int(end.node)] += Growth(grown: amounts.grown, kept: amounts.kept)
        }
        for index in stride(from: growths.count - 1, to: 0, by: -1) {
            growths[Int(stacks.nodes.parent(of: Int32(index)))] += growths[index]
        }
        self.growths = growths
        births = BirthEpochs(stacks)
        nextMember = Array(repeating: -1, count: growths.count)
        let thousandth = growths[0].grown / 1000
        notable = stacks.sampleType.unit == "bytes" ? max(64 << 10, thousandth) : thousandth
        smallest = Smallest(share: 0, of: MergedAmounts())
        merge()
        judge()
        var share = limits.share
        var smallest = Smallest(share: share, of: nodes[0].amounts)
        var count = nodes.count { smallest.accepts($0.amounts) }
        while count > limits.frames && share < 1 {
            share = max(share * 1.5, 1e-6)
            smallest = Smallest(share: share, of: nodes[0].amounts)
            count = nodes.count { smallest.accepts($0.amounts) }
        }
        self.smallest = smallest
        omitted = nodes.dropFirst().count { $0.isWithinSite && !smallest.accepts($0.amounts) }
    }

    private mutating func merge() {
        var merged: [Int32] = [0]
        merged.reserveCapacity(stacks.nodes.count)
        nodes = [Node(isWithinSite: true, firstMember: 0)]
        for index in 1..<Int32(stacks.nodes.count) {
            let parent = merged[Int(stacks.nodes.parent(of: index))]
            let function = stacks.lines[Int(stacks.nodes.tag(of: index))].function
            let node = Int(shape.child(of: parent, tagged: function))
            if node == nodes.count { nodes.append(Node()) }
            merged.append(Int32(node))
            if stacks.isSite[Int(index)] { nodes[node].isWithinSite = true }
            nextMember[Int(index)] = nodes[node].firstMember
            nodes[node].firstMember = index
        }
        endNodes = stacks.ends.map { merged[Int($0.node)] }
        for (node, amounts) in zip(endNodes, ends) { nodes[Int(node)].amounts += amounts }
        for newborn in stacks.newborns {
            nodes[Int(merged[Int(newborn.node)])].amounts += MergedAmounts(
                newObjects: newborn.objects, newLiveObjects: newborn.liveObjects)
        }
        for index in stride(from: nodes.count - 1, to: 0, by: -1) {
            let parent = Int(shape.parent(of: Int32(index)))
            nodes[parent].amounts += nodes[index].amounts
            if nodes[index].isWithinSite { nodes[parent].isWithinSite = true }
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
            let parent = Int(shape.parent(of: Int32(index)))
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

    func root() -> ComparisonTree.Node {
        // What is left out counts for the innermost frame that is kept.
        var nextEnd = Array(repeating: Int32(-1), count: endNodes.count)
        var firstEnd = Array(repeating: Int32(-1), count: nodes.count)
        for end in endNodes.indices {
            var node = endNodes[end]
            while node > 0 && !smallest.accepts(nodes[Int(node)].amounts) {
                node = shape.parent(of: node)
            }
            nextEnd[end] = firstEnd[Int(node)]
            firstEnd[Int(node)] = Int32(end)
        }
        func ends(of node: Int32) -> some Sequence<Int32> {
            sequence(state: firstEnd[Int(node)]) { next in
                guard next >= 0 else { return nil }
                let end = next
                next = nextEnd[Int(next)]
                return end
            }
        }
        var births = births.none
        return node(0, &births) { node, sums in
            for end in ends(of: node) { self.births.add(end: end, to: &sums) }
        }
    }

    /// Makes a node and what is below it, and adds its blocks to `births`.
    private func node(
        _ index: Int32, _ births: inout BirthEpochs.Sums,
        addOwn: (Int32, inout BirthEpochs.Sums) -> Void
    ) -> ComparisonTree.Node {
        let node = nodes[Int(index)]
        var lines = Lines()
        var member = node.firstMember
        while member > 0 {
            lines.add(
                growths[Int(member)],
                at: stacks.lines[Int(stacks.nodes.tag(of: member))].line)
            member = nextMember[Int(member)]
        }
        var result = make(shape.tag(of: index), node.amounts, lines)
        result.isMachinery = !node.isWithinSite
        result.hasNotableGrowth = node.hasNotableGrowth
        result.hasNotableShrinkage = node.hasNotableShrinkage
        var children: [(order: Order, index: Int32)] = []
        for child in shape.children(of: index) where smallest.accepts(nodes[Int(child)].amounts) {
            children.append((order(of: shape.tag(of: child), nodes[Int(child)].amounts), child))
        }
        children.sort { $0.order < $1.order }
        result.children.reserveCapacity(children.count)
        var below = self.births.none
        addOwn(index, &below)
        for child in children {
            result.children.append(self.node(child.index, &below, addOwn: addOwn))
        }
        result.medianEpoch = self.births.median(of: below)
        births += below
        return result
    }

    /// Sums of a function's lines, of which there is one most of the time.
    struct Lines {
        private var first: (line: Int64, growth: Growth)?
        private var others: [Int64: Growth] = [:]

        mutating func add(_ growth: Growth, at line: Int64) {
            guard line != 0 else { return }
            if first == nil || first?.line == line {
                first = (line, first?.growth ?? Growth())
                first?.growth += growth
            } else {
                others[line, default: Growth()] += growth
            }
        }

        /// The one that grew most first.
        var sorted: [Int64] {
            guard let first else { return [] }
            if others.isEmpty { return [first.line] }
            return (others.map { ($0.key, $0.value) } + [first]).sorted { left, right in
                (right.1.grown, right.1.kept, left.0) < (left.1.grown, left.1.kept, right.0)
            }.map(\.0)
        }
    }

    /// A node without children, of which nothing is worth a look.
    func make(_ function: Int32, _ amounts: MergedAmounts, _ lines: Lines) -> ComparisonTree.Node {
        let lines = lines.sorted
        let function = function >= 0 ? Int(function) : nil
        let named = function.map { stacks.functions[$0] }
        return ComparisonTree.Node(
            frame: Frame(
                function: named?.name ?? "", file: named?.file ?? "", line: lines.first ?? 0),
            module: named?.module ?? "", buildID: function.map { stacks.builds[$0] } ?? "",
            lines: lines, kept: amounts.kept, grown: amounts.grown, shrunk: amounts.shrunk,
            baseObjects: amounts.baseObjects, currentObjects: amounts.currentObjects,
            changeError: Int64(Double(amounts.changeVariance).squareRoot().rounded()),
            newObjects: amounts.newObjects, newLiveObjects: amounts.newLiveObjects,
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
    /// Those of one group follow each other, and within it those of each group further out.
    private var items: [Item] = []
    private var sorted: [Item] = []
    /// A group per function while siblings are told apart; -1 in between.
    private var slots: [Int32]
    private var levels: [Level]
    /// The level whose frames are kept.
    private var level = 0
    private let most: Int
    private var isBuilding = true

    /// A stack, and the node of it that is looked at.
    private struct Item {
        var node: Int32
        var end: Int32
    }

    /// How large a frame must be to be kept, and how many are.
    private struct Level {
        var smallest: MergedTree.Smallest
        var count = 0
    }

    init(_ tree: MergedTree, _ limits: ComparisonTree.Limits) {
        self.tree = tree
        stacks = tree.stacks
        slots = Array(repeating: -1, count: tree.stacks.functions.count)
        most = limits.frames
        let total = tree.nodes[0].amounts
        var share = limits.share
        levels = [Level(smallest: MergedTree.Smallest(share: share, of: total))]
        while share < 1 {
            share = max(share * 2, 1e-6)
            levels.append(Level(smallest: MergedTree.Smallest(share: share, of: total)))
        }
    }

    /// The tree with as many frames as there may be.
    ///
    /// What is kept at one level is kept at all below it, and so are the frames inside of it: one pass finds out
    /// which level it takes, and leaves out at once what is too small for it.
    consuming func root() -> ComparisonTree.Node {
        var root = tree.make(-1, tree.nodes[0].amounts, MergedTree.Lines())
        let first = children(restart()).nodes
        if isBuilding {
            root.children = first
        } else {
            isBuilding = true
            root.children = children(restart()).nodes
        }
        root.hasNotableGrowth = tree.nodes[0].hasNotableGrowth
        root.hasNotableShrinkage = tree.nodes[0].hasNotableShrinkage
        return root
    }

    /// Begins anew with all stacks at their sites.
    private mutating func restart() -> Range<Int> {
        items = stacks.ends.indices.map { Item(node: stacks.ends[$0].site, end: Int32($0)) }
        sorted = items
        for index in levels.indices { levels[index].count = 0 }
        return items.indices
    }

    private struct Group {
        var function: Int32
        var amounts = MergedAmounts()
        var items = 0..<0
    }

    private func function(of item: Item) -> Int32 {
        stacks.lines[Int(stacks.nodes.tag(of: item.node))].function
    }

    /// Brings the items in the order of their functions, without those of functions that are too small.
    private mutating func groups(_ range: Range<Int>) -> [Group] {
        var groups: [Group] = []
        var counts: [Int] = []
        for item in items[range] where item.node > 0 {
            let function = Int(function(of: item))
            if slots[function] < 0 {
                slots[function] = Int32(groups.count)
                groups.append(Group(function: Int32(function)))
                counts.append(0)
            }
            groups[Int(slots[function])].amounts += tree.ends[Int(item.end)]
            counts[Int(slots[function])] += 1
        }
        // Where each group's next item goes; nowhere if it is too small.
        var next = Array(repeating: -1, count: groups.count)
        var end = range.lowerBound
        for index in groups.indices where keeps(groups[index].amounts) {
            next[index] = end
            groups[index].items = end..<end + counts[index]
            end += counts[index]
        }
        for item in items[range] where item.node > 0 {
            let slot = Int(slots[Int(function(of: item))])
            guard next[slot] >= 0 else { continue }
            sorted[next[slot]] = item
            next[slot] += 1
        }
        for index in range.lowerBound..<end { items[index] = sorted[index] }
        for group in groups { slots[Int(group.function)] = -1 }
        return groups.filter { !$0.items.isEmpty }
    }

    /// Whether a frame is large enough, of which it takes note.
    private mutating func keeps(_ amounts: MergedAmounts) -> Bool {
        var accepting = level
        while accepting < levels.count, levels[accepting].smallest.accepts(amounts) {
            levels[accepting].count += 1
            accepting += 1
        }
        while levels[level].count > most && level < levels.count - 1 {
            level += 1
            isBuilding = false
        }
        return accepting > level
    }

    private typealias Children = (
        nodes: [ComparisonTree.Node], hasNotableGrowth: Bool, hasNotableShrinkage: Bool
    )

    private mutating func children(_ range: Range<Int>) -> Children {
        let groups = groups(range)
        var result: Children = ([], false, false)
        guard isBuilding else {
            for group in groups { _ = children(outwards(group)) }
            return result
        }
        let ordered = groups.map { (order: tree.order(of: $0.function, $0.amounts), group: $0) }
            .sorted { $0.order < $1.order }
        result.nodes.reserveCapacity(ordered.count)
        for (_, group) in ordered {
            let node = node(group)
            if node.hasNotableGrowth { result.hasNotableGrowth = true }
            if node.hasNotableShrinkage { result.hasNotableShrinkage = true }
            result.nodes.append(node)
        }
        return result
    }

    private mutating func node(_ group: Group) -> ComparisonTree.Node {
        var lines = MergedTree.Lines()
        var births = tree.births.none
        for item in items[group.items] {
            tree.births.add(end: item.end, to: &births)
            let amounts = tree.ends[Int(item.end)]
            lines.add(
                MergedTree.Growth(grown: amounts.grown, kept: amounts.kept),
                at: stacks.lines[Int(stacks.nodes.tag(of: item.node))].line)
        }
        var node = tree.make(group.function, group.amounts, lines)
        node.medianEpoch = tree.births.median(of: births)
        let below = children(outwards(group))
        let isCertain = tree.isCertain(group.amounts)
        let least = max(1, tree.notable)
        node.children = below.nodes
        node.hasNotableGrowth =
            below.hasNotableGrowth || isCertain && group.amounts.grown >= least
        node.hasNotableShrinkage =
            below.hasNotableShrinkage || isCertain && group.amounts.shrunk >= least
        return node
    }

    /// Moves a group's stacks on to their callers.
    private mutating func outwards(_ group: Group) -> Range<Int> {
        for index in group.items {
            items[index].node = stacks.nodes.parent(of: items[index].node)
        }
        return group.items
    }
}
