internal import ArgumentParser
internal import LeakprofCapture
internal import LeakprofModel
internal import LeakprofReport
internal import LeakprofSymbols

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say what would stop leakprof from working here, and what to do about it.",
        discussion: "leakprof doctor 4711")

    @Argument(help: "A process ID to look at besides.")
    var pid: Int32?

    func run() throws {
        var findings = hostFindings()
        if let pid { findings += processFindings(pid) }
        Console.result(findings.map(\.line))
        if findings.contains(where: { $0.verdict == .fails }) { throw ExitCode(1) }
        Console.next("leakprof run -- ./app")
    }

    private func hostFindings() -> [Finding] {
        var findings: [Finding] = []
        do {
            findings.append(.good("the shim is \(try ShimLocator.locate())"))
        } catch {
            findings.append(.bad("\(error)"))
        }
        let host = HostCheck(directory: Console.environment("LEAKPROF_DIR"))
        findings += host.findings
        if let preload = Console.environment("LD_PRELOAD") {
            findings.append(.good("LD_PRELOAD=\(preload) is set; leakprof run keeps it"))
        }
        return findings
    }

    private func processFindings(_ pid: Int32) -> [Finding] {
        guard let process = ProcessCheck(pid: pid) else {
            return [.bad("there is no process \(pid)")]
        }
        if process.isGoAlone { return process.findings }
        var findings: [Finding] = []
        let path = "/proc/\(pid)/exe"
        if let file = ExecutableFile(path: path) {
            if let obstacle = ProgramCheck.obstacle(file) {
                let name = process.executable ?? path
                findings.append(.bad(obstacle.reason.replacing(path, with: name)))
            }
            findings.append(
                file.hasDebugInformation
                    ? .good("\(process.executable ?? path) has debug information")
                    : .poor(
                        "\(process.executable ?? path) has no debug information of its own: "
                            + "functions without lines, unless its debug package is installed"))
        } else {
            findings.append(
                .bad("process \(pid) belongs to another user: run leakprof as that user"))
        }
        return findings + process.findings
    }
}
