internal import ArgumentParser
internal import LeakprofAnalysis
internal import LeakprofModel
internal import LeakprofReport

struct FlamegraphCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flamegraph",
        abstract: "Draw one snapshot as an SVG file.",
        discussion: """
            leakprof flamegraph early -o early.svg

            The outermost functions are at the top; a frame is as wide as what was allocated below it.
            """)

    @Argument(help: "A process ID or name, a region, a heap profile's file, or its URL.")
    var source: String

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The file to write; - is stdout. Without it, SOURCE.svg.", valueName: "file"))
    var output: String?

    @OptionGroup var graph: GraphOptions

    @OptionGroup var options: ReportOptions

    func validate() throws {
        if let lens = graph.lens, !FlameGraph.lenses(isComparison: false).contains(lens) {
            throw ValidationError(
                "--lens \(lens.rawValue) needs two snapshots: leakprof diff --svg")
        }
    }

    func run() throws {
        let snapshot = try options.prepared([options.reader.snapshot(source)])[0]
        let name = options.name(of: source, or: "snapshot")
        let graph = FlameGraph(
            of: snapshot, name: name, filters: try options.filters(),
            sampleType: options.sampleType, style: self.graph.style)
        let path = output ?? "\(name).svg"
        try OutputFile.write(graph.svg(), to: path)
        guard path != "-" else { return }
        Console.result(["wrote \(path)"])
        Console.next("open it, or leakprof top \(source)")
    }
}
