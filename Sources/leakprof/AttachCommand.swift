internal import ArgumentParser
internal import Glibc
internal import LeakprofCapture
internal import LeakprofReport

struct AttachCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach",
        abstract:
            "Start recording in a process that was started paused, or sampling in a Go program.",
        discussion: """
            LEAKPROF_PAUSED=1 LD_PRELOAD=libleakshim.so ./app &
            leakprof attach 4711

            What was allocated before stays unknown. leakprof detach pauses it again.

            leakprof attach 4711 --write

            A running Go program samples its allocations from now on, also one whose linker left that out.
            For that, 8 bytes are written into its memory: runtime.MemProfileRate. Without --write, what
            would be written and where is shown, and nothing is. leakprof detach writes back what was there.
            """)

    @Argument(help: "A process ID, a process name, or the process's region.")
    var source: String

    @Option(
        help: ArgumentHelp(
            "Mean bytes between samples of a Go program, such as 64KiB. Default 512KiB.",
            valueName: "bytes"))
    var interval: String?

    @Flag(help: "Write into the memory of a Go program.")
    var write = false

    func validate() throws {
        if let interval, rate == nil {
            throw ValidationError("--interval \(interval) is not a size such as 64KiB, up to 1TiB")
        }
    }

    private var rate: Int64? {
        ByteSize(interval ?? "512KiB").flatMap {
            GoProcess.rates.contains($0.bytes) ? $0.bytes : nil
        }
    }

    func run() throws {
        if let program = try GoPrograms.named(source) {
            try attach(to: program)
            return
        }
        guard !write, interval == nil else {
            throw Failure(
                "--write and --interval are for Go programs that run without the shim: \(source) is not one",
                try: "leakprof attach \(source)")
        }
        let (region, pid) = try RecordingSwitch.turn(on: true, source)
        let isOn = RecordingSwitch.waits(for: true, of: region)
        Console.result([
            isOn ? "recording process \(pid)" : "process \(pid) records as soon as it allocates"
        ])
        Console.next("leakprof snapshot \(pid)")
    }

    private func attach(to program: GoProcess) throws {
        let pid = program.pid
        let change: GoRateChange
        do {
            change = try program.attach(rate: rate ?? 0, writes: write)
        } catch {
            throw Failure(error)
        }
        guard let baseline = change.baseline else {
            let options = interval.map { " --interval \($0)" } ?? ""
            throw Failure(
                "to attach, 8 bytes have to be written into process \(pid): \(GoPrograms.words(change)); "
                    + "nothing was written", try: "leakprof attach \(pid)\(options) --write")
        }
        Console.result([
            "wrote 8 bytes into process \(pid): \(GoPrograms.words(change))",
            "what there was before is kept in \(baseline)",
        ])
        Console.next("leakprof snapshot \(pid), and in the end leakprof detach \(pid)")
    }
}

/// Go programs without the shim, whose sampling is switched in their memory.
private enum GoPrograms {
    /// `nil` when it is none.
    static func named(_ source: String) throws -> GoProcess? {
        do {
            guard
                case .go(let program) = try Source.resolve(
                    source, directory: Console.environment("LEAKPROF_DIR"))
            else { return nil }
            return program
        } catch {
            throw Failure(error)
        }
    }

    static func words(_ change: GoRateChange) -> String {
        "runtime.MemProfileRate at 0x\(String(change.address, radix: 16)) from \(change.from) to "
            + "\(change.to)"
    }
}

struct DetachCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "detach",
        abstract: "Pause recording in a running process, or undo attach in a Go program.",
        discussion: """
            leakprof detach 4711

            Frees of what was recorded are still counted, so snapshots stay right; blocks allocated from
            now on are unknown. leakprof attach goes on.

            In a Go program, the 8 bytes that attach wrote become again what they were before, unless the
            program has changed them since, and what attach kept is removed.
            """)

    @Argument(help: "A process ID, a process name, or the process's region.")
    var source: String

    func run() throws {
        let directory = Console.environment("LEAKPROF_DIR")
        if let pid = Int32(source), pid > 0 {
            let removed = GoProcess.removeBaselines(ofEnded: pid, in: directory)
            if let first = removed.first {
                Console.result([
                    "the program that was attached as process \(pid) has ended: removed \(first)"
                ])
                // Another may have its number.
                return
            }
        }
        if let program = try GoPrograms.named(source) {
            try detach(from: program)
            return
        }
        let (region, pid) = try RecordingSwitch.turn(on: false, source)
        let isOff = RecordingSwitch.waits(for: false, of: region)
        Console.result([
            isOff ? "paused process \(pid)" : "process \(pid) pauses as soon as it allocates"
        ])
        Console.next("leakprof snapshot \(pid), or leakprof attach \(pid)")
    }

    private func detach(from program: GoProcess) throws {
        let pid = program.pid
        let end: GoDetachment
        do {
            end = try program.detach()
        } catch {
            throw Failure(error)
        }
        switch end {
        case .restored(let change):
            Console.result([
                "wrote 8 bytes into process \(pid): \(GoPrograms.words(change))"
            ])
        case .wasRestored(let rate):
            Console.result([
                "wrote nothing into process \(pid): runtime.MemProfileRate is \(rate), as before attach"
            ])
        case .leftAlone(let present, let written):
            Console.result([
                "wrote nothing into process \(pid): runtime.MemProfileRate is \(present) and not "
                    + "\(written), so the program has set it itself since attach"
            ])
        }
        Console.say(
            "note: what was sampled since attach stays in the program's profile, which does not know at "
                + "which rate: compare snapshots that were taken before now")
        Console.next("leakprof diff EARLIER LATER")
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
