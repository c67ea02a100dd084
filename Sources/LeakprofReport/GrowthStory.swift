package import LeakprofAnalysis
package import LeakprofModel

/// What a report tells about snapshots of one program, the earliest first: how memory grew, and where.
///
/// HTML and Markdown reports show the same story. Nothing in it is guessed: what the snapshots do not say is
/// said to be unknown.
package struct GrowthStory: Sendable {
    /// A snapshot, as the user calls it.
    package struct Moment: Sendable {
        package var name: String
        package var facts: SnapshotFacts
        /// Live bytes and blocks that the filters accept.
        package var live: AllocationCounts
    }

    /// Lines of a source file around the one that a row names.
    package struct Excerpt: Sendable {
        package var place: String
        /// The lines with their numbers.
        package var lines: [(number: Int64, text: String)]
        /// The number of the line that is meant.
        package var line: Int64

        package init(place: String, lines: [(number: Int64, text: String)], line: Int64) {
            self.place = place
            self.lines = lines
            self.line = line
        }
    }

    package let moments: [Moment]
    /// From the first to the last snapshot.
    let diff: SnapshotDiff
    /// The same by other groupings.
    let others: [(groupBy: GroupBy, diff: SnapshotDiff)]
    let groupBy: GroupBy
    let graph: FlameGraph
    let excerpts: [Excerpt]
    /// The rows that grew, the most growth first.
    let grown: [StatisticDiff]
    /// All growth of all rows, in bytes or blocks.
    let growth: Int64

    /// Of how many rows the source is shown.
    private static let excerptsLimit = 3

    /// What growth is divided by as well.
    let divisor: Divisor?
    /// Rows of the tables in Markdown; HTML has ten times as many.
    let limit: Int

    /// `snapshots` are at least two; `excerpt` returns the lines around a line of a file, if they are at hand.
    package init(
        _ snapshots: [(name: String, snapshot: Snapshot)], grouping: Grouping = Grouping(),
        sort: SortKey = .size, sampleType: SampleType = .inuseSpace, limit: Int = 10,
        divisor: Divisor? = nil, producer: String = "leakprof",
        excerpt: (_ file: String, _ line: Int64) -> Excerpt? = { _, _ in nil }
    ) {
        let first = snapshots.first ?? ("", Snapshot())
        let last = snapshots.last ?? first
        func compare(_ groupBy: GroupBy) -> SnapshotDiff {
            var grouping = grouping
            grouping.groupBy = groupBy
            return SnapshotDiff(
                base: first.snapshot, current: last.snapshot, grouping: grouping, sort: sort,
                sampleType: sampleType)
        }
        self.limit = limit
        self.divisor = divisor
        groupBy = grouping.groupBy
        diff = compare(grouping.groupBy)
        others = GroupBy.allCases.filter { $0 != grouping.groupBy && $0 != .stack }
            .map { ($0, compare($0)) }
        graph = FlameGraph(
            base: first.snapshot, current: last.snapshot, names: (first.name, last.name),
            filters: grouping.filters, sampleType: sampleType,
            style: FlameGraph.Style(producer: producer), divisor: divisor)
        moments = snapshots.map { name, snapshot in
            let report = TopReport(of: snapshot, grouping: grouping, sampleType: sampleType)
            return Moment(name: name, facts: snapshot.facts, live: report.totals)
        }
        let measures = Measures(sampleType)
        grown = diff.rows.filter { measures.size($0.change) > 0 && $0.isSignificant }
        growth = diff.rows.reduce(0) { sum, row in
            sum.saturatingAdd(max(0, measures.size(row.change)))
        }
        var excerpts: [Excerpt] = []
        for row in grown where row.key.line > 0 && excerpts.count < Self.excerptsLimit {
            guard let next = excerpt(row.key.file, row.key.line) else { continue }
            excerpts.append(next)
        }
        self.excerpts = excerpts
    }

    /// Some profiles have bytes alone.
    var knowsBlocks: Bool {
        let measures = Measures(diff.sampleType)
        return measures.count(diff.base) > 0 || measures.count(diff.current) > 0
    }

    // MARK: Sentences

    var first: Moment { moments[0] }
    var last: Moment { moments[moments.count - 1] }

    /// `Memory growth of cache-service (pid 4711)`.
    var title: String {
        guard let process = last.facts.process else { return "Memory growth" }
        return "Memory growth of \(process.name) (pid \(process.pid))"
    }

    /// `+391.2 MiB grew in 2 m 10 s (3.0 MiB/s); …`.
    var headline: String {
        TextReport.headline(diff) + (divisor.map { TextReport.share(of: diff, $0) } ?? "")
    }

    /// What makes the numbers less than exact and complete.
    var cautions: [String] {
        let lines = TextReport.cautions(diff) + TextReport.warnings(last.facts)
        return graph.alarms.map(Self.sentence)
            + lines.map { $0.hasPrefix("note: ") ? String($0.dropFirst(6)) : $0 }
    }

    private static func sentence(_ text: String) -> String {
        text.prefix(1).uppercased() + text.dropFirst() + "."
    }

    /// Where most of the growth was allocated: `92 % of all growth was allocated at cache.cpp:42, in Cache::put`.
    var culprit: String {
        guard let row = grown.first else {
            let more = diff.rows.count { Measures(diff.sampleType).size($0.change) > 0 }
            return more == 0
                ? "Nothing grew."
                : "None of the \(Quantity.grouped(Int64(more))) that grew stands out: "
                    + "each is under 0.1 % of all changes, or within the sampling error."
        }
        let share = FlameGraph.percent(Measures(diff.sampleType).size(row.change), of: growth)
        return "\(share) of all growth was allocated at \(row.key.label)\(Self.function(row))."
    }

    /// `, in Cache::put`; empty where the label says so already.
    private static func function(_ row: StatisticDiff) -> String {
        row.key.line > 0 ? ", in " + TextReport.shortName(row.site.frame.function) : ""
    }

    /// How much of what was allocated there is still live; `nil` when that can't be told.
    var survivors: String? {
        guard let row = grown.first, let survivors = row.survivors, survivors.allocObjects > 0
        else {
            return nil
        }
        let count = TextReport.survivorsText(row, survivors)
        let sentence = "blocks allocated there since \(first.name) are still live."
        return "\(count.prefix(1).uppercased())\(count.dropFirst()) \(sentence)"
    }

    /// Whether live memory grew from each snapshot to the next; `nil` for two snapshots, which tell no more than
    /// the headline.
    var steadiness: String? {
        guard moments.count > 2 else { return nil }
        let measures = Measures(diff.sampleType)
        let steps = zip(moments, moments.dropFirst()).map {
            measures.size($1.live).saturatingSubtract(measures.size($0.live))
        }
        let grew = steps.count { $0 > 0 }
        return grew == steps.count
            ? "It grew between each of the \(moments.count) snapshots and the next."
            : "It grew in \(grew) of the \(steps.count) intervals between snapshots."
    }

    /// When the memory limit would be reached, if resident memory went on growing as it did.
    var outlook: String? {
        guard let limit = last.facts.process?.memoryLimitBytes,
            let before = first.facts.process?.residentBytes,
            let after = last.facts.process?.residentBytes, diff.isSameRun, after > before
        else { return nil }
        let elapsed = Double(last.facts.capturedAt.saturatingSubtract(first.facts.capturedAt))
        guard elapsed > 0, limit > after else { return nil }
        let left = (Double(limit) - Double(after)) / (Double(after) - Double(before)) * elapsed
        return
            "The memory limit of its control group is \(Quantity.precise(limit)). At this rate, resident memory "
            + "reaches it \(Quantity.duration(left.clamped)) after the last snapshot."
    }

    /// How much of the growth of resident memory is live heap.
    var explained: String? {
        guard diff.isSameRun, Measures(diff.sampleType).isInUse,
            let before = first.facts.process?.residentBytes,
            let after = last.facts.process?.residentBytes, after > before
        else { return nil }
        let heap = diff.current.inuseSpace.saturatingSubtract(diff.base.inuseSpace)
        return
            "Resident memory grew by \(Quantity.precise(after.saturatingSubtract(before))), the live heap by "
            + "\(Quantity.precise(heap))."
    }

    /// `2026-11-21 18:03:06 UTC`; empty when unknown.
    static func time(_ nanoseconds: Int64) -> String {
        guard nanoseconds > 0 else { return "" }
        return CalendarTime(secondsSince1970: nanoseconds / 1_000_000_000).text
    }
}

/// A moment as the Gregorian calendar and the clock in UTC show it.
struct CalendarTime {
    let text: String

    /// By Howard Hinnant's `civil_from_days` (chrono-Compatible Low-Level Date Algorithms), for years from 1970 on.
    init(secondsSince1970 seconds: Int64) {
        let days = seconds / 86_400
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ number: Int64) -> String { (number < 10 ? "0" : "") + "\(number)" }
        let clock = seconds % 86_400
        text =
            "\(year)-\(two(month))-\(two(day)) "
            + "\(two(clock / 3600)):\(two(clock / 60 % 60)):\(two(clock % 60)) UTC"
    }
}
