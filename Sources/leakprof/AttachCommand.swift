internal import ArgumentParser
internal import Glibc
internal import LeakprofCapture

struct AttachCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach",
        abstract: "Start recording in a running process that was started paused.",
        discussion: """
            LEAKPROF_PAUSED=1 LD_PRELOAD=libleakshim.so ./app &
            leakprof attach 4711

            What was allocated before stays unknown. leakprof detach pauses it again.
            """)

    @Argument(help: "A process ID, a process name, or the process's region.")
    var source: String

    func run() throws {
        let (region, pid) = try RecordingSwitch.turn(on: true, source)
        let isOn = RecordingSwitch.waits(for: true, of: region)
        Console.result([
            isOn ? "recording process \(pid)" : "process \(pid) records as soon as it allocates"
        ])
        Console.next("leakprof snapshot \(pid)")
    }
}

struct DetachCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "detach",
        abstract: "Pause recording in a running process.",
        discussion: """
            leakprof detach 4711

            Frees of what was recorded are still counted, so snapshots stay right; blocks allocated from
            now on are unknown. leakprof attach goes on.
            """)

    @Argument(help: "A process ID, a process name, or the process's region.")
    var source: String

    func run() throws {
        let (region, pid) = try RecordingSwitch.turn(on: false, source)
        let isOff = RecordingSwitch.waits(for: false, of: region)
        Console.result([
            isOff ? "paused process \(pid)" : "process \(pid) pauses as soon as it allocates"
        ])
        Console.next("leakprof snapshot \(pid), or leakprof attach \(pid)")
    }
}

/// Starting and pausing through the region.
private enum RecordingSwitch {
    /// Asks, and returns whom.
    static func turn(
        on isOn: Bool, _ source: String
    ) throws -> (region: Region, pid: Int32) {
        do {
            guard
                case .region(let region) = try Source.resolve(
                    source, directory: Console.environment("LEAKPROF_DIR")),
                let pid = region.runningProcessID()
            else {
                throw CaptureError.unsupported("\(source) is not a running process under the shim")
            }
            try region.request(recording: isOn)
            return (region, pid)
        } catch let error as CaptureError {
            throw Failure(error)
        }
    }

    /// Whether the process has followed within some tenths of a second; it does when it allocates.
    static func waits(for isOn: Bool, of region: Region) -> Bool {
        for _ in 0..<30 {
            if (try? region.isRecording()) == isOn { return true }
            usleep(10_000)
        }
        return false
    }
}
