internal import ArgumentParser
internal import Glibc
internal import LeakprofAnalysis
internal import LeakprofCapture
internal import LeakprofModel
internal import LeakprofReport

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a program and record its heap.",
        discussion: """
            leakprof run -- ./app --port 8080

            The program runs as it would without leakprof: signals and its exit status pass through.
            While it runs, take snapshots of it; when it ends, what is still allocated is shown and
            kept in a file. Another LD_PRELOAD stays in force, behind leakprof's.
            """)

    @OptionGroup var recording: RecordingOptions

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The file for the final snapshot. Without it, leakprof.NAME.PID.N.pb.gz.",
            valueName: "file"))
    var output: String?

    @Flag(help: "Say nothing but errors.")
    var quiet = false

    @OptionGroup var symbols: SymbolOptions

    @Argument(parsing: .postTerminator, help: "The program and its arguments, behind --.")
    var command: [String]

    func run() throws {
        let shim = try ShimLocator.locate()
        let program = try ProgramCheck.locate(command[0])
        let obstacle = ProgramCheck.obstacle(to: program)
        if let obstacle { Console.say("leakprof: " + obstacle.reason) }

        var environment = recording.environment
        // Someone else's preloaded allocator must come behind the shim, which forwards to what is next.
        let others = Console.environment("LD_PRELOAD").map { [$0] } ?? []
        if obstacle?.keepsShimOut != true {
            environment["LD_PRELOAD"] = ([shim] + others).joined(separator: ":")
        }
        environment["LEAKPROF_KEEP"] = "parent=\(getpid())"
        let child = try ChildProcess(program: program, arguments: command, environment: environment)
        if obstacle == nil && !quiet { announce(child) }
        let status = child.waitForwardingSignals()
        report(child)
        throw ExitCode(status)
    }

    private func announce(_ child: ChildProcess) {
        guard !recording.isPaused else {
            Console.say(
                "leakprof: pid \(child.pid) is not recorded yet   "
                    + "start with: leakprof attach \(child.pid)")
            return
        }
        let mode = recording.mode?.rawValue ?? Console.environment("LEAKPROF_MODE") ?? "auto"
        let budget = recording.overhead ?? Console.environment("LEAKPROF_OVERHEAD") ?? "3"
        let how = mode == "auto" ? "auto: exact while under \(budget) % CPU" : mode
        Console.say(
            "leakprof: recording pid \(child.pid) (\(how))   "
                + "snapshot it with: leakprof snapshot \(child.pid)")
    }

    /// Shows what the program left allocated, keeps it in a file, and removes the region.
    private func report(_ child: ChildProcess) {
        let directory = recording.directory ?? Console.environment("LEAKPROF_DIR")
        guard
            let region = Region.left(
                byPid: child.pid, startTicks: child.startTicks, directory: directory)
        else { return }
        do {
            let snapshot = try SourceReader(symbols: symbols).read(
                .region(region), startsEpoch: false)
            let path = try Snapshots.write(snapshot, to: output)
            region.remove()
            guard !quiet else { return }
            let report = TopReport(of: snapshot.foldingInterpreter())
            Console.say("leakprof: what pid \(child.pid) had not freed when it ended:")
            for line in TextReport(limit: 10).lines(of: report, facts: snapshot.facts) {
                Console.say("  " + line)
            }
            Console.say("leakprof: kept in \(path)   next: leakprof flamegraph \(path)")
        } catch {
            for line in "leakprof: no final snapshot: \(error)".split(separator: "\n") {
                Console.say(String(line))
            }
            Console.say("leakprof: the region stays: \(region.path)")
        }
    }
}
