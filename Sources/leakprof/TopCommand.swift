internal import ArgumentParser
internal import LeakprofAnalysis
internal import LeakprofModel
internal import LeakprofReport

struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Show what holds the most memory.",
        discussion: """
            leakprof top early --group-by function --limit 20

            A block counts for the innermost function that is not part of an allocator or of the
            language's own library; --cumulative counts it for every function on its stack.
            """)

    @Argument(help: "A process ID or name, a region, a heap profile's file, or its URL.")
    var source: String

    @Flag(help: "Write JSON.")
    var json = false

    @OptionGroup var options: ReportOptions

    func run() throws {
        let snapshot = try options.prepared([options.reader.snapshot(source)])[0]
        let report = TopReport(
            of: snapshot, grouping: try options.grouping(), sort: options.sort,
            sampleType: options.sampleType)
        if json {
            try OutputFile.write(
                try JSONReport.bytes(of: report, facts: snapshot.facts), to: "-")
            return
        }
        Console.result(
            TextReport(limit: options.limit, sourceLine: options.sourceLine)
                .lines(of: report, facts: snapshot.facts))
        Console.next("leakprof flamegraph \(source), or leakprof diff \(source) LATER")
    }
}
