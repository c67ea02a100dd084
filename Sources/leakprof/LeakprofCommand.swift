internal import ArgumentParser
internal import Glibc
internal import LeakprofCapture

@main
struct LeakprofCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "leakprof",
        abstract: "Finds the line that holds the memory of a growing Linux program.",
        discussion: """
            leakprof run -- ./app            record a program
            leakprof snapshot PID -o early   what is allocated now, and from where
            leakprof snapshot PID -o late    the same, later
            leakprof diff early late --svg   what grew in between
            """,
        version: Leakprof.version,
        subcommands: [
            RunCommand.self, SnapshotCommand.self, MergeCommand.self, TopCommand.self,
            DiffCommand.self,
            FlamegraphCommand.self, ReportCommand.self, ExportCommand.self, WhenceCommand.self,
            GoroutinesCommand.self,
            AttachCommand.self,
            DetachCommand.self,
            DoctorCommand.self, InspectCommand.self,
        ])

    /// Runs the command, or the process that reads programs for one, which is nothing for users: not in the
    /// help, the manual, or what shells complete.
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        if arguments.first == SymbolizeCommand._commandName {
            SymbolizeCommand.main(Array(arguments.dropFirst()))
        } else {
            main(nil)
        }
    }
}
