package import LeakprofModel

/// The sums of one group of blocks.
package struct Statistic: Sendable, Equatable {
    package var key: GroupKey
    package var counts: AllocationCounts
    package var variance: SamplingVariance
    /// The site of the group's largest stack trace, to tell more than the key does.
    package var site: Site
    /// Callers of the site, innermost first.
    package var callers: Callers

    fileprivate var largest: Int64 = .min
}

/// From where the blocks of a group were asked for.
package struct Callers: Sendable, Equatable {
    /// As far as all the group's blocks have them in common.
    package var shared: [Site]
    /// Those of the group's largest stack trace.
    package var ofLargest: [Site]
}

/// How to turn samples into rows.
package struct Grouping: Sendable {
    package var groupBy: GroupBy
    /// Whether a block counts for every frame of its stack, or for its site alone.
    ///
    /// Has no meaning for stacks.
    package var cumulative: Bool
    package var filters: Filters

    package init(groupBy: GroupBy = .line, cumulative: Bool = false, filters: Filters = Filters()) {
        self.groupBy = groupBy
        self.cumulative = cumulative
        self.filters = filters
    }

    /// The groups of a snapshot, in no particular order.
    package func statistics(of snapshot: Snapshot) -> [GroupKey: Statistic] {
        let frames = StackFrames(snapshot)
        var groups: [GroupKey: Statistic] = [:]
        for sample in snapshot.samples where isBornInTime(sample) {
            let all = frames.sites(of: sample)
            let sites = all.dropFirst(frames.machineryDepth(of: sample))
            guard let site = sites.first, filters.accepts(sites) else { continue }
            for (key, site, callers) in keys(for: site, sites: sites) {
                var group =
                    groups[key]
                    ?? Statistic(
                        key: key, counts: .zero, variance: .zero, site: site,
                        callers: Callers(shared: callers, ofLargest: callers))
                group.counts += sample.counts
                group.variance += sample.variance
                group.callers.shared = group.callers.shared.sharedPrefix(with: callers)
                if sample.counts.inuseSpace > group.largest {
                    group.largest = sample.counts.inuseSpace
                    group.site = site
                    group.callers.ofLargest = callers
                }
                groups[key] = group
            }
        }
        return groups
    }

    private func isBornInTime(_ sample: Sample) -> Bool {
        filters.bornAfterEpoch.map { sample.epoch > $0 } ?? true
    }

    /// The keys of the rows that a block counts for, each once, with the frames behind it.
    private func keys(
        for site: Site, sites: ArraySlice<Site>
    ) -> [(key: GroupKey, site: Site, callers: [Site])] {
        if groupBy == .stack {
            var key = groupBy.key(for: site)
            key.stack = Array(sites)
            return [(key, site, [])]
        }
        guard cumulative else {
            return [(groupBy.key(for: site), site, callers(sites.dropFirst()))]
        }
        var seen: Set<GroupKey> = []
        return sites.indices.compactMap { index in
            let key = groupBy.key(for: sites[index])
            guard seen.insert(key).inserted else { return nil }
            return (key, sites[index], callers(sites[(index + 1)...]))
        }
    }

    /// More callers than any report shows: stacks may be of any depth, and with ``cumulative`` each frame has
    /// callers.
    private static let callersLimit = 64

    private func callers(_ sites: ArraySlice<Site>) -> [Site] {
        Array(sites.prefix(Self.callersLimit))
    }
}

extension [Site] {
    /// The frames both start with, compared by function.
    fileprivate func sharedPrefix(with other: [Site]) -> [Site] {
        if self == other { return self }
        let shared = zip(self, other).prefix { $0.frame.function == $1.frame.function }
        return Array(prefix(shared.count))
    }
}

/// The order of rows.
package enum SortKey: String, Sendable, CaseIterable {
    case size
    case count
    /// Bytes per block.
    case average
    /// The row's name.
    case name
}

/// The statistics of one snapshot, in tracemalloc's order: the largest first, then by count, the last name first.
package struct TopReport: Sendable {
    package var rows: [Statistic]
    package var totals: AllocationCounts
    package var variance: SamplingVariance
    package var sampleType: SampleType

    package init(
        of snapshot: Snapshot, grouping: Grouping = Grouping(), sort: SortKey = .size,
        sampleType: SampleType = .inuseSpace
    ) {
        self.sampleType = sampleType
        let groups = grouping.statistics(of: snapshot).values
        var once = grouping
        once.cumulative = false
        let samples = once.statistics(of: snapshot).values
        totals = samples.reduce(into: .zero) { $0 += $1.counts }
        variance = samples.reduce(into: .zero) { $0 += $1.variance }
        let measures = Measures(sampleType)
        rows = groups.filter { measures.size($0.counts) != 0 || measures.count($0.counts) != 0 }
            .sorted { left, right in
                let (leftSize, rightSize) = (
                    measures.size(left.counts), measures.size(right.counts)
                )
                let (leftCount, rightCount) = (
                    measures.count(left.counts), measures.count(right.counts)
                )
                switch sort {
                case .count where leftCount != rightCount: return leftCount > rightCount
                case .average:
                    let (first, second) = (
                        measures.average(left.counts), measures.average(right.counts)
                    )
                    if first != second { return first > second }
                case .name: return left.key < right.key
                default: break
                }
                if leftSize != rightSize { return leftSize > rightSize }
                if leftCount != rightCount { return leftCount > rightCount }
                return right.key < left.key
            }
    }
}

/// Which of the four sums a report's size and count columns show.
package struct Measures: Sendable {
    /// Blocks that are live, or all that were ever allocated.
    package let isInUse: Bool

    package init(_ type: SampleType) {
        isInUse = type == .inuseSpace || type == .inuseObjects
    }

    package func size(_ counts: AllocationCounts) -> Int64 {
        isInUse ? counts.inuseSpace : counts.allocSpace
    }

    package func count(_ counts: AllocationCounts) -> Int64 {
        isInUse ? counts.inuseObjects : counts.allocObjects
    }

    /// Bytes per block; 0 when there is none.
    package func average(_ counts: AllocationCounts) -> Double {
        let count = count(counts)
        return count == 0 ? 0 : Double(size(counts)) / Double(count)
    }
}
