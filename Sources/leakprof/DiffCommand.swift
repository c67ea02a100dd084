internal import ArgumentParser
internal import LeakprofAnalysis
internal import LeakprofCapture
internal import LeakprofModel
internal import LeakprofPprof
internal import LeakprofReport

struct DiffCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Show what grew from one snapshot to another.",
        discussion: """
            leakprof diff early late --svg

            Rows are in tracemalloc's order: the largest change first. Both may be heap profiles of
            other tools; docs/formats.md lists which. Growth is not proof of a leak: a cache that warms up grows too.
            """)

    @Argument(help: "The earlier one: a process, a region, a snapshot file, or an http URL.")
    var base: String

    @Argument(help: "The later one.")
    var current: String

    @Flag(help: "Draw a comparison graph, as an SVG file.")
    var svg = false

    @OptionGroup var graph: GraphOptions

    @Flag(help: "Write JSON.")
    var json = false

    @OptionGroup var work: WorkOptions

    @Flag(help: "Show changes too small to matter as well.")
    var all = false

    @Flag(help: "Write folded stacks with two values, base and current.")
    var folded = false

    @Flag(help: "Write one pprof profile that go tool pprof and others show as the comparison.")
    var pprof = false

    @Flag(help: "Write a file for speedscope.app: what grew, what shrank, and both.")
    var speedscope = false

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The file for the form asked for; - is stdout. Without it, BASE..CURRENT.diff.FORM.",
            valueName: "file"))
    var output: String?

    @OptionGroup var options: ReportOptions

    func validate() throws {
        let forms = [svg, json, folded, pprof, speedscope].count { $0 }
        let names = "--svg, --json, --folded, --pprof and --speedscope"
        guard forms <= 1 else { throw ValidationError("ask for one of \(names) at a time") }
        guard !work.isGiven || !folded && !pprof && !speedscope else {
            throw ValidationError("--per and --rate are for text, --svg and --json")
        }
        guard svg || !graph.isGiven else {
            throw ValidationError("--lens, --theme and --flame need --svg")
        }
        guard output == nil || forms == 1 else {
            throw ValidationError("-o needs one of \(names); text goes to stdout")
        }
    }

    func run() throws {
        let read = try options.reader.snapshots(base, current)
        let prepared = try options.prepared([read.0, read.1])
        let (before, after) = (prepared[0], prepared[1])
        let grouping = try options.grouping()
        let divisor = try work.divisor(before.facts, after.facts)
        lazy var diff = SnapshotDiff(
            base: before, current: after, grouping: grouping, sort: options.sort,
            sampleType: options.sampleType)
        if let (bytes, suffix) = try form(before, after, divisor, { () -> SnapshotDiff in diff }) {
            let path =
                output ?? "\(names.base)..\(names.current).diff.\(suffix)"
            try OutputFile.write(bytes, to: path)
            guard path != "-" else { return }
            printText(diff, divisor)
            Console.result(["wrote \(path)"])
            Console.next("open it, or leakprof diff \(base) \(current) --group-by stack")
            return
        }
        printText(diff, divisor)
        Console.next("leakprof diff \(base) \(current) --svg, or --group-by stack")
    }

    /// What the two are called.
    private var names: (base: String, current: String) {
        (options.name(of: base, or: "base"), options.name(of: current, or: "current"))
    }

    /// Whether the text's rows are those of the graph's list.
    private var isByLine: Bool {
        options.groupBy == .line && !options.cumulative && options.sort == .size
    }

    private func printText(_ diff: SnapshotDiff, _ divisor: Divisor?) {
        Console.result(
            TextReport(
                limit: options.limit, showsAllChanges: all, divisor: divisor,
                sourceLine: options.sourceLine
            )
            .lines(of: diff, base: names.base))
    }

    /// The form asked for and its file name's ending; `nil` for text.
    private func form(
        _ before: Snapshot, _ after: Snapshot, _ divisor: Divisor?,
        _ diff: @escaping () -> SnapshotDiff
    ) throws -> (bytes: [UInt8], suffix: String)? {
        if svg {
            let graph = FlameGraph(
                base: before, current: after,
                names: names,
                filters: try options.filters(), sampleType: options.sampleType,
                style: self.graph.style, divisor: divisor, diff: isByLine ? diff : nil)
            return (graph.svg(), "svg")
        }
        if json { return (try JSONReport.bytes(of: diff(), divisor: divisor), "json") }
        let filters = try options.filters()
        let (before, after) = (filters.applied(to: before), filters.applied(to: after))
        if folded {
            let lines = FoldedReport.lines(
                base: before, current: after, sampleType: options.sampleType)
            return (Array((lines.joined(separator: "\n") + "\n").utf8), "folded")
        }
        if pprof {
            return (
                try ProfileEncoder.encodeDifference(
                    base: before, current: after, tool: Leakprof.tool), "pb.gz"
            )
        }
        if speedscope {
            return (
                try SpeedscopeReport.bytes(
                    base: before, current: after,
                    names: names,
                    sampleType: options.sampleType, tool: Leakprof.tool), "speedscope.json"
            )
        }
        return nil
    }
}
