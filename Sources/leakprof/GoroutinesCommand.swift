internal import ArgumentParser
internal import LeakprofAnalysis
internal import LeakprofCapture
internal import LeakprofModel
internal import LeakprofPprof
internal import LeakprofReport

struct GoroutinesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "goroutines",
        abstract: "Show where a Go program began its goroutines, and what they wait for.",
        discussion: """
            leakprof goroutines 4711 -o early.goroutines
            leakprof goroutines early.goroutines 4711

            The process is not stopped. With two sources, what changed from the first to the second. The
            file is a pprof profile of goroutines: go tool pprof reads it too.
            """)

    @Argument(help: "A Go program's process ID or name, or a file that this command wrote.")
    var source: String

    @Argument(help: "A later one, to compare.")
    var later: String?

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "Write the goroutines of the last source to this file; - is stdout.",
            valueName: "file"))
    var output: String?

    @Option(help: ArgumentHelp("Rows to show.", valueName: "n"))
    var limit = 10

    func validate() throws {
        guard limit >= 0 else { throw ValidationError("--limit can't be negative") }
    }

    func run() throws {
        let first = try read(source)
        let second = try later.map(read)
        if let output {
            let bytes = try ProfileEncoder.encode(
                second ?? first, tool: "leakprof \(Leakprof.version)")
            try OutputFile.write(bytes, to: output)
            guard output != "-" else { return }
        }
        let counts =
            second.map { GoroutineCounts(of: $0, since: first) } ?? GoroutineCounts(of: first)
        Console.result(GoroutineReport(limit: limit).lines(of: counts))
        guard second == nil else { return }
        Console.next(
            output.map { "leakprof goroutines \($0) \(source), later" }
                ?? "leakprof goroutines \(source) -o EARLY, and later leakprof goroutines EARLY \(source)"
        )
    }

    private func read(_ text: String) throws -> GoroutineSnapshot {
        do {
            return try Source.resolve(text, directory: Console.environment("LEAKPROF_DIR"))
                .goroutines()
        } catch {
            throw Failure(error)
        }
    }
}
