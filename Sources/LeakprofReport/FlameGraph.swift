package import LeakprofAnalysis
package import LeakprofModel

/// The flame graph of one snapshot, or of two side by side, as a self-contained SVG file.
///
/// Both graphs share one scale: as many pixels are as many bytes on the left as on the right, so growth is
/// area. Within a frame, the part that is in both snapshots is grey; what grew is orange, what shrank is
/// hatched blue. Everything a reader needs is text in the file: with scripts off, only zooming and
/// searching are gone. The same input always gives the same bytes.
package struct FlameGraph: Sendable {
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
    let listTitle: String
    let entries: [Entry]
    let tree: ComparisonTree
    /// What the graphs are called; one for one snapshot.
    let panelTitles: [String]

    /// How many sites are listed.
    private static let listed = 5

    /// The graph of two snapshots, which the user calls `names`.
    package init(
        base: Snapshot, current: Snapshot, names: (base: String, current: String),
        filters: Filters = Filters(), sampleType: SampleType = .inuseSpace
    ) {
        let diff = SnapshotDiff(
            base: base, current: current, grouping: Grouping(filters: filters),
            sampleType: sampleType)
        title = "\(names.base) → \(names.current)"
        sentences =
            [TextReport.headline(diff), Self.subject(diff.currentFacts)]
            + TextReport.cautions(diff) + TextReport.warnings(diff.currentFacts)
        listTitle = "What grew most"
        tree = ComparisonTree(
            base: base, current: current, filters: filters, sampleType: sampleType)
        let growth = tree.root.grown
        let measures = Measures(sampleType)
        let grown = diff.rows.filter { measures.size($0.change) > 0 && $0.isSignificant }
        entries = grown.prefix(Self.listed).map { row in
            let change = measures.size(row.change)
            return Entry(
                amount: Quantity.precise(change, signed: true),
                share: Self.percent(change, of: growth) + " of growth",
                name: TextReport.shortName(row.site.frame.function),
                place: Self.place(row.key, row.site, row.callers),
                detail: Quantity.signed(measures.count(row.change)) + " blocks")
        }
        panelTitles = [
            "Before: \(names.base), " + Self.amount(tree.root.base, sampleType),
            "After: \(names.current), " + Self.amount(tree.root.current, sampleType),
        ]
    }

    /// The graph of one snapshot, which the user calls `name`.
    package init(
        of snapshot: Snapshot, name: String, filters: Filters = Filters(),
        sampleType: SampleType = .inuseSpace
    ) {
        let report = TopReport(
            of: snapshot, grouping: Grouping(filters: filters), sampleType: sampleType)
        title = name
        tree = ComparisonTree(
            base: nil, current: snapshot, filters: filters, sampleType: sampleType)
        let total = tree.root.current
        let measures = Measures(sampleType)
        sentences =
            [
                "\(Quantity.precise(report.totals.inuseSpace)) live in "
                    + "\(Quantity.grouped(report.totals.inuseObjects)) blocks",
                Self.subject(snapshot.facts),
            ] + TextReport.warnings(snapshot.facts)
        listTitle = "What is largest"
        entries = report.rows.prefix(Self.listed).map { row in
            let size = measures.size(row.counts)
            return Entry(
                amount: Quantity.precise(size), share: Self.percent(size, of: total) + " of all",
                name: TextReport.shortName(row.site.frame.function),
                place: Self.place(row.key, row.site, row.callers),
                detail: "\(Quantity.grouped(measures.count(row.counts))) blocks")
        }
        panelTitles = ["\(name), " + Self.amount(total, sampleType)]
    }

    /// The line; without one, what else tells where it is: the file and the callers.
    private static func place(_ key: GroupKey, _ site: Site, _ callers: Callers) -> String {
        key.line > 0 ? key.label : site.module + TextReport.callersText(callers)
    }

    /// `403.6 MiB live`, `1,234 blocks allocated`.
    private static func amount(_ value: Int64, _ type: SampleType) -> String {
        let state = Measures(type).isInUse ? "live" : "allocated"
        return type.unit == "bytes"
            ? "\(Quantity.precise(value)) \(state)" : "\(Quantity.grouped(value)) blocks \(state)"
    }

    /// The file's bytes.
    package func svg() -> [UInt8] { FlameGraphSVG(self).bytes() }

    private static func subject(_ facts: SnapshotFacts) -> String {
        var parts: [String] = []
        if let process = facts.process { parts.append("\(process.name), pid \(process.pid)") }
        if let recording = facts.recording {
            parts.append("recorded " + TextReport.recordingWords(recording))
        }
        if facts.duration > 0 {
            parts.append("second snapshot after \(Quantity.duration(facts.duration))")
        }
        return parts.joined(separator: "; ")
    }

    static func percent(_ part: Int64, of whole: Int64) -> String {
        guard whole != 0 else { return "0 %" }
        let share = Double(part) / Double(whole) * 100
        return Quantity.fixed(share, share.magnitude < 10 ? 1 : 0) + " %"
    }
}
