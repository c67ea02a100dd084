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
            speedscope is for speedscope.app, massif for ms_print, csv for spreadsheets. csv and json have
            the rows of `leakprof top`; the others have whole stacks.
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case pprof, folded, speedscope, massif, csv, json
    }

    @Argument(help: "A process ID, a process name, a region, a snapshot file, or an http URL.")
    var source: String

    @Option(help: "pprof, folded, speedscope, massif, csv, or json.")
    var format: Format

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("The file to write; without it, stdout.", valueName: "file"))
    var output = "-"

    @OptionGroup var options: ReportOptions

    func validate() throws {
        guard format != .massif || options.sampleType.unit == "bytes" else {
            throw ValidationError(
                "massif counts bytes: not --sample-type \(options.sampleType.rawValue)")
        }
    }

    func run() throws {
        // As they concern any form; those that count rows would do it themselves.
        let read = try options.prepared([options.reader.snapshot(source)])[0]
        let snapshot = try options.filters().applied(to: read)
        try OutputFile.write(try bytes(of: snapshot), to: output)
        if output != "-" { Console.result(["wrote \(output)"]) }
    }

    private func bytes(of snapshot: Snapshot) throws -> [UInt8] {
        let sampleType = options.sampleType
        switch format {
        case .pprof: return try ProfileEncoder.encode(snapshot, tool: Leakprof.tool)
        case .folded:
            let lines = FoldedReport.lines(of: snapshot, sampleType: sampleType)
            return Array((lines.joined(separator: "\n") + "\n").utf8)
        case .speedscope:
            return try SpeedscopeReport.bytes(
                of: snapshot, name: options.name(of: source, or: "snapshot"),
                sampleType: sampleType,
                tool: Leakprof.tool)
        case .massif:
            return MassifReport.bytes(of: snapshot, sampleType: sampleType, tool: Leakprof.tool)
        case .csv: return CSVReport.bytes(of: try report(of: snapshot))
        case .json:
            return try JSONReport.bytes(of: try report(of: snapshot), facts: snapshot.facts)
        }
    }

    private func report(of snapshot: Snapshot) throws -> TopReport {
        TopReport(
            of: snapshot, grouping: try options.grouping(), sort: options.sort,
            sampleType: options.sampleType)
    }
}

extension Leakprof {
    /// What files say they were written by.
    static var tool: String { "leakprof \(version)" }
}
