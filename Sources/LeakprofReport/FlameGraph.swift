package import LeakprofAnalysis
package import LeakprofModel

/// The flame graph of one snapshot, or of two, as a self-contained SVG file.
///
/// Within a frame, the part that is in both snapshots is grey; what grew is orange, what shrank is hatched
/// blue, each as wide as it has bytes. The file holds every ``Lens``; one of them is drawn for readers that
/// run no script, with the verdict, the facts and the sites that grew most as text. The same input always
/// gives the same bytes.
package struct FlameGraph: Sendable {
    /// What a graph shows, and how wide its frames are.
    package enum Lens: String, Sendable, CaseIterable {
        /// What grew, and nothing else.
        case growth
        /// What is in both, what grew, and what shrank, in one frame.
        case union
        /// The base snapshot.
        case before
        /// The current snapshot.
        case after
        /// Both next to each other on one scale.
        case side
        /// From the allocation sites to their callers.
        case sites
    }

    /// The colors.
    package enum Theme: String, Sendable, CaseIterable {
        /// What the reader's system prefers.
        case auto
        case light
        case dark
    }

    /// How a graph is drawn.
    package struct Style: Sendable {
        /// What is drawn first; `nil` is ``Lens/side`` for two snapshots and ``Lens/after`` for one.
        package var lens: Lens?
        package var theme: Theme
        /// Whether callees are above their callers.
        package var isFlame: Bool
        /// What the file says about what wrote it.
        package var producer: String

        package init(
            lens: Lens? = nil, theme: Theme = .auto, isFlame: Bool = false,
            producer: String = "leakprof"
        ) {
            self.lens = lens
            self.theme = theme
            self.isFlame = isFlame
            self.producer = producer
        }
    }

    /// A row of the list of sites.
    struct Entry: Sendable {
        var amount: String
        var share: String
        var name: String
        var place: String
        var detail: String
    }

    let title: String
    let sentences: [String]
    /// What makes the comparison doubtful.
    let alarms: [String]
    let listTitle: String
    let entries: [Entry]
    let tree: ComparisonTree
    /// What the snapshots are called; one name for one snapshot.
    let names: [String]
    /// Between the snapshots, in nanoseconds; 0 when unknown.
    let elapsed: Int64
    /// By birth epoch: how old its blocks are in the current snapshot.
    let ages: [UInt32: String]
    let divisor: Divisor?
    let style: Style
    let lens: Lens

    var isComparison: Bool { names.count == 2 }
    /// The lenses that make sense.
    var lenses: [Lens] { Self.lenses(isComparison: isComparison) }

    /// The lenses there are for two snapshots, or for one.
    package static func lenses(isComparison: Bool) -> [Lens] {
        isComparison ? Lens.allCases : [.after, .sites]
    }

    /// How many sites are listed.
    private static let listed = 5
    /// As many frames as a browser shows at once and a file of less than 1.5 MB holds.
    private static let limits = ComparisonTree.Limits(share: 0.0002, frames: 10_000)

    /// The graph of two snapshots, which the user calls `names`.
    ///
    /// `diff` is their comparison by line with the same filters, where the caller needs it too.
    package init(
        base: Snapshot, current: Snapshot, names: (base: String, current: String),
        filters: Filters = Filters(), sampleType: SampleType = .inuseSpace, style: Style = Style(),
        divisor: Divisor? = nil, diff: (() -> SnapshotDiff)? = nil
    ) {
        let byLine = {
            SnapshotDiff(
                base: base, current: current, grouping: Grouping(filters: filters),
                sampleType: sampleType)
        }
        let (diff, tree) = concurrently(diff ?? byLine) {
            ComparisonTree(
                base: base, current: current, filters: filters, sampleType: sampleType,
                limits: Self.limits)
        }
        self.style = style
        self.divisor = divisor
        ages = SnapshotWords(current).ages
        lens = style.lens ?? .side
        title = "\(names.base) → \(names.current)"
        self.names = [names.base, names.current]
        elapsed =
            base.facts.capturedAt > 0
            ? max(0, current.facts.capturedAt.saturatingSubtract(base.facts.capturedAt)) : 0
        sentences =
            [
                TextReport.headline(diff) + (divisor.map { TextReport.share(of: diff, $0) } ?? ""),
                "A  " + SnapshotWords(base).line(called: names.base, sampleType),
                "B  " + SnapshotWords(current).line(called: names.current, sampleType),
            ] + TextReport.cautions(diff) + TextReport.warnings(diff, base: "A")
        alarms = SnapshotWords.alarms(base, current, isSameRun: diff.isSameRun)
        listTitle = "What grew most"
        self.tree = tree
        let measures = Measures(sampleType)
        let grown = diff.rows.filter { measures.size($0.change) > 0 && $0.isSignificant }
        let growth =
            sampleType.unit == "bytes"
            ? tree.root.grown
            : grown.reduce(0) { $0.saturatingAdd(measures.size($1.change)) }
        entries = grown.prefix(Self.listed).map { row in
            let change = measures.size(row.change)
            return Entry(
                amount: Quantity.precise(change, signed: true),
                share: Self.percent(change, of: growth) + " of growth",
                name: TextReport.shortName(row.site.frame.function),
                place: Self.place(row.key, row.site, row.callers),
                // Some profiles have bytes alone.
                detail: measures.count(diff.base) == 0 && measures.count(diff.current) == 0
                    ? "" : Self.blocks(row, measures))
        }
    }

    /// The graph of one snapshot, which the user calls `name`.
    package init(
        of snapshot: Snapshot, name: String, filters: Filters = Filters(),
        sampleType: SampleType = .inuseSpace, style: Style = Style()
    ) {
        let report = TopReport(
            of: snapshot, grouping: Grouping(filters: filters), sampleType: sampleType)
        self.style = style
        divisor = nil
        ages = SnapshotWords(snapshot).ages
        lens = style.lens ?? .after
        title = name
        names = [name]
        elapsed = 0
        alarms = []
        tree = ComparisonTree(
            base: nil, current: snapshot, filters: filters, sampleType: sampleType,
            limits: Self.limits)
        let measures = Measures(sampleType)
        let all = measures.size(report.totals)
        sentences =
            [
                "\(Quantity.precise(report.totals.inuseSpace)) live"
                    + (report.totals.inuseObjects == 0
                        ? "" : " in \(Quantity.grouped(report.totals.inuseObjects)) blocks"),
                SnapshotWords(snapshot).line(called: "", sampleType),
            ] + TextReport.warnings(snapshot.facts)
        listTitle = "What is largest"
        entries = report.rows.prefix(Self.listed).map { row in
            let size = measures.size(row.counts)
            return Entry(
                amount: Quantity.precise(size), share: Self.percent(size, of: all) + " of all",
                name: TextReport.shortName(row.site.frame.function),
                place: Self.place(row.key, row.site, row.callers),
                detail: measures.count(report.totals) == 0
                    ? "" : Quantity.blocks(measures.count(row.counts)))
        }
    }

    /// `+1,990 blocks; 2000 of 2000 new ones are live`.
    private static func blocks(_ row: StatisticDiff, _ measures: Measures) -> String {
        let change = Quantity.blocks(measures.count(row.change), signed: true)
        guard measures.isInUse, let survivors = row.survivors, survivors.allocObjects > 0 else {
            return change
        }
        return "\(change); \(TextReport.survivorsText(row, survivors)) new ones are live"
    }

    /// The line; without one, what else tells where it is: the file and the callers.
    private static func place(_ key: GroupKey, _ site: Site, _ callers: Callers) -> String {
        key.line > 0 ? key.label : site.module + TextReport.callersText(callers)
    }

    /// The file's bytes.
    package func svg() -> [UInt8] { FlameGraphSVG(self).bytes() }

    static func percent(_ part: Int64, of whole: Int64) -> String {
        guard whole != 0 else { return "0 %" }
        let share = Double(part) / Double(whole) * 100
        if share > 0 && share < 0.05 { return "< 0.1 %" }
        return Quantity.fixed(share, share.magnitude < 10 ? 1 : 0) + " %"
    }
}

/// What is known about a snapshot, in words; what is not recorded is left out.
struct SnapshotWords {
    private let snapshot: Snapshot

    init(_ snapshot: Snapshot) { self.snapshot = snapshot }

    /// `early: 2026-09-21 12:53:20 UTC, recorded for 1 m 0 s, server, pid 4711, build 00112233, …`.
    func line(called name: String, _ type: SampleType) -> String {
        let facts = snapshot.facts
        var parts: [String] = []
        if facts.capturedAt > 0 { parts.append(Self.time(facts.capturedAt)) }
        if facts.duration > 0 { parts.append("recorded for \(Quantity.duration(facts.duration))") }
        if let process = facts.process { parts.append("\(process.name), pid \(process.pid)") }
        if !build.isEmpty { parts.append("build \(build.prefix(8))") }
        parts.append("\(Quantity.precise(snapshot.totals.inuseSpace)) live")
        if let resident = facts.process?.residentBytes {
            parts.append("RSS \(Quantity.precise(resident))")
        }
        if let recording = facts.recording { parts.append(TextReport.recordingWords(recording)) }
        return (name.isEmpty ? "" : name + ": ") + parts.joined(separator: ", ")
    }

    /// The build ID of the main program; empty when unknown.
    private var build: String { snapshot.mappings.first?.buildID ?? "" }

    /// By birth epoch: the least and the most time that its blocks have lived.
    var ages: [UInt32: String] {
        let facts = snapshot.facts
        guard facts.duration > 0, let epochs = facts.recording?.epochs else { return [:] }
        var ages: [UInt32: String] = [:]
        for (index, epoch) in epochs.enumerated() {
            let oldest = facts.duration.saturatingSubtract(epoch.startedAfter)
            let next = index + 1 < epochs.count ? epochs[index + 1].startedAfter : facts.duration
            let youngest = max(0, facts.duration.saturatingSubtract(next))
            guard oldest >= youngest else { continue }
            let most = Quantity.duration(oldest)
            ages[UInt32(index) + 1] =
                youngest == 0 ? "up to \(most)" : "\(Quantity.duration(youngest)) to \(most)"
        }
        return ages
    }

    /// What makes two snapshots doubtful to compare.
    static func alarms(_ base: Snapshot, _ current: Snapshot, isSameRun: Bool) -> [String] {
        let builds = [SnapshotWords(base).build, SnapshotWords(current).build]
        var alarms: [String] = []
        if builds[0] != builds[1], !builds.contains("") {
            alarms.append(
                "the binary differs between A and B (build \(builds[0].prefix(8)) and "
                    + "\(builds[1].prefix(8)))")
        }
        // Of one run, the later snapshot is of a longer time and of more work by nature.
        guard !isSameRun, base.facts.process != nil, current.facts.process != nil else {
            return alarms
        }
        let times = [base.facts.duration, current.facts.duration]
        if differ(times) {
            alarms.append(
                "A was recorded for \(Quantity.duration(times[0])) and B for "
                    + "\(Quantity.duration(times[1])): expect growth from that alone")
        }
        let work = [base, current].map(\.totals.allocObjects)
        if differ(work) {
            alarms.append(
                "the load differs: \(Quantity.grouped(work[0])) blocks were allocated in A, "
                    + "\(Quantity.grouped(work[1])) in B")
        }
        return alarms
    }

    /// Whether both are known, and one is more than twice the other.
    private static func differ(_ values: [Int64]) -> Bool {
        guard let least = values.min(), let most = values.max(), least > 0 else { return false }
        return Double(most) > 2 * Double(least)
    }

    /// `2026-09-21 12:53:20 UTC`, of nanoseconds since 1970.
    static func time(_ nanoseconds: Int64) -> String {
        let seconds = nanoseconds / 1_000_000_000
        let clock = seconds % 86400
        // Days since 1 March of the year 0, in which leap days come last: 400 years have 146,097 days.
        let days = seconds / 86400 + 719_468
        let era = days / 146_097
        let day = days % 146_097
        let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365
        let ofYear = day - (365 * year + year / 4 - year / 100)
        let month = (5 * ofYear + 2) / 153
        let ofMonth = ofYear - (153 * month + 2) / 5 + 1
        let number = month < 10 ? month + 3 : month - 9
        let date = [era * 400 + year + (number <= 2 ? 1 : 0), number, ofMonth]
        return date.map(digits).joined(separator: "-") + " "
            + [clock / 3600, clock / 60 % 60, clock % 60].map(digits).joined(separator: ":")
            + " UTC"
    }

    private static func digits(_ number: Int64) -> String {
        number < 10 ? "0\(number)" : "\(number)"
    }
}
