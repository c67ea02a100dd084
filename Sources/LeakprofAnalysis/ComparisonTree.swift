package import LeakprofModel

/// Two snapshots merged into one tree of frames, from the outermost functions inwards.
///
/// For each stack trace with a bytes in the base and b in the current snapshot, `kept` is min(a, b),
/// `grown` max(0, b − a) and `shrunk` max(0, a − b). All three are never negative and add up, so a frame's
/// sums over what it called are exact and no growth cancels against shrinkage elsewhere.
package struct ComparisonTree: Sendable {
    /// A frame in its place on the stacks that run through it.
    package struct Node: Sendable {
        package var frame: Frame
        package var module: String
        /// Lines of the function on these stacks, the one with the most growth first.
        package var lines: [Int64]
        package var kept: Int64
        package var grown: Int64
        package var shrunk: Int64
        /// Blocks in the base and in the current snapshot.
        package var baseObjects: Int64
        package var currentObjects: Int64
        /// Whether it is a leaf frame that only carries out the allocation.
        package var isMachinery: Bool
        /// The frames called, most growth first, then most kept, then by name.
        package var children: [Node]

        package var base: Int64 { kept.saturatingAdd(shrunk) }
        package var current: Int64 { kept.saturatingAdd(grown) }
        package var change: Int64 { grown.saturatingSubtract(shrunk) }
    }

    /// Frames deeper than this, counted from the root, are left out: profiles from elsewhere may have
    /// stacks of any depth.
    package static let depthLimit = 512

    /// Stands for all stacks; its frame is empty.
    package var root: Node
    package var sampleType: SampleType

    /// Merges the stacks of both snapshots that `filters` accept.
    ///
    /// Without a `base`, it is the tree of one snapshot, in which everything is `kept`.
    package init(
        base: Snapshot?, current: Snapshot, filters: Filters = Filters(),
        sampleType: SampleType = .inuseSpace
    ) {
        self.sampleType = sampleType
        var stacks: [[StackEntry]: Amounts] = [:]
        if let base {
            Self.add(base, filters, sampleType, to: &stacks) { amounts, value, objects in
                amounts.base = amounts.base.saturatingAdd(value)
                amounts.baseObjects = amounts.baseObjects.saturatingAdd(objects)
            }
        }
        Self.add(current, filters, sampleType, to: &stacks) { amounts, value, objects in
            if base == nil { amounts.base = amounts.base.saturatingAdd(value) }
            amounts.current = amounts.current.saturatingAdd(value)
            amounts.currentObjects = amounts.currentObjects.saturatingAdd(objects)
        }
        let builder = Builder(frame: Frame(function: ""), module: "", isMachinery: false)
        for (stack, amounts) in stacks { builder.add(stack[...], amounts) }
        root = builder.node()
    }

    private struct Amounts {
        var base: Int64 = 0
        var current: Int64 = 0
        var baseObjects: Int64 = 0
        var currentObjects: Int64 = 0
    }

    /// A frame as stacks of two snapshots are matched by it.
    private struct StackEntry: Hashable {
        var site: Site
        var isMachinery: Bool
    }

    private static func add(
        _ snapshot: Snapshot, _ filters: Filters, _ type: SampleType,
        to stacks: inout [[StackEntry]: Amounts],
        count: (inout Amounts, _ value: Int64, _ objects: Int64) -> Void
    ) {
        let frames = StackFrames(snapshot)
        let measures = Measures(type)
        for sample in snapshot.samples {
            if let epoch = filters.bornAfterEpoch, sample.epoch <= epoch { continue }
            // Sums below zero, as a profile of a difference has them, can't be drawn.
            let amount = sample.counts[type]
            guard amount > 0 else { continue }
            let sites = frames.sites(of: sample)
            let machinery = frames.machineryDepth(of: sample)
            guard filters.accepts(sites.dropFirst(machinery)) else { continue }
            let stack = sites.enumerated().suffix(depthLimit).reversed().map { index, site in
                StackEntry(site: site, isMachinery: index < machinery)
            }
            count(&stacks[stack, default: Amounts()], amount, measures.count(sample.counts))
        }
    }

    /// A node while its subtree is being put together.
    private final class Builder {
        private struct Key: Hashable {
            var function: String
            var file: String
            var module: String
        }

        private let frame: Frame
        private let module: String
        private var isMachinery: Bool
        private var linesByGrowth: [Int64: (grown: Int64, kept: Int64)] = [:]
        private var kept: Int64 = 0
        private var grown: Int64 = 0
        private var shrunk: Int64 = 0
        private var baseObjects: Int64 = 0
        private var currentObjects: Int64 = 0
        private var children: [Key: Builder] = [:]

        init(frame: Frame, module: String, isMachinery: Bool) {
            self.frame = frame
            self.module = module
            self.isMachinery = isMachinery
        }

        /// `stack` runs from this node's callee inwards.
        func add(_ stack: ArraySlice<StackEntry>, _ amounts: Amounts) {
            var node = self
            node.count(amounts, line: 0)
            for entry in stack {
                let frame = entry.site.frame
                let key = Key(
                    function: frame.function, file: frame.file, module: entry.site.module)
                let child =
                    node.children[key]
                    ?? Builder(
                        frame: frame, module: entry.site.module, isMachinery: entry.isMachinery)
                node.children[key] = child
                child.isMachinery = child.isMachinery && entry.isMachinery
                child.count(amounts, line: frame.line)
                node = child
            }
        }

        private func count(_ amounts: Amounts, line: Int64) {
            let same = min(amounts.base, amounts.current)
            let growth = amounts.current.saturatingSubtract(same)
            kept = kept.saturatingAdd(same)
            grown = grown.saturatingAdd(growth)
            shrunk = shrunk.saturatingAdd(amounts.base.saturatingSubtract(same))
            baseObjects = baseObjects.saturatingAdd(amounts.baseObjects)
            currentObjects = currentObjects.saturatingAdd(amounts.currentObjects)
            guard line != 0 else { return }
            let seen = linesByGrowth[line] ?? (0, 0)
            linesByGrowth[line] = (
                seen.grown.saturatingAdd(growth), seen.kept.saturatingAdd(same)
            )
        }

        func node() -> Node {
            var frame = frame
            let lines = linesByGrowth.sorted { left, right in
                (right.value.grown, right.value.kept, left.key)
                    < (left.value.grown, left.value.kept, right.key)
            }.map(\.key)
            frame.line = lines.first ?? 0
            return Node(
                frame: frame, module: module, lines: lines, kept: kept, grown: grown,
                shrunk: shrunk, baseObjects: baseObjects, currentObjects: currentObjects,
                isMachinery: isMachinery,
                children: children.values.map { $0.node() }.sorted { left, right in
                    if left.grown != right.grown { return left.grown > right.grown }
                    if left.kept != right.kept { return left.kept > right.kept }
                    return (left.frame.function, left.frame.file, left.module)
                        < (right.frame.function, right.frame.file, right.module)
                })
        }
    }
}
