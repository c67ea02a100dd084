import LeakprofModel
import LeakprofTestSupport
import Testing

/// Programs that have, or give themselves, less than usual: system calls, memory, files, mappings.
@Suite(.serialized, .timeLimit(.minutes(2))) struct LimitsTests {
    private static let flags = SampleProgram.defaultFlags + ["-pthread"]

    // ---- System calls ----

    /// The recorder makes no system call that the program does not make itself.
    @Test(arguments: ["strict", "kill", "deny"], ["main", "thread"])
    func `a program that may make no system calls any more goes on, recorded`(
        sandbox: String, thread: String
    ) async throws {
        let sample = try await SampleProgram.build("sandbox.c", flags: Self.flags)
        let recording = try Recording(["LEAKPROF_KEEP": "1"])

        let bare = try await recording.expectUnchanged(
            sample.path, [sandbox, thread], input: "\n")

        #expect(bare == Finished(status: 7, output: "ready\n", errors: ""))
        let snapshot = try await recording.snapshotOfOnlyRegion()
        #expect(snapshot.blocksBySize[601] == 2000)
        #expect(snapshot.blocksBySize[48] == 2000)
        #expect(snapshot.blocksBySize[2_000_001] == 1)
        #expect(snapshot.counts(below: "churn_below").inuseObjects == 0)
        #expect(snapshot.counts(below: "churn_below").allocObjects > 100_000)
        #expect(snapshot.dropped == [])
        #expect(snapshot.statistics["unknown_frees"] == nil)
    }

    @Test(arguments: ["strict", "kill", "deny"])
    func `so does a program that is sampled`(sandbox: String) async throws {
        let sample = try await SampleProgram.build("sandbox.c", flags: Self.flags)
        let recording = try Recording([
            "LEAKPROF_MODE": "sampled", "LEAKPROF_INTERVAL": "4KiB", "LEAKPROF_KEEP": "1",
        ])

        let bare = try await recording.expectUnchanged(
            sample.path, [sandbox, "main"], input: "\n")

        #expect(bare == Finished(status: 7, output: "ready\n", errors: ""))
        let snapshot = try await recording.snapshotOfOnlyRegion()
        #expect(snapshot.blocksBySize[2_000_001] == 1)
        #expect(snapshot.counts(below: "churn_below").inuseObjects == 0)
        #expect(snapshot.counts(below: "churn_below").allocObjects > 10_000)
        #expect(snapshot.dropped == [])
    }
}
