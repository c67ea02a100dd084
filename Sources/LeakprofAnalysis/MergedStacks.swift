internal import LeakprofModel

/// Sums of the stacks that end at, or run through, a node.
struct MergedAmounts {
    var kept: Int64 = 0
    var grown: Int64 = 0
    var shrunk: Int64 = 0
    var baseObjects: Int64 = 0
    var currentObjects: Int64 = 0
    /// Variances of the base, of what the current snapshot has left of it, and of what was born since.
    var baseVariance: Int64 = 0
    var keptVariance: Int64 = 0
    var bornVariance: Int64 = 0
    /// Blocks allocated after the base, and those of them that are live.
    var newObjects: Int64 = 0
    var newLiveObjects: Int64 = 0

    /// Blocks in both snapshots are the same blocks and cancel out, as far as none were thinned out since.
    var changeVariance: Int64 {
        bornVariance.saturatingAdd(baseVariance.distance(keptVariance))
    }

    var all: Int64 { kept.saturatingAdd(grown).saturatingAdd(shrunk) }

    static func += (left: inout Self, right: Self) {
        add(right.kept, to: &left.kept)
        add(right.grown, to: &left.grown)
        add(right.shrunk, to: &left.shrunk)
        add(right.baseObjects, to: &left.baseObjects)
        add(right.currentObjects, to: &left.currentObjects)
        add(right.baseVariance, to: &left.baseVariance)
        add(right.keptVariance, to: &left.keptVariance)
        add(right.bornVariance, to: &left.bornVariance)
        add(right.newObjects, to: &left.newObjects)
        add(right.newLiveObjects, to: &left.newLiveObjects)
    }

    static func add(_ amount: Int64, to sum: inout Int64) { sum = sum.saturatingAdd(amount) }
}

/// The stacks of two snapshots as one tree of frames with lines, outermost first.
///
/// Frames are numbers here: a snapshot of 100,000 stacks has a few thousand different ones, and comparing
/// names for each frame of each stack would be most of the time a comparison takes.
struct MergedStacks {
    enum Side { case base, current, both }

    /// What two frames must have in common to be one in a graph.
    struct Function: Hashable {
        var name: String
        var file: String
        var module: String
        /// Of a frame without a symbol, which is nothing but an offset into this very build; else empty.
        var build: String
    }

    struct Line: Hashable {
        var function: Int32
        var line: Int64
    }

    /// Blocks born in one epoch on the stacks of one end.
    struct Birth {
        var end: Int32
        var epoch: UInt32
        var blocks: Int64
    }

    /// Blocks allocated after the base on stacks that run through one node, and those of them that are live.
    struct Newborn {
        var node: Int32
        var objects: Int64
        var liveObjects: Int64
    }

    /// The stacks that end at one node.
    struct End {
        var node: Int32
        /// The node of their site.
        var site: Int32
        var base: Int64 = 0
        var current: Int64 = 0
        var amounts = MergedAmounts()
    }

    private(set) var functions: [Function] = []
    /// Build IDs of the functions' modules.
    private(set) var builds: [String] = []
    private(set) var lines: [Line] = []
    /// A node per frame on the stacks that run through it, tagged with its index into ``lines``.
    private(set) var nodes = NumberedTree()
    /// Whether a stack's site is at the node itself.
    private(set) var isSite = [false]
    private(set) var ends: [End] = []
    /// Live blocks of the current snapshot, in no order.
    private(set) var births: [Birth] = []
    /// Of the current snapshot, in no order.
    ///
    /// Where nothing of a stack is live, it counts for as much of it as another stack has too.
    private(set) var newborns: [Newborn] = []
    let sampleType: SampleType
    /// Whether there is no base, so that nothing has grown.
    private(set) var isSingle = false
    private let filters: Filters
    private var functionNumbers: [Function: Int32] = [:]
    private var lineNumbers: [Line: Int32] = [:]
    /// By node: index into ``ends``; -1 where no stack ends.
    private var endNumbers: [Int32] = [-1]

    init(sampleType: SampleType, filters: Filters) {
        self.sampleType = sampleType
        self.filters = filters
    }

    /// A frame of a location.
    private struct Step {
        var line: Int32
        var isMachinery: Bool
        var hasLine: Bool
    }

    /// Adds a snapshot's stacks; blocks born in the epoch `cut` or before are in the base as well.
    mutating func add(_ snapshot: Snapshot, _ side: Side, cut: UInt32?) {
        isSingle = side == .both
        let steps = snapshot.locations.map { self.steps(of: $0, in: snapshot) }
        let isFiltered = !filters.include.isEmpty || !filters.exclude.isEmpty
        let filtered = isFiltered ? StackFrames(snapshot) : nil
        let measures = Measures(sampleType)
        var walk = Walk()
        var freed: [Sample] = []
        for sample in snapshot.samples {
            let isNew =
                side == .current && measures.isInUse && cut.map { sample.epoch > $0 } == true
            if let epoch = filters.bornAfterEpoch, sample.epoch <= epoch { continue }
            // Sums below zero, as a profile of a difference has them, can't be drawn.
            let amount = sample.counts[sampleType]
            guard amount > 0 else {
                if isNew && sample.counts.allocObjects > 0 { freed.append(sample) }
                continue
            }
            let machinery = Self.machineryDepth(of: sample, steps)
            if let filtered, !filters.accepts(filtered.sites(of: sample).dropFirst(machinery)) {
                continue
            }
            let frames = walk.read(sample, steps)
            let end = follow(&walk)
            // Of a stack deeper than the limit, the inner end is not there.
            let depth = min(walk.nodes.count, frames - machinery)
            let site = depth > 0 ? walk.nodes[depth - 1] : end
            isSite[Int(site)] = true
            if endNumbers[Int(end)] < 0 {
                endNumbers[Int(end)] = Int32(ends.count)
                ends.append(End(node: end, site: site))
            }
            let index = Int(endNumbers[Int(end)])
            ends[index].site = site
            if side != .base, measures.isInUse, sample.epoch > 0, sample.counts.inuseObjects > 0 {
                births.append(
                    Birth(
                        end: Int32(index), epoch: sample.epoch, blocks: sample.counts.inuseObjects))
            }
            count(
                amount, measures.count(sample.counts), sample, side,
                isOld: cut.map { sample.epoch <= $0 },
                at: index)
            if isNew { addNewborn(sample, at: end) }
        }
        for sample in freed {
            let machinery = Self.machineryDepth(of: sample, steps)
            if let filtered, !filters.accepts(filtered.sites(of: sample).dropFirst(machinery)) {
                continue
            }
            addNewborn(sample, at: innermostKnown(of: sample, steps))
        }
    }

    private mutating func addNewborn(_ sample: Sample, at node: Int32) {
        newborns.append(
            Newborn(
                node: node, objects: sample.counts.allocObjects,
                liveObjects: sample.counts.inuseObjects))
    }

    /// The innermost node that a stack runs through.
    private func innermostKnown(of sample: Sample, _ steps: [[Step]]) -> Int32 {
        var node: Int32 = 0
        for location in sample.stack.reversed() {
            for step in steps[location].reversed() {
                guard let next = nodes.existingChild(of: node, tagged: step.line) else {
                    return node
                }
                node = next
            }
        }
        return node
    }

    private mutating func count(
        _ amount: Int64, _ objects: Int64, _ sample: Sample, _ side: Side, isOld: Bool?,
        at index: Int
    ) {
        let variance = variance(of: sample)
        if side != .current { MergedAmounts.add(amount, to: &ends[index].base) }
        if side == .base {
            MergedAmounts.add(objects, to: &ends[index].amounts.baseObjects)
            MergedAmounts.add(variance, to: &ends[index].amounts.baseVariance)
            return
        }
        MergedAmounts.add(amount, to: &ends[index].current)
        MergedAmounts.add(objects, to: &ends[index].amounts.currentObjects)
        if isOld == true {
            MergedAmounts.add(variance, to: &ends[index].amounts.keptVariance)
        } else {
            MergedAmounts.add(variance, to: &ends[index].amounts.bornVariance)
        }
    }

    private func variance(of sample: Sample) -> Int64 {
        switch sampleType {
        case .inuseSpace: sample.variance.inuseSpace
        case .inuseObjects: sample.variance.inuseObjects
        case .allocSpace, .allocObjects: 0
        }
    }

    /// A stack as lines and nodes, outermost first, and how much of it the stack before it had as well.
    private struct Walk {
        var lines: [Int32] = []
        var nodes: [Int32] = []
        var shared = 0
        private var previous: [Int32] = []

        /// Reads a sample's stack up to the depth limit, and returns how many frames it has in all.
        mutating func read(_ sample: Sample, _ steps: [[Step]]) -> Int {
            swap(&previous, &lines)
            lines.removeAll(keepingCapacity: true)
            var count = 0
            for location in sample.stack.reversed() {
                for step in steps[location].reversed() {
                    count += 1
                    if count <= ComparisonTree.depthLimit { lines.append(step.line) }
                }
            }
            shared = 0
            let most = min(lines.count, previous.count)
            while shared < most && lines[shared] == previous[shared] { shared += 1 }
            return count
        }
    }

    /// Finds or makes the nodes of the stack, and returns the last one.
    private mutating func follow(_ walk: inout Walk) -> Int32 {
        walk.nodes.removeLast(walk.nodes.count - walk.shared)
        var node = walk.nodes.last ?? 0
        for line in walk.lines[walk.shared...] {
            node = nodes.child(of: node, tagged: line)
            if Int(node) == endNumbers.count {
                endNumbers.append(-1)
                isSite.append(false)
            }
            walk.nodes.append(node)
        }
        return node
    }

    /// ``StackFrames/machineryDepth(of:)`` without the frames.
    private static func machineryDepth(of sample: Sample, _ steps: [[Step]]) -> Int {
        var depth = 0
        var firstWithLine: Int?
        for location in sample.stack {
            for step in steps[location] {
                if !step.isMachinery { return depth }
                if firstWithLine == nil && step.hasLine { firstWithLine = depth }
                depth += 1
            }
        }
        return firstWithLine ?? 0
    }

    private mutating func steps(of location: Location, in snapshot: Snapshot) -> [Step] {
        let mapping = location.mapping.map { snapshot.mappings[$0] }
        return location.frames.map { frame in
            Step(
                line: number(of: frame, in: mapping),
                isMachinery: FrameClassifier.isAllocationMachinery(frame, in: mapping),
                hasLine: frame.line != 0)
        }
    }

    private mutating func number(of frame: Frame, in mapping: Mapping?) -> Int32 {
        let module = mapping?.name ?? ""
        let isOffset = mapping != nil && frame.function.hasPrefix("\(module)+0x")
        let function = Function(
            name: frame.function, file: frame.file, module: module,
            build: isOffset ? mapping?.buildID ?? "" : "")
        let number = functionNumbers[function] ?? Int32(functions.count)
        if number == functions.count {
            functionNumbers[function] = number
            functions.append(function)
            builds.append("")
        }
        // The later snapshot's, where a module was built anew in between.
        if let build = mapping?.buildID, !build.isEmpty { builds[Int(number)] = build }
        let line = Line(function: number, line: frame.line)
        if let known = lineNumbers[line] { return known }
        lines.append(line)
        lineNumbers[line] = Int32(lines.count - 1)
        return Int32(lines.count - 1)
    }
}
