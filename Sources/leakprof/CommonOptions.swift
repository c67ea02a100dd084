internal import ArgumentParser
internal import Glibc
package import LeakprofAnalysis
internal import LeakprofCapture
package import LeakprofModel
internal import LeakprofPprof
package import LeakprofReport

extension GroupBy: ExpressibleByArgument {}
extension SortKey: ExpressibleByArgument {}
extension SampleType: ExpressibleByArgument {}
extension MemoryDomain: ExpressibleByArgument {}
extension FlameGraph.Lens: ExpressibleByArgument {}
extension FlameGraph.Theme: ExpressibleByArgument {}

/// How a graph is drawn.
struct GraphOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What the graph shows where no script runs, and first elsewhere: side, growth, union, before, after, or sites.",
            valueName: "lens"))
    var lens: FlameGraph.Lens?

    @Option(
        help: ArgumentHelp("The graph's colors: light, dark, or auto.", valueName: "theme"))
    var theme: FlameGraph.Theme?

    @Flag(help: "Draw the graph with callees above their callers.")
    var flame = false

    var isGiven: Bool { lens != nil || theme != nil || flame }

    var style: FlameGraph.Style {
        FlameGraph.Style(
            lens: lens, theme: theme ?? .auto, isFlame: flame,
            producer: "leakprof \(Leakprof.version)")
    }
}

/// Where debug information is looked for.
struct SymbolOptions: ParsableArguments {
    @Option(
        name: .customLong("debug-dir"),
        help: ArgumentHelp(
            "Another directory with separate debug files; repeatable.", valueName: "dir"))
    var debugDirectories: [String] = []

    @Flag(
        help: "Ask the servers in DEBUGINFOD_URLS for debug files. Without it, nothing is fetched.")
    var debuginfod = false

    /// Says why servers can't be asked, and sees to it that they aren't unless that is wanted.
    func prepareServers() {
        guard debuginfod else {
            unsetenv("DEBUGINFOD_URLS")
            return
        }
        if (Console.environment("DEBUGINFOD_URLS") ?? "").isEmpty {
            Console.say("leakprof: --debuginfod: DEBUGINFOD_URLS names no server to ask")
        } else if dlopen("libdebuginfod.so.1", RTLD_LAZY) == nil {
            Console.say(
                "leakprof: --debuginfod: libdebuginfod.so.1 is not installed; no server is asked")
        }
    }
}

/// Reads sources the way every command does.
struct SourceReader {
    let symbols: SymbolOptions
    /// How what was read is shown; as it is, unless a report's options say otherwise.
    var adapt: (Snapshot) -> Snapshot = { $0 }

    /// Reads a snapshot, looks its frames up, and says so when that takes long.
    func snapshot(_ text: String, startsEpoch: Bool = false) throws -> Snapshot {
        do {
            let source = try Source.resolve(
                text, directory: Console.environment("LEAKPROF_DIR"))
            return adapt(try read(source, startsEpoch: startsEpoch))
        } catch {
            throw Failure(error)
        }
    }

    /// Reads two snapshots, both at once where they are files.
    func snapshots(_ first: String, _ second: String) throws -> (Snapshot, Snapshot) {
        let directory = Console.environment("LEAKPROF_DIR")
        guard let base = try? Source.resolve(first, directory: directory), base.isFile,
            let current = try? Source.resolve(second, directory: directory), current.isFile
        else { return (try snapshot(first), try snapshot(second)) }
        let (before, after) = concurrently({ Self.capture(base) }) { Self.capture(current) }
        do {
            return (
                adapt(symbolized(try before.get(), owner: base.owner, of: base)),
                adapt(symbolized(try after.get(), owner: current.owner, of: current))
            )
        } catch {
            throw Failure(error)
        }
    }

    private static func capture(_ source: Source) -> Result<Snapshot, CaptureError> {
        Result { () throws(CaptureError) in try source.capture(startsEpoch: false) }
    }

    func read(_ source: Source, startsEpoch: Bool) throws(CaptureError) -> Snapshot {
        // Before the capture: afterwards the process may be gone, and its files can't be had from it.
        let pid = source.runningProcessID
        let owner = source.owner
        return symbolized(
            try source.capture(startsEpoch: startsEpoch), pid: pid, owner: owner, of: source)
    }

    private func symbolized(
        _ snapshot: Snapshot, pid: Int32? = nil, owner: (user: UInt32, group: UInt32)?,
        of source: Source
    ) -> Snapshot {
        // Snapshot files have their frames; regions and some other tools' profiles have addresses alone.
        guard snapshot.locations.contains(where: \.frames.isEmpty) else { return snapshot }
        var snapshot = snapshot
        symbolize(&snapshot, pid: pid, owner: owner, trustsPaths: source.trustsPaths)
        return snapshot
    }

    /// Reads the snapshot of one block of a running process; `nil` when there is none.
    func block(
        at address: UInt64, of source: Source, patience: Double
    ) throws(CaptureError) -> Snapshot? {
        guard case .region(let region) = source, let pid = source.runningProcessID else {
            throw .unsupported("that is not a running process under the shim")
        }
        let owner = source.owner
        guard var snapshot = try region.block(at: address, patience: patience) else { return nil }
        symbolize(&snapshot, pid: pid, owner: owner, trustsPaths: source.trustsPaths)
        return snapshot
    }

    private func symbolize(
        _ snapshot: inout Snapshot, pid: Int32?, owner: (user: UInt32, group: UInt32)?,
        trustsPaths: Bool
    ) {
        symbols.prepareServers()
        SymbolReader(
            pid: pid, owner: owner, debugDirectories: symbols.debugDirectories,
            trustsPaths: trustsPaths,
            asksServers: symbols.debuginfod
        ).symbolize(&snapshot)
    }
}

/// What `top`, `diff`, `flamegraph` and `export` have in common.
struct ReportOptions: ParsableArguments {
    @Option(help: "Count blocks by line, function, file, module, or stack.")
    var groupBy: GroupBy = .line

    @Flag(help: "Count a block for every frame of its stack, not for the one that asked for it.")
    var cumulative = false

    @Option(help: ArgumentHelp("Rows to show.", valueName: "n"))
    var limit = 10

    @Option(help: "Order rows by size, count, average, or name.")
    var sort: SortKey = .size

    @Option(
        help: ArgumentHelp(
            "Only blocks whose file, file:line, function or module matches; repeatable, any may match.",
            valueName: "pattern"))
    var include: [String] = []

    @Option(
        help: ArgumentHelp(
            "No blocks whose file, file:line, function or module matches; repeatable.",
            valueName: "pattern"))
    var exclude: [String] = []

    @Flag(help: "Patterns may match any frame of the stack.")
    var allFrames = false

    @Option(
        help: "What to count: inuse_space, inuse_objects, alloc_space, or alloc_objects.")
    var sampleType: SampleType = .inuseSpace

    @Option(
        help: ArgumentHelp(
            "Only blocks allocated after this birth epoch, or after this snapshot was taken.",
            valueName: "epoch|snapshot"))
    var liveSince: String?

    @Option(
        name: .customLong("source-dir"),
        help: ArgumentHelp(
            "Show source lines, looked for below this directory; repeatable.", valueName: "dir"))
    var sourceDirectories: [String] = []

    @Option(
        help: ArgumentHelp(
            "Only blocks that this memory domain of an interpreter gave out: raw, mem, object, or malloc; repeatable.",
            valueName: "domain"))
    var domain: [MemoryDomain] = []

    @Flag(
        help:
            "Show the native code below Python's lines and count blocks for it; the interpreter's own frames too if they were recorded (run --native-frames)."
    )
    var nativeFrames = false

    @Flag(
        help: """
            Write numbers in place of the names of functions, files, modules, builds, and of the program, without its \
            command line, so that what is written can be shown to anybody.
            """)
    var redact = false

    @OptionGroup var symbols: SymbolOptions

    var reader: SourceReader {
        let domains = Set(domain)
        let folds = !nativeFrames
        return SourceReader(symbols: symbols) { snapshot in
            let kept = domains.isEmpty ? snapshot : snapshot.keeping(domains)
            return folds ? kept.foldingInterpreter() : kept
        }
    }

    func validate() throws {
        guard limit >= 0 else { throw ValidationError("--limit can't be negative") }
        guard !redact || sourceDirectories.isEmpty else {
            throw ValidationError("--redact hides where source lines are: not with --source-dir")
        }
    }

    /// What reports are made of: the snapshots themselves, or without their names.
    func prepared(_ snapshots: [Snapshot]) throws -> [Snapshot] {
        guard redact else { return snapshots }
        // Patterns are about the names there were.
        let filters = try givenFilters()
        var redaction = Redaction()
        return snapshots.map { redaction.redacted(filters.applied(to: $0)) }
    }

    /// What reports call a source: its file name, unless that is to be hidden.
    func name(of source: String, or redacted: String) -> String {
        redact ? redacted : source.lastPathComponent
    }

    /// What reports leave out themselves.
    func filters() throws -> Filters { redact ? Filters() : try givenFilters() }

    private func givenFilters() throws -> Filters {
        Filters(
            include: include, exclude: exclude, allFrames: allFrames,
            bornAfterEpoch: try liveSince.map(epoch))
    }

    func grouping() throws -> Grouping {
        Grouping(groupBy: groupBy, cumulative: cumulative, filters: try filters())
    }

    private func epoch(_ text: String) throws -> UInt32 {
        if let number = UInt32(text) { return number }
        let snapshot = try reader.snapshot(text)
        // Of Go's own heap profile there are no epochs.
        guard let recording = snapshot.facts.recording, recording.cutEpoch > 0 else {
            throw Failure(
                "--live-since \(text): that snapshot has no birth epochs",
                try: "a snapshot taken with leakprof, or an epoch's number")
        }
        return recording.cutEpoch
    }

    /// Finds lines of source files below the directories the user named.
    var sourceLine: (@Sendable (String, Int64) -> String?)? {
        guard !sourceDirectories.isEmpty else { return nil }
        let lookup = SourceLines(directories: sourceDirectories)
        return { lookup.line($1, of: $0) }
    }
}
