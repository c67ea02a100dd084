import LeakprofModel
import LeakprofTestSupport
import Testing

/// Threads that are many, small, cancelled, or that allocate when they are nearly gone.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ThreadTests {
    /// Runs Samples/thread-life.c, which leaves 100 blocks of 15001 bytes when its threads are gone.
    private func threads(_ how: String, _ count: Int) async throws -> (
        output: [Substring], snapshot: Snapshot
    ) {
        let sample = try await SampleProgram.build(
            "thread-life.c", flags: SampleProgram.defaultFlags + ["-pthread"])
        let run = try await SideBySide(sample.path, [how, "\(count)"])
        let snapshot = try run.expectSame()
        #expect(snapshot.blocksBySize[15001] == 100)
        return (run.bare.output.split(separator: "\n"), snapshot)
    }

    /// What ended threads had goes to those that begin: the region does not grow with them.
    @Test func `200,000 short threads leave nothing behind`() async throws {
        let sample = try await SampleProgram.build(
            "thread-life.c", flags: SampleProgram.defaultFlags + ["-pthread"])
        func counters(after count: Int) async throws -> Int {
            let recording = try Recording()
            let (used, status) = try await recording.with(sample.path, ["short", "\(count)"]) {
                program in
                try await program.line(startingWith: "ready")
                let region = try #require(recording.regions.first)
                let lines = try await Programs.succeed(BuiltProducts.leakprof, ["inspect", region])
                let snapshot = try await recording.snapshot(of: program)
                let churn = snapshot.counts(below: "churn")
                #expect(churn.allocObjects == Int64(count))
                #expect(churn.inuseObjects == 0)
                #expect(snapshot.blocksBySize[15001] == 100)
                try await program.send("\n")
                // "counters                  12 of 108748"
                let line = lines.split(separator: "\n").first { $0.hasPrefix("counters ") }
                return line.flatMap { Int($0.split(separator: " ")[1]) }
            }
            #expect(status == 0)
            return try #require(used)
        }

        let few = try await counters(after: 100)
        let many = try await counters(after: 200_000)
        // Four at a time are taken for a thread; a second one may have come before the first was gone.
        #expect(abs(many - few) <= 8)
    }

    @Test func `destructors may allocate and free, in every round`() async throws {
        let (output, snapshot) = try await threads("destructors", 2000)
        #expect(output == ["32000 rounds", "ready"])
        for size: Int64 in [4001, 4002, 4003] { #expect(snapshot.blocksBySize[size] == nil) }
        #expect(snapshot.counts(below: "destroy").allocObjects == 2000 * 4 * 3)
        #expect(snapshot.counts(below: "destroy").inuseObjects == 0)
        #expect(snapshot.counts(below: "destroy_late").allocObjects == 2000 * 3)
        #expect(snapshot.statistics["unknown_frees"] == nil)
        #expect(snapshot.statistics["replaced_blocks"] == nil)
    }

    @Test func `a pending cancellation does not act in malloc`() async throws {
        let (output, snapshot) = try await threads("deferred", 300)
        // Every one came to the end of its work, and was cancelled there.
        #expect(output == ["300 cancelled", "300 rounds", "ready"])
        let work = snapshot.counts(in: ["churn", "run_deferred"])
        #expect(work.inuseObjects == 0)
        #expect(work.allocObjects == 390_000)
    }

    /// Wherever in the recorder a thread ends, the next one goes on from there.
    @Test func `threads may be cancelled in the middle of malloc`() async throws {
        let (output, snapshot) = try await threads("asynchronous", 2000)
        #expect(output == ["2000 cancelled", "0 rounds", "ready"])
        let churn = snapshot.counts(below: "run_asynchronous")
        #expect(churn.allocObjects >= 2000 * 10)
        // One operation is under way in each thread that is cancelled.
        #expect(churn.inuseObjects <= 2000)
    }

    /// pthread_getattr_np holds a lock of the thread while it allocates.
    @Test func `threads may ask for their own stack`() async throws {
        let (_, snapshot) = try await threads("attributes", 8)
        #expect(snapshot.counts(below: "churn").allocObjects == 4 * 20_000 * 5)
        #expect(snapshot.counts(below: "churn").inuseObjects == 0)
    }

    @Test func `the smallest stacks are large enough`() async throws {
        let (_, snapshot) = try await threads("small", 300)
        #expect(snapshot.counts(below: "run_small").allocObjects == 300 * 5 * 21)
        #expect(snapshot.counts(below: "run_small").inuseObjects == 0)
    }

    /// Beside what glibc's malloc and the kernel's signal frame take.
    @Test(arguments: ["exact", "sampled", "auto"])
    func `the shim takes little stack`(mode: String) async throws {
        let sample = try await SampleProgram.build(
            "stack-use.c", flags: SampleProgram.defaultFlags + ["-pthread"])
        let run = try await SideBySide(
            sample.path, variables: ["LEAKPROF_MODE": mode, "LEAKPROF_INTERVAL": "1"])
        #expect(run.bare.status == 0)
        #expect(run.recorded.status == 0)
        func bytes(_ finished: Finished) throws -> [Int] {
            try finished.output.split(separator: "\n").map { line in
                try #require(line.split(separator: " ").last.flatMap { Int($0) })
            }
        }
        let more = zip(try bytes(run.recorded), try bytes(run.bare)).map { $0 - $1 }
        try #require(more.count == 2)
        #expect(more[0] <= 1024)
        // Behind a signal frame, the general unwinder is asked, which takes more.
        #expect(more[1] <= 3584)
    }

    /// Libraries with thread-local memory that is made on first use, and with such that lies in what ld.so
    /// keeps for libraries that come late.
    @Test func `libraries find room for their thread-local memory`() async throws {
        var plugins: [String] = []
        let flags = ["-O2", "-shared", "-fPIC"]
        for i in 0..<24 {
            plugins.append(
                try await SampleProgram.build(
                    "static-tls-plugin.c", flags: flags + ["-DBYTES=\(4096 + 8 * i)"],
                    suffix: ".so"
                ).path)
        }
        for i in 0..<4 {
            let early = ["-ftls-model=initial-exec", "-DBYTES=\(320 + 8 * i)"]
            plugins.append(
                try await SampleProgram.build(
                    "static-tls-plugin.c", flags: flags + early, suffix: ".so"
                ).path)
        }
        let sample = try await SampleProgram.build(
            "static-tls.c", flags: SampleProgram.defaultFlags + ["-pthread"])

        let run = try await SideBySide(sample.path, plugins)

        let snapshot = try run.expectSame()
        #expect(run.bare.output == "28 loaded, 140 used, small thread 0\nready\n")
        #expect(snapshot.blocksBySize[15001] == 100)
        #expect(snapshot.blocksBySize[17001] == nil)
    }
}
