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
}

/// From where the blocks of a group were asked for.
///
/// Kept as numbers, because a report has many rows and shows the callers of a few.
package struct Callers: Sendable, Equatable {
    /// All that its snapshot has; one array for all rows.
    private let sites: [Site]
    private let sharedNumbers: [Int32]
    private let numbersOfLargest: [Int32]

    fileprivate init(shared: [Int32], ofLargest: [Int32], in sites: [Site]) {
        self.sites = sites
        sharedNumbers = shared
        numbersOfLargest = ofLargest
    }

    /// As far as all the group's blocks have them in common.
    package var shared: [Site] { sharedNumbers.map { sites[Int($0)] } }
    /// Those of the group's largest stack trace.
    package var ofLargest: [Site] { numbersOfLargest.map { sites[Int($0)] } }

    package static func == (left: Self, right: Self) -> Bool {
        left.shared == right.shared && left.ofLargest == right.ofLargest
    }
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
        statistics(of: StackFrames(snapshot))
    }

    /// The groups of the blocks that were born in epochs up to `end`.
    func statistics(of frames: StackFrames, bornUpTo end: UInt32 = .max) -> [GroupKey: Statistic] {
        var groups = GroupTable(self, frames)
        let first = filters.bornAfterEpoch
        for sample in frames.snapshot.samples where sample.epoch <= end {
            if let first, sample.epoch <= first { continue }
            groups.add(sample)
        }
        return groups.statistics()
    }
}

/// Sums samples up by group.
///
/// Frames are numbers here: a snapshot has far fewer of them than its stacks have together, and to compare and
/// to copy names for each stack would be most of the time a report takes.
private struct GroupTable {
    private struct Group {
        var key: GroupKey
        var counts: AllocationCounts
        var variance: SamplingVariance
        /// The stack with the most bytes in use: its site, and what is behind it.
        var site: Int32
        var callers: [Int32]
        var largest: Int64
        /// The first stack's callers, as far as all others have them too.
        var shared: [Int32]
    }

    private let grouping: Grouping
    private let frames: StackFrames
    private var groups: [Group] = []
    /// By key; of stacks, by their frames.
    private var groupNumbers: [GroupKey: Int32] = [:]
    private var stackNumbers: [[Int32]: Int32] = [:]
    /// By frame: its group, where stacks are not grouped; -1 before it is looked up.
    private var groupsOfFrames: [Int32]
    /// By group: the last sample that counted for it.
    private var lastSample: [Int] = []
    private var sampleCount = 0
    /// By frame: a number for its function, and for the frame itself.
    private let functions: [Int32]
    private let equals: [Int32]
    /// Of one sample, leaf first.
    private var stack: [Int32] = []

    /// More callers than any report shows: stacks may be of any depth, and with ``Grouping/cumulative`` each frame
    /// has callers.
    private static let callersLimit = 64

    init(_ grouping: Grouping, _ frames: StackFrames) {
        self.grouping = grouping
        self.frames = frames
        groupsOfFrames = Array(repeating: -1, count: frames.sites.count)
        functions = Self.numbers(of: frames.sites.lazy.map(\.frame.function))
        equals = grouping.groupBy == .stack ? Self.numbers(of: frames.sites) : []
    }

    /// The same number for what is equal.
    private static func numbers<Values: Sequence>(of values: Values) -> [Int32]
    where Values.Element: Hashable {
        var numbers: [Values.Element: Int32] = [:]
        return values.map { value in
            let next = Int32(numbers.count)
            if let known = numbers[value] { return known }
            numbers[value] = next
            return next
        }
    }

    mutating func add(_ sample: Sample) {
        frames.read(sample, into: &stack)
        let machinery = frames.machineryDepth(of: sample)
        guard machinery < stack.count else { return }
        let filters = grouping.filters
        if !filters.include.isEmpty || !filters.exclude.isEmpty {
            guard filters.accepts(stack[machinery...].map { frames.sites[Int($0)] }) else { return }
        }
        sampleCount += 1
        if grouping.groupBy == .stack {
            count(sample, in: groupOfStack(from: machinery), at: machinery, callers: [])
            return
        }
        let end = grouping.cumulative ? stack.count : machinery + 1
        for index in machinery..<end {
            let group = group(ofFrame: stack[index])
            if group < groups.count {
                guard lastSample[group] != sampleCount else { continue }
            }
            count(
                sample, in: group, at: index,
                callers: stack[(index + 1)...].prefix(Self.callersLimit))
        }
    }

    /// The group's number; that of a new one is the number of groups.
    private mutating func group(ofFrame frame: Int32) -> Int {
        let known = groupsOfFrames[Int(frame)]
        if known >= 0 { return Int(known) }
        let key = grouping.groupBy.key(for: frames.sites[Int(frame)])
        let group = groupNumbers[key] ?? Int32(groups.count)
        groupNumbers[key] = group
        groupsOfFrames[Int(frame)] = group
        return Int(group)
    }

    private mutating func groupOfStack(from machinery: Int) -> Int {
        let stack = stack[machinery...].map { equals[Int($0)] }
        let group = stackNumbers[stack] ?? Int32(groups.count)
        stackNumbers[stack] = group
        return Int(group)
    }

    private func key(ofGroupAt index: Int) -> GroupKey {
        var key = grouping.groupBy.key(for: frames.sites[Int(stack[index])])
        if grouping.groupBy == .stack { key.stack = stack[index...].map { frames.sites[Int($0)] } }
        return key
    }

    /// Counts the sample for the group whose frame is at `index` on the stack.
    private mutating func count(
        _ sample: Sample, in group: Int, at index: Int, callers: ArraySlice<Int32>
    ) {
        if group == groups.count {
            let callers = Array(callers)
            groups.append(
                Group(
                    key: key(ofGroupAt: index), counts: sample.counts, variance: sample.variance,
                    site: stack[index], callers: callers, largest: sample.counts.inuseSpace,
                    shared: callers))
            lastSample.append(sampleCount)
            return
        }
        lastSample[group] = sampleCount
        groups[group].counts += sample.counts
        groups[group].variance += sample.variance
        if !groups[group].shared.isEmpty {
            let shared = zip(groups[group].shared, callers).prefix {
                functions[Int($0)] == functions[Int($1)]
            }.count
            if shared < groups[group].shared.count {
                groups[group].shared.removeLast(groups[group].shared.count - shared)
            }
        }
        if sample.counts.inuseSpace > groups[group].largest {
            groups[group].largest = sample.counts.inuseSpace
            groups[group].site = stack[index]
            groups[group].callers = Array(callers)
        }
    }

    func statistics() -> [GroupKey: Statistic] {
        var result: [GroupKey: Statistic] = [:]
        result.reserveCapacity(groups.count)
        for group in groups {
            result[group.key] = Statistic(
                key: group.key, counts: group.counts, variance: group.variance,
                site: frames.sites[Int(group.site)],
                callers: Callers(
                    shared: group.shared, ofLargest: group.callers, in: frames.sites))
        }
        return result
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
        let frames = StackFrames(snapshot)
        let groups = grouping.statistics(of: frames).values
        var once = grouping
        once.cumulative = false
        let samples = grouping.cumulative ? once.statistics(of: frames).values : groups
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
