internal import ArgumentParser
internal import LeakprofAnalysis
internal import LeakprofCapture
internal import LeakprofModel
internal import LeakprofPprof
internal import LeakprofReport

struct SnapshotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot",
        abstract: "Write what is allocated now, and from where, to a file.",
        discussion: """
            leakprof snapshot 4711 -o early

            The process is not stopped. The file is a pprof profile: go tool pprof, Pyroscope, Parca and
            speedscope read it too. Blocks allocated later belong to a new birth epoch, so a later
            snapshot can tell them apart.

            Go programs need not be recorded: of a running one, the heap profile that it keeps itself is read.

            leakprof snapshot http://127.0.0.1:6060/debug/pprof/heap -o early

            Of a Go service; ?gc=1 has it collect garbage first.
            """)

    @Argument(
        help: "A process ID, a process name, a region a process left, or the URL of a heap profile."
    )
    var source: String

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The file to write; - is stdout. Without it, leakprof.NAME.PID.N.pb.gz.",
            valueName: "file"))
    var output: String?

    @OptionGroup var symbols: SymbolOptions

    func run() throws {
        let snapshot = try SourceReader(symbols: symbols).snapshot(source, startsEpoch: true)
        let path = try Snapshots.write(snapshot, to: output)
        if let note = TextReport.otherMalloc(snapshot.facts) { Console.say(note) }
        if let note = TextReport.goProfile(snapshot.facts) { Console.say(note) }
        if let note = TextReport.goAttachment(snapshot.facts) { Console.say(note) }
        for note in Snapshots.notableNotes(snapshot).prefix(5) { Console.say("note: " + note) }
        guard path != "-" else { return }
        let totals = snapshot.totals
        Console.result([
            "wrote \(path): \(Quantity.precise(totals.inuseSpace)) live in "
                + "\(Quantity.grouped(totals.inuseObjects)) blocks"
        ])
        Console.next(
            "leakprof top \(path), or another snapshot and leakprof diff \(path) LATER --svg")
    }
}

/// Snapshot files.
enum Snapshots {
    /// What symbolization could not do, without the libraries that hardly anybody has lines for.
    static func notableNotes(_ snapshot: Snapshot) -> [String] {
        let expected = snapshot.mappings.filter(\.isRuntimeLibrary).map { $0.path + ": " }
        return snapshot.facts.notes.filter { note in !expected.contains { note.hasPrefix($0) } }
    }

    /// Writes to `path`, or to a numbered default name; returns where.
    static func write(_ snapshot: Snapshot, to path: String?) throws -> String {
        let bytes = try ProfileEncoder.encode(snapshot, tool: "leakprof \(Leakprof.version)")
        guard let path else {
            return try OutputFile.writeNumbered(
                bytes, for: snapshot.facts.process, suffix: "pb.gz")
        }
        try OutputFile.write(bytes, to: path)
        return path
    }
}
