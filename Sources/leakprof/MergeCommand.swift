internal import ArgumentParser
internal import LeakprofAnalysis
internal import LeakprofModel
internal import LeakprofReport

struct MergeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "merge",
        abstract: "Write one snapshot of several processes together.",
        discussion: """
            leakprof merge early-1 early-2 -o early

            For the workers of a server: their blocks are added up by stack trace. Two merged snapshots can
            be compared like any others, but do not tell what survived in between.
            """)

    @Argument(help: "Processes, regions, heap profiles' files, or their URLs.")
    var sources: [String]

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("The file to write; - is stdout.", valueName: "file"))
    var output: String

    @OptionGroup var symbols: SymbolOptions

    func run() throws {
        let reader = SourceReader(symbols: symbols)
        let snapshot = Snapshot.merged(try sources.map { try reader.snapshot($0) })
        let path = try Snapshots.write(snapshot, to: output)
        guard path != "-" else { return }
        let totals = snapshot.totals
        Console.result([
            "wrote \(path): \(Quantity.precise(totals.inuseSpace)) live in "
                + "\(Quantity.grouped(totals.inuseObjects)) blocks of \(sources.count) processes"
        ])
    }
}
