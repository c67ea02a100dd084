package import LeakprofModel

/// What one group of blocks was in the base snapshot and is in the current one.
package struct StatisticDiff: Sendable, Equatable {
    package var key: GroupKey
    package var base: AllocationCounts
    package var current: AllocationCounts
    /// Of the change of the in-use sums.
    package var variance: SamplingVariance
    /// See ``Statistic/site``; of the current snapshot if the group is in it.
    package var site: Site
    package var callers: Callers
    /// Blocks allocated after the base snapshot, and those of them still in use at the current one;
    /// `nil` when the snapshots are not of one run, so that it can't be told.
    package var survivors: AllocationCounts?
    /// Whether the change is worth a look: at least a thousandth of all changes together, and more than
    /// twice its standard error.
    package var isSignificant = true

    package var change: AllocationCounts { current - base }
}

/// What changed from a base snapshot to a current one.
///
/// Growth alone does not prove a leak: caches warm up. So rows say what grew, never what leaks.
package struct SnapshotDiff: Sendable {
    /// In tracemalloc's order: by size of the change, size, change of the count, count, and name.
    package var rows: [StatisticDiff]
    package var base: AllocationCounts
    package var current: AllocationCounts
    package var variance: SamplingVariance
    package var baseFacts: SnapshotFacts
    package var currentFacts: SnapshotFacts
    package var sampleType: SampleType
    /// Whether the snapshots are of one run of one process, the base the earlier one.
    package var isSameRun: Bool

    package init(
        base: Snapshot, current: Snapshot, grouping: Grouping = Grouping(),
        sort: SortKey = .size, sampleType: SampleType = .inuseSpace
    ) {
        self.sampleType = sampleType
        baseFacts = base.facts
        currentFacts = current.facts
        let cut = Self.cutEpoch(of: base, before: current)
        isSameRun = cut != nil
        let hasEpochs = cut.map { $0 > 0 } ?? false

        let frames = Frames(base: StackFrames(base), current: StackFrames(current))
        let baseGroups = grouping.statistics(of: frames.base)
        let currentGroups = grouping.statistics(of: frames.current)
        let survivors = cut.map { grouping.born(after: $0).statistics(of: frames.current) }
        let isSampled = base.isSampled || current.isSampled
        /// Of the changes, where the snapshots are of one run.
        func variances(
            _ grouping: Grouping, _ bases: [GroupKey: Statistic],
            _ currents: [GroupKey: Statistic], _ born: [GroupKey: Statistic]
        ) -> [GroupKey: SamplingVariance]? {
            guard let cut else { return nil }
            guard isSampled else { return [:] }
            guard cut > 0 else {
                return Self.variancesWithoutEpochs(bases: bases, currents: currents)
            }
            return Self.variances(
                bases: bases, born: born,
                survivors: grouping.statistics(of: frames.current, bornUpTo: cut))
        }
        let changes = variances(grouping, baseGroups, currentGroups, survivors ?? [:])

        var rows: [StatisticDiff] = []
        for key in Set(baseGroups.keys).union(currentGroups.keys) {
            let before = baseGroups[key]
            let after = currentGroups[key]
            guard let either = after ?? before else { continue }
            let variance =
                changes.map { $0[key] ?? .zero }
                ?? (before?.variance ?? .zero) + (after?.variance ?? .zero)
            rows.append(
                StatisticDiff(
                    key: key, base: before?.counts ?? .zero, current: after?.counts ?? .zero,
                    variance: variance, site: either.site, callers: either.callers,
                    survivors: hasEpochs ? survivors.map { $0[key]?.counts ?? .zero } : nil))
        }
        var once = grouping
        once.cumulative = false
        // Where no block counts twice, the rows add up to the totals.
        let bases = grouping.cumulative ? once.statistics(of: frames.base) : baseGroups
        let currents = grouping.cumulative ? once.statistics(of: frames.current) : currentGroups
        self.base = bases.values.reduce(into: .zero) { $0 += $1.counts }
        self.current = currents.values.reduce(into: .zero) { $0 += $1.counts }
        let all =
            grouping.cumulative
            ? variances(
                once, bases, currents,
                cut.map { once.born(after: $0).statistics(of: frames.current) } ?? [:]) : changes
        variance =
            all?.values.reduce(into: .zero) { $0 += $1 } ?? base.variance + current.variance

        let measures = Measures(sampleType)
        let changed = rows.reduce(0.0) { $0 + Double(measures.size($1.change).magnitude) }
        for index in rows.indices {
            let change = Double(measures.size(rows[index].change).magnitude)
            let error = Double(rows[index].variance.inuseSpace).squareRoot()
            rows[index].isSignificant = change >= changed / 1000 && change > 2 * error
        }
        self.rows = rows.filter {
            measures.size($0.change) != 0 || measures.count($0.change) != 0
        }
        // Rows are large, and there may be as many as stacks.
        let order = self.rows.indices.map { Order(self.rows[$0], at: $0, measures) }
            .sorted { $0.precedes($1, sort) { self.rows[$0].key } }
        self.rows = order.map { self.rows[$0.index] }
    }

    /// The last epoch that had begun when the base was taken; `nil` when epochs of the two have nothing
    /// to do with each other.
    static func cutEpoch(of base: Snapshot, before current: Snapshot) -> UInt32? {
        guard let first = base.facts.process, let second = current.facts.process,
            first.isSameRun(as: second), let recording = base.facts.recording,
            let later = current.facts.recording, recording.cutEpoch <= later.cutEpoch
        else { return nil }
        return recording.cutEpoch
    }

    private struct Frames {
        var base: StackFrames
        var current: StackFrames
    }

    /// The variances of the changes.
    ///
    /// Blocks in both snapshots are the same blocks and, while the sampling interval was the same, have the
    /// same weights and cancel out: what is uncertain are those freed in between and those born since. Where
    /// blocks were thinned out in between, those left are estimates of what the base says of them, and what
    /// they are less certain by is the change's.
    private static func variances(
        bases: [GroupKey: Statistic], born: [GroupKey: Statistic],
        survivors: [GroupKey: Statistic]
    ) -> [GroupKey: SamplingVariance] {
        var result = born.mapValues(\.variance)
        for (key, statistic) in bases {
            let kept = survivors[key]?.variance ?? .zero
            let changed = SamplingVariance(
                inuseObjects: statistic.variance.inuseObjects.distance(kept.inuseObjects),
                inuseSpace: statistic.variance.inuseSpace.distance(kept.inuseSpace))
            result[key, default: .zero] += changed
        }
        return result
    }

    /// The variances of the changes where blocks have no birth epochs, as in a Go program's own profile.
    ///
    /// Blocks that are in both snapshots cancel out, but how many those are can't be told: at most so many were
    /// exchanged for new ones as were freed in between.
    private static func variancesWithoutEpochs(
        bases: [GroupKey: Statistic], currents: [GroupKey: Statistic]
    ) -> [GroupKey: SamplingVariance] {
        var result: [GroupKey: SamplingVariance] = [:]
        for key in Set(bases.keys).union(currents.keys) {
            let (base, current) = (bases[key], currents[key])
            func freed(_ counts: AllocationCounts?) -> Int64 {
                let counts = counts ?? .zero
                return counts.allocObjects.saturatingSubtract(counts.inuseObjects)
            }
            let exchanged = Double(
                max(0, freed(current?.counts).saturatingSubtract(freed(base?.counts))))
            let most = Double(
                max(base?.counts.inuseObjects ?? 0, current?.counts.inuseObjects ?? 0))
            let share = most > 0 ? min(1, exchanged / most) : 1
            func variance(_ base: Int64, _ current: Int64) -> Int64 {
                let kept = Double(min(base, current)) * 2 * share
                return base.distance(current)
                    .saturatingAdd(Int64(exactly: kept.rounded()) ?? .max)
            }
            let before = base?.variance ?? .zero
            let after = current?.variance ?? .zero
            result[key] = SamplingVariance(
                inuseObjects: variance(before.inuseObjects, after.inuseObjects),
                inuseSpace: variance(before.inuseSpace, after.inuseSpace))
        }
        return result
    }

    /// By what a row is sorted, and where it is.
    private struct Order {
        let index: Int
        private let sizes: (UInt64, UInt64)
        private let counts: (UInt64, UInt64)
        private let average: Double

        init(_ row: StatisticDiff, at index: Int, _ measures: Measures) {
            self.index = index
            sizes = (
                measures.size(row.change).magnitude,
                UInt64(clamping: measures.size(row.current))
            )
            counts = (
                measures.count(row.change).magnitude,
                UInt64(clamping: measures.count(row.current))
            )
            average = measures.average(row.current)
        }

        func precedes(_ other: Self, _ sort: SortKey, key: (Int) -> GroupKey) -> Bool {
            switch sort {
            case .name: return key(index) < key(other.index)
            case .average where average != other.average: return average > other.average
            case .count where counts != other.counts: return counts > other.counts
            default: break
            }
            if sizes != other.sizes { return sizes > other.sizes }
            if counts != other.counts { return counts > other.counts }
            return key(other.index) < key(index)
        }
    }
}

extension Grouping {
    /// The same grouping of blocks born after `epoch` alone.
    fileprivate func born(after epoch: UInt32) -> Grouping {
        var grouping = self
        grouping.filters.bornAfterEpoch = max(epoch, filters.bornAfterEpoch ?? 0)
        return grouping
    }
}
