import Glibc
import LeakprofModel
import LeakprofTestSupport
import Testing

/// Processes that make others, become others, or end, while their threads allocate.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ForkTests {
    private func sample() async throws -> SampleProgram {
        try await SampleProgram.build(
            "process-life.c", flags: SampleProgram.defaultFlags + ["-pthread"])
    }

    /// Regions are made small, because 10,000 of them are made.
    private func recording(_ variables: [String: String?] = [:]) throws -> Recording {
        try Recording(
            ["LEAKPROF_KEEP": "1", "LEAKPROF_REGION_SIZE": "1MiB"].merging(variables) { $1 })
    }

    /// The parent's snapshot, once what was made has ended.
    private func expectExact(_ snapshot: Snapshot) {
        #expect(snapshot.blocksBySize[5001] == 10)
        #expect(snapshot.blocksBySize[5003] == 30)
        #expect(snapshot.counts(below: "churn").inuseObjects == 0)
        #expect(snapshot.counts(below: "churn").allocObjects > 0)
        #expect(snapshot.statistics["unknown_frees"] == nil)
        #expect(snapshot.dropped == [])
    }

    private func parent(_ program: String, in recording: Recording) async throws -> Snapshot {
        for region in recording.regions {
            let snapshot = try await recording.snapshot(region)
            // Programs that were spawned were not forked either, as far as their image is concerned.
            let isSample = snapshot.mappings.first?.path == program
            if isSample && snapshot.facts.process?.forkedFrom == 0 { return snapshot }
        }
        throw TestFailure("no region of \(program) that was not forked")
    }

    @Test func `ten thousand children of a threaded program allocate and end`() async throws {
        let sample = try await sample()
        // Children of which nothing is recorded, then ones that are.
        for (count, follow) in [("10000", "0"), ("1000", "1")] {
            let recording = try recording(["LEAKPROF_FOLLOW": follow])
            let finished = try await recording.run(sample.path, ["forks", count])

            let expected = "\(count) children ended well\n"
            #expect(finished == Finished(status: 0, output: expected, errors: ""))
            // Those of the dead are kept to a number; twenty may end at the same time.
            #expect(recording.regions.count <= 17 + 20)
            expectExact(try await parent(sample.path, in: recording))
        }
    }

    @Test func `vfork, clone, a raw fork and posix_spawn`() async throws {
        let sample = try await sample()
        let recording = try recording()

        let bare = try await recording.expectUnchanged(sample.path, ["kinds"])

        #expect(bare == Finished(status: 0, output: "450 children ended well\n", errors: ""))
        expectExact(try await parent(sample.path, in: recording))
    }

    @Test func `a daemon that closed everything is recorded`() async throws {
        let sample = try await sample()
        let recording = try recording(["LEAKPROF_KEEP": "0"])
        let pipe = recording.directory.path + "/pipe"
        try await Programs.succeed("mkfifo", [pipe])

        async let written = Programs.succeed("cat", [pipe])
        let finished = try await recording.run(sample.path, ["daemon", pipe])
        let pid = try await written.dropLast()

        #expect(finished == Finished(status: 0, output: "", errors: ""))
        let region = try #require(recording.regions.first { $0.contains("/\(pid).") })
        let daemon = try await recording.snapshot(region)
        #expect(daemon.blocksBySize[5002] == 20)
        #expect(daemon.blocksBySize[5001] == nil)
        #expect(daemon.facts.process?.forkedFrom != 0)
    }

    @Test func `descriptors have the numbers they would have, and files stay empty`() async throws {
        let sample = try await sample()
        let recording = try recording()
        let files = try TemporaryDirectory(in: "/tmp")

        let bare = try await recording.expectUnchanged(sample.path, ["descriptors", files.path])

        #expect(bare.status == 0)
        #expect(bare.output.contains("Threads:\t1\n"))
        #expect(bare.output.hasSuffix("\n0 bad\n"))
        expectExact(try await recording.snapshotOfOnlyRegion())
    }

    @Test func `standard descriptors may be closed from the start`() async throws {
        let sample = try await sample()
        let recording = try recording()
        let files = try TemporaryDirectory(in: "/tmp")
        let script = "exec 0<&- 1>&- 2>&-; exec \"$0\" exit-in-thread"

        let bare = try await recording.expectUnchanged("sh", ["-c", script, sample.path])

        #expect(bare == Finished(status: 11, output: "", errors: ""))
        #expect(try await recording.snapshotOfOnlyRegion().blocksBySize[5003] == 30)
        #expect(Files.names(in: files.path) == [])
    }

    @Test(arguments: [
        ("segfault", 128 + SIGSEGV, 30), ("terminate", 128 + SIGTERM, 30), ("last-thread", 0, 30),
        ("running-threads", 13, 30), ("exit-in-handler", 12, 30), ("exit-in-thread", 11, 30),
    ])
    func `however it ends, status and counts are right`(how: String, status: Int32, blocks: Int64)
        async throws
    {
        let sample = try await sample()
        let recording = try recording()

        let bare = try await recording.expectUnchanged(sample.path, [how])

        #expect(bare.status == status)
        let snapshot = try await recording.snapshotOfOnlyRegion()
        #expect(snapshot.blocksBySize[5001] == 10)
        #expect(snapshot.blocksBySize[5003] == blocks)
    }

    /// Programs started by programs: each image has what it allocated itself.
    @Test func `images that follow each other in one process replace each other`() async throws {
        let sample = try await sample()
        let recording = try recording()
        let script = "env timeout -k 2 60 \"$0\" running-threads; exec env \"$0\" exit-in-thread"

        let bare = try await recording.expectUnchanged("sh", ["-c", script, sample.path])

        #expect(bare == Finished(status: 11, output: "", errors: ""))
        var kept: [Int64?] = []
        for region in recording.regions {
            kept.append(try await recording.snapshot(region).blocksBySize[5003])
        }
        // The shell became env and that the sample; timeout and the sample that it started.
        #expect(kept.filter { $0 == 30 }.count == 2)
        #expect(kept.count == 3)
    }
}
