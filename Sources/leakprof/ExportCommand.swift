internal import ArgumentParser
internal import LeakprofAnalysis
internal import LeakprofCapture
internal import LeakprofModel
internal import LeakprofPprof
internal import LeakprofReport

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a snapshot in another tool's form.",
        discussion: """
            leakprof export early --format folded | flamegraph.pl > early.svg

            pprof is the form snapshots have anyway; exporting a process or a region symbolizes it.
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case pprof, folded, json
    }

    @Argument(help: "A process ID, a process name, a region, or a snapshot file.")
    var source: String

    @Option(help: "pprof, folded, or json.")
    var format: Format

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("The file to write; without it, stdout.", valueName: "file"))
    var output = "-"

    @OptionGroup var options: ReportOptions

    func run() throws {
        let snapshot = try options.reader.snapshot(source)
        let bytes: [UInt8]
        switch format {
        case .pprof:
            bytes = try ProfileEncoder.encode(snapshot, tool: "leakprof \(Leakprof.version)")
        case .folded:
            let lines = FoldedReport.lines(of: snapshot, sampleType: options.sampleType)
            bytes = Array((lines.joined(separator: "\n") + "\n").utf8)
        case .json:
            let report = TopReport(
                of: snapshot, grouping: try options.grouping(), sort: options.sort,
                sampleType: options.sampleType)
            bytes = try JSONReport.bytes(of: report, facts: snapshot.facts)
        }
        try OutputFile.write(bytes, to: output)
        if output != "-" { Console.result(["wrote \(output)"]) }
    }
}
