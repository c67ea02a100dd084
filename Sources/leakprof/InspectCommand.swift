internal import ArgumentParser
internal import LeakprofCapture
internal import LeakprofReport

struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show a region's header and counters, for debugging the recording itself.",
        discussion: "leakprof inspect 4711")

    @Argument(help: "A process ID, a process name, or a region.")
    var source: String

    func run() throws {
        do {
            let found = try Source.resolve(
                source, directory: Console.environment("LEAKPROF_DIR"))
            guard case .region(let region) = found else {
                throw Failure(
                    "\(source) is a snapshot, not a region", try: "leakprof top \(source)")
            }
            let lines = try region.inspect()
            let width = lines.map(\.name.count).max() ?? 0
            Console.result(
                ["region: \(Sanitized.line(region.path))"]
                    + lines.map { line in
                        line.name + String(repeating: " ", count: width - line.name.count) + "  "
                            + Sanitized.line(line.value)
                    })
        } catch let error as CaptureError {
            throw Failure(error)
        }
    }
}
