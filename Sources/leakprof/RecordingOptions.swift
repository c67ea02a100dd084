internal import ArgumentParser

/// How a program is to be recorded; each option is a variable that the shim reads.
struct RecordingOptions: ParsableArguments {
    enum Mode: String, ExpressibleByArgument, CaseIterable {
        case auto, exact, sampled
    }

    @Option(
        help: "auto (exact while that costs little, else sampled), exact, or sampled. Default auto."
    )
    var mode: Mode?

    @Option(
        help: ArgumentHelp(
            "What recording may cost of the program's CPU time in auto mode. Default 3.",
            valueName: "percent"))
    var overhead: String?

    @Option(
        help: ArgumentHelp(
            "Mean bytes between samples in sampled mode, such as 64KiB. Default 512KiB.",
            valueName: "bytes"))
    var interval: String?

    @Option(help: ArgumentHelp("Frames kept per stack, up to 128.", valueName: "n"))
    var depth: Int?

    @Option(
        help: ArgumentHelp(
            "Memory the shim may use for live blocks. Default 256MiB.", valueName: "bytes"))
    var maxMemory: String?

    @Option(
        name: .customLong("dir"),
        help: ArgumentHelp(
            "Where the recording lies. Default /dev/shm/leakprof-UID.", valueName: "dir"))
    var directory: String?

    @Flag(inversion: .prefixedNo, help: "Record forked children too, each for itself.")
    var followFork = true

    @Flag(help: "Load the shim and record nothing until leakprof attach PID.")
    var paused = false

    @Option(
        help: ArgumentHelp(
            "The signal that makes the program write a copy of its recording. "
                + "Default SIGRTMIN+7; 0 for none.", valueName: "name"))
    var signal: String?

    @Flag(inversion: .prefixedNo, help: "Record the frames and the allocators of CPython.")
    var python = true

    @Flag(help: "Record Python frames alone where there are any, which costs less.")
    var pythonOnly = false

    @Flag(help: "Record the interpreter's own frames too, for reports with --native-frames.")
    var nativeFrames = false

    func validate() throws {
        if [pythonOnly, !python, nativeFrames].count(where: { $0 }) > 1 {
            throw ValidationError(
                "--python-only, --no-python and --native-frames exclude each other")
        }
        if let interval, !Self.isSize(interval) {
            throw ValidationError("--interval \(interval) is not a size such as 64KiB")
        }
        if let overhead, !((Double(overhead) ?? 0) > 0 && (Double(overhead) ?? 0) <= 100) {
            throw ValidationError("--overhead \(overhead) is not a percentage such as 3 or 0.5")
        }
        if let maxMemory, !Self.isSize(maxMemory) {
            throw ValidationError("--max-memory \(maxMemory) is not a size such as 256MiB")
        }
        if let depth, !(1...128).contains(depth) {
            throw ValidationError("--depth \(depth) is not between 1 and 128")
        }
        if let directory, !directory.hasPrefix("/") {
            throw ValidationError("--dir \(directory) is not an absolute path")
        }
    }

    private static func isSize(_ text: String) -> Bool { ByteSize.parts(of: text) != nil }

    var isPaused: Bool { paused || Console.environment("LEAKPROF_PAUSED") == "1" }

    /// The variables that differ from what the environment says anyway.
    var environment: [String: String] {
        var variables: [String: String] = [:]
        variables["LEAKPROF_MODE"] = mode?.rawValue
        variables["LEAKPROF_OVERHEAD"] = overhead
        variables["LEAKPROF_INTERVAL"] = interval
        variables["LEAKPROF_DEPTH"] = depth.map(String.init)
        variables["LEAKPROF_MAX_MEMORY"] = maxMemory
        variables["LEAKPROF_DIR"] = directory
        variables["LEAKPROF_SIGNAL"] = signal
        if paused { variables["LEAKPROF_PAUSED"] = "1" }
        if !followFork { variables["LEAKPROF_FOLLOW"] = "0" }
        if !python { variables["LEAKPROF_PYTHON"] = "0" }
        if pythonOnly { variables["LEAKPROF_PYTHON"] = "only" }
        if nativeFrames { variables["LEAKPROF_PYTHON"] = "native" }
        return variables
    }
}

/// A number of bytes as users write it: digits with an optional unit, as the shim understands them.
struct ByteSize {
    let bytes: Int64

    /// `nil` when it is no size, or has more bytes than can be.
    init?(_ text: String) {
        guard let (digits, shift) = Self.parts(of: text), let number = Int64(digits) else {
            return nil
        }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow else { return nil }
        self.bytes = bytes
    }

    /// The digits, and by which power of two the unit multiplies them.
    static func parts(of text: String) -> (digits: Substring, shift: Int64)? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count).lowercased()
        let shifts: [String: Int64] = [
            "": 0, "b": 0, "k": 10, "kb": 10, "kib": 10, "m": 20, "mb": 20, "mib": 20, "g": 30,
            "gb": 30, "gib": 30,
        ]
        guard !digits.isEmpty, let shift = shifts[unit] else { return nil }
        return (digits, shift)
    }
}
