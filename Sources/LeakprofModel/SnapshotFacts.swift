/// What is known about a snapshot besides its samples.
package struct SnapshotFacts: Sendable, Equatable {
    /// When the snapshot was taken, in nanoseconds since 1970 UTC; 0 when unknown.
    package var capturedAt: Int64
    /// How long the recording had run by then, in nanoseconds; 0 when unknown.
    package var duration: Int64
    /// The mean sampling interval in bytes; 1 when every block was recorded; 0 when unknown.
    package var period: Int64
    package var process: ProcessFacts?
    package var recording: RecordingFacts?
    /// What symbolization could not do, one sentence each.
    package var notes: [String]

    package init(
        capturedAt: Int64 = 0, duration: Int64 = 0, period: Int64 = 0,
        process: ProcessFacts? = nil, recording: RecordingFacts? = nil, notes: [String] = []
    ) {
        self.capturedAt = capturedAt
        self.duration = duration
        self.period = period
        self.process = process
        self.recording = recording
        self.notes = notes
    }
}

/// The target, as the kernel describes it.
package struct ProcessFacts: Sendable, Equatable, Codable {
    /// The process ID in the target's own pid namespace.
    package var pid: Int64
    /// When the process started, in clock ticks since boot.
    package var startTicks: UInt64
    /// Tells two programs that one process ran after another (exec) apart; hexadecimal.
    package var image: String
    /// What the process is called: its executable's file name, or what it calls itself.
    package var name: String
    /// The executable's path.
    package var executable: String
    /// The command line; empty when the process was gone.
    package var arguments: [String]
    /// The parent's process ID if the process is a fork that did not call exec, else 0.
    package var forkedFrom: Int64
    /// Resident memory in bytes; `nil` when the process was gone.
    package var residentBytes: Int64?
    /// The most resident memory it has had, in bytes; `nil` when the process was gone.
    package var peakResidentBytes: Int64?
    /// The memory limit of its control group in bytes; `nil` when there is none or it is unknown.
    package var memoryLimitBytes: Int64?

    package init(
        pid: Int64, startTicks: UInt64 = 0, image: String = "", name: String = "",
        executable: String = "",
        arguments: [String] = [], forkedFrom: Int64 = 0, residentBytes: Int64? = nil,
        peakResidentBytes: Int64? = nil,
        memoryLimitBytes: Int64? = nil
    ) {
        self.pid = pid
        self.startTicks = startTicks
        self.image = image
        self.name = name.isEmpty ? executable.lastPathComponent : name
        self.executable = executable
        self.arguments = arguments
        self.forkedFrom = forkedFrom
        self.residentBytes = residentBytes
        self.peakResidentBytes = peakResidentBytes
        self.memoryLimitBytes = memoryLimitBytes
    }

    /// Whether both describe the same program run, so that epochs of one mean something in the other.
    package func isSameRun(as other: ProcessFacts) -> Bool {
        pid == other.pid && startTicks == other.startTicks && image == other.image
            && startTicks != 0
    }
}

/// How the target was recorded.
package struct RecordingFacts: Sendable, Equatable, Codable {
    /// `auto`, `exact` or `sampled`.
    package var mode: String
    /// `recording`, `paused` (by its user), `ended` (the program ran its exit handlers), `killed` (the process is gone without
    /// having run them), or `off: ` and the reason.
    package var state: String
    /// The sampling interval in force, in bytes; 0 when every block is recorded.
    package var intervalBytes: Int64
    /// What recording cost lately, in millionths of the target's CPU time; `nil` where it is not measured.
    package var costPpm: Int64?
    /// Frames kept per stack trace.
    package var maxDepth: Int64
    /// Blocks born in later epochs were allocated after the snapshot was begun.
    package var cutEpoch: UInt32
    package var epochs: [EpochFacts]
    /// Events that make the picture incomplete, by name; only those that are not 0.
    package var statistics: [String: Int64]
    /// Memory the recording takes in the target, in bytes: the region and the live table.
    package var regionBytes: Int64
    package var liveTableBytes: Int64
    /// The program or library whose malloc is called in place of the shim's, if any.
    ///
    /// What is allocated with it is in no count.
    package var otherMalloc: String?
    /// The interpreter in the process, if there is one.
    package var python: PythonFacts?
    /// What was read of a Go program's own heap profile; `nil` where the shim recorded.
    package var go: GoFacts?

    package init(
        mode: String, state: String, intervalBytes: Int64 = 0, costPpm: Int64? = nil,
        maxDepth: Int64 = 0,
        cutEpoch: UInt32 = 0, epochs: [EpochFacts] = [], statistics: [String: Int64] = [:],
        regionBytes: Int64 = 0, liveTableBytes: Int64 = 0, otherMalloc: String? = nil,
        python: PythonFacts? = nil, go: GoFacts? = nil
    ) {
        self.mode = mode
        self.state = state
        self.intervalBytes = intervalBytes
        self.costPpm = costPpm
        self.maxDepth = maxDepth
        self.cutEpoch = cutEpoch
        self.epochs = epochs
        self.statistics = statistics
        self.regionBytes = regionBytes
        self.liveTableBytes = liveTableBytes
        self.otherMalloc = otherMalloc
        self.python = python
        self.go = go
    }
}

/// What Go's runtime says of its heap profile besides the samples.
package struct GoFacts: Sendable, Equatable, Codable {
    /// Such as `go1.26.6`.
    package var version: String
    /// Whether a garbage collection was completed, which is what live is as of; else all that was allocated counts.
    package var hasCollected: Bool
    /// Blocks allocated since that collection, less those found to be garbage since.
    ///
    /// They are not in the samples, and not known to be live. May be negative.
    package var pendingObjects: Int64
    /// Their sizes, in bytes.
    package var pendingBytes: Int64
    /// Goroutines there were, without the runtime's own; `nil` when they could not be read.
    package var goroutines: Int64?
    /// How leakprof changed the sampling interval of the running program; `nil` when it did not.
    package var attachment: GoAttachment?

    package init(
        version: String, hasCollected: Bool = false, pendingObjects: Int64 = 0,
        pendingBytes: Int64 = 0, goroutines: Int64? = nil, attachment: GoAttachment? = nil
    ) {
        self.version = version
        self.hasCollected = hasCollected
        self.pendingObjects = pendingObjects
        self.pendingBytes = pendingBytes
        self.goroutines = goroutines
        self.attachment = attachment
    }
}

/// A change of `runtime.MemProfileRate` in a running Go program, by `leakprof attach`.
package struct GoAttachment: Sendable, Equatable, Codable {
    /// When the program's buckets were read, just before the change, in nanoseconds since 1970 UTC.
    package var attachedAt: Int64
    /// What the variable was, in bytes; 0 when nothing was sampled.
    package var oldRate: Int64
    /// What was written, in bytes.
    package var newRate: Int64
    /// Resident memory just before the change, in bytes; `nil` when it is not known.
    package var residentBytes: Int64?
    /// How far the bytes in use may be off, because it is not known whether blocks that were freed were sampled before
    /// the change or after it.
    package var ambiguousBytes: Int64
    /// Tells two programs that one process ran after another (exec) apart; hexadecimal.
    package var image: String
    /// In a baseline alone, six numbers per bucket: its address, the size of its blocks, what was allocated and freed
    /// as of the last completed garbage collection, and the same of what was pending.
    package var buckets: [Int64]?

    /// The numbers that ``buckets`` has for each.
    package static let numbersPerBucket = 6

    package init(
        attachedAt: Int64, oldRate: Int64, newRate: Int64, residentBytes: Int64? = nil,
        ambiguousBytes: Int64 = 0, image: String = "", buckets: [Int64]? = nil
    ) {
        self.attachedAt = attachedAt
        self.oldRate = oldRate
        self.newRate = newRate
        self.residentBytes = residentBytes
        self.ambiguousBytes = ambiguousBytes
        self.image = image
        self.buckets = buckets
    }
}

/// What was recorded of a CPython interpreter.
package struct PythonFacts: Sendable, Equatable, Codable {
    /// `3.11`, with a `t` behind it for a free-threaded build.
    package var version: String
    /// Whether its frames are part of the stacks; they are not for versions whose layout is not known.
    package var hasFrames: Bool
    /// Whether the blocks of its own allocators were recorded.
    package var hasAllocators: Bool
    /// The program or library that evaluates Python code; `nil` when no stack went through it.
    package var interpreter: String?

    package init(
        version: String, hasFrames: Bool, hasAllocators: Bool, interpreter: String? = nil
    ) {
        self.version = version
        self.hasFrames = hasFrames
        self.hasAllocators = hasAllocators
        self.interpreter = interpreter
    }
}

/// A birth epoch; the first one has number 1.
package struct EpochFacts: Sendable, Equatable, Codable {
    /// When it began, in nanoseconds after recording began.
    package var startedAfter: Int64
    /// `start`, `clock` or `snapshot`.
    package var reason: String

    package init(startedAfter: Int64, reason: String) {
        self.startedAfter = startedAfter
        self.reason = reason
    }
}
