import Glibc
import LeakprofCapture
import LeakprofModel
import LeakprofTestSupport
import Testing

/// What is left of a recording whose process was killed at any moment.
@Suite(.serialized, .timeLimit(.minutes(10))) struct KilledTests {
    private static let threads = 8

    /// What the threads of the sample said, summed up.
    private struct Told {
        var allocationsBegun: Int64 = 0
        var allocationsDone: Int64 = 0
        var freesBegun: Int64 = 0
        var freesDone: Int64 = 0

        init(_ bytes: [UInt8]) {
            let counts = bytes.withUnsafeBytes { raw in
                (0..<raw.count / 8).map {
                    raw.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self)
                }
            }
            for thread in stride(from: 0, to: counts.count, by: 4) {
                allocationsBegun += counts[thread]
                allocationsDone += counts[thread + 1]
                freesBegun += counts[thread + 2]
                freesDone += counts[thread + 3]
            }
        }
    }

    /// Starts the program, kills it after `microseconds`, and waits for its end.
    private func kill(
        _ program: String, _ arguments: [String], _ environment: [String],
        after microseconds: UInt32
    ) throws {
        var argv = ([program] + arguments).map { strdup($0) } + [nil]
        var envp = environment.map { strdup($0) } + [nil]
        defer { (argv + envp).forEach { free($0) } }
        var pid: pid_t = 0
        guard posix_spawn(&pid, program, nil, nil, &argv, &envp) == 0 else {
            throw TestFailure("can't start \(program)")
        }
        // Any moment will do: it is drawn, not waited for.
        usleep(microseconds)
        Glibc.kill(pid, SIGKILL)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        #expect(status & 0x7f == SIGKILL)
    }

    /// What the region says; `nil` when it was not finished.
    private func capture(_ path: String) throws -> Snapshot? {
        do throws(CaptureError) {
            return try Region(path: path).capture(startsEpoch: false)
        } catch {
            guard case .starting = error else { throw error }
            return nil
        }
    }

    /// The sample's own blocks, some of which may be counted without their bytes; all others are small.
    private static func blocksOfSample(in snapshot: Snapshot) -> AllocationCounts {
        var sum = AllocationCounts.zero
        for sample in snapshot.samples {
            let counts = sample.counts
            if counts.allocSpace == 0 || counts.allocSpace > 400 * counts.allocObjects {
                sum += counts
            }
        }
        return sum
    }

    @Test func `a recording cut off at any moment is whole but for what was under way`()
        async throws
    {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededGenerator(seed: seed)
        let sample = try await SampleProgram.build(
            "killed-anytime.c", flags: SampleProgram.defaultFlags + ["-pthread"])
        var recorded = 0
        for round in 0..<1000 {
            let directory = try TemporaryDirectory()
            let told = directory.path + "/told"
            try Files.write([], to: told)
            try kill(
                sample.path, [told, "\(Self.threads)"],
                [
                    "LD_PRELOAD=\(BuiltProducts.shim)", "LEAKPROF_DIR=\(directory.path)",
                    "LEAKPROF_MODE=exact", "LEAKPROF_REGION_SIZE=256KiB",
                ], after: UInt32(random.next(below: 12_000)))
            let name = Files.names(in: directory.path).first { $0.hasSuffix(".region") }
            // Killed before the shim made its region, or while it did.
            guard let name else { continue }
            guard let snapshot = try capture("\(directory.path)/\(name)") else { continue }
            let limits = Told(try Files.bytes(of: told))
            let blocks = Self.blocksOfSample(in: snapshot)
            let freed = blocks.allocObjects - blocks.inuseObjects
            let isWhole =
                (limits.allocationsDone...limits.allocationsBegun).contains(blocks.allocObjects)
                && (limits.freesDone...limits.freesBegun).contains(freed)
                && snapshot.facts.recording?.statistics["damaged_records"] == nil
            guard isWhole else {
                Issue.record("round \(round), seed \(seed): \(blocks), told \(limits)")
                return
            }
            recorded += limits.allocationsDone > 0 ? 1 : 0
        }
        // Otherwise this tests nothing.
        #expect(recorded > 300)
    }
}
