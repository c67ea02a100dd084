internal import ArgumentParser
internal import LeakprofAnalysis
internal import LeakprofCapture
internal import LeakprofModel
internal import LeakprofReport

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Write a report on growth as one HTML file, or as Markdown.",
        discussion: """
            leakprof report early late
            leakprof report monday tuesday wednesday --markdown -o incident.md --source-dir .

            What grew from the first to the last, and memory over all of them. The Markdown is an incident
            report; what the snapshots can't tell is left for you to fill in.
            """)

    @Argument(help: "The earliest: a process, a region, a heap profile's file, or its URL.")
    var base: String

    @Argument(help: "Later ones, in order.")
    var current: [String]

    @Flag(help: "Write Markdown.")
    var markdown = false

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The file to write; - is stdout. Without it, BASE..CURRENT.report.html or .md.",
            valueName: "file"))
    var output: String?

    @OptionGroup var work: WorkOptions

    @OptionGroup var options: ReportOptions

    func run() throws {
        let sources = [base] + current
        let names = sources.enumerated().map { options.name(of: $1, or: "snapshot \($0 + 1)") }
        let read = try options.prepared(sources.map { try options.reader.snapshot($0) })
        let snapshots = Array(zip(names, read))
        let lookup = SourceLines(directories: options.sourceDirectories)
        let story = GrowthStory(
            snapshots, grouping: try options.grouping(), sort: options.sort,
            sampleType: options.sampleType, limit: options.limit,
            divisor: try work.divisor(read[0].facts, read[read.count - 1].facts),
            producer: "leakprof \(Leakprof.version)"
        ) { file, line in lookup.excerpt(around: line, of: file) }
        let bytes = markdown ? MarkdownReport.bytes(of: story) : HTMLReport.bytes(of: story)
        let path =
            output ?? "\(names[0])..\(names[names.count - 1]).report.\(markdown ? "md" : "html")"
        try OutputFile.write(bytes, to: path)
        guard path != "-" else { return }
        Console.result(["wrote \(path)"])
        Console.next(
            markdown
                ? "fill in what is not in the data"
                : "open it, or leakprof diff \(base) \(sources[sources.count - 1])")
    }
}
