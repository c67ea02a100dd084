import LeakprofModel
import LeakprofTestSupport
import Testing

@Suite(.serialized, .timeLimit(.minutes(10))) struct LoaderTests {
    private func plugin(_ name: String, _ size: Int) async throws -> String {
        try await SampleProgram.build(
            "plugin.c",
            flags: [
                "-O2", "-g", "-fno-builtin", "-shared", "-fPIC", "-DNAME=\(name)", "-DCOUNT=4",
                "-DSIZE=\(size)",
            ], suffix: "-\(name).so"
        ).path
    }

    /// The loader's lock is held while callbacks allocate; the recorder must never want it.
    @Test func `libraries come and go while others walk the list of them`() async throws {
        let sample = try await SampleProgram.build(
            "loader-storm.c", flags: SampleProgram.defaultFlags + ["-pthread"])
        let first = try await plugin("leak_of_first", 8001)
        let second = try await plugin("leak_of_second", 8002)
        let recording = try Recording()

        let (snapshot, status) = try await recording.snapshotWhenReady(
            sample.path, ["400", first, second])

        #expect(status == 0)
        #expect(snapshot.blocksBySize[8001] == 1600)
        #expect(snapshot.blocksBySize[8002] == 1600)
        #expect(snapshot.counts(below: "churn").inuseObjects == 0)
        #expect(snapshot.counts(below: "allocate").inuseObjects == 0)
        #expect(snapshot.counts(below: "allocate").allocObjects > 0)
        // Names of libraries that take turns at one address must not mix.
        #expect(snapshot.counts(below: "leak_of_first").inuseSpace % 8001 == 0)
        #expect(snapshot.counts(below: "leak_of_second").inuseSpace % 8002 == 0)
        #expect(snapshot.statistics["unknown_frees"] == nil)
        #expect(snapshot.dropped == [])
    }

    @Test func `a program started by naming the loader is recorded`() async throws {
        let sample = try await SampleProgram.build("exits.c")
        let recording = try Recording(["LEAKPROF_KEEP": "1"])

        let bare = try await recording.expectUnchanged(
            "/lib64/ld-linux-x86-64.so.2", [sample.path, "exit"])

        #expect(bare == Finished(status: 3, output: "", errors: ""))
        let snapshot = try await recording.snapshotOfOnlyRegion()
        #expect(snapshot.blocksBySize[3001] == 50)
        #expect(snapshot.counts(below: "main").inuseObjects == 50)
    }

    /// Heap profilers among them.
    @Test(arguments: ["libtcmalloc_minimal.so.4", "libjemalloc.so.2"])
    func `another profiler's allocator behind the shim is not disturbed`(library: String)
        async throws
    {
        let sample = try await SampleProgram.build(
            "loader-storm.c", flags: SampleProgram.defaultFlags + ["-pthread"])
        let first = try await plugin("leak_of_first", 8001)
        let second = try await plugin("leak_of_second", 8002)
        let recording = try Recording(["MALLOC_CONF": "prof:true"])

        let (snapshot, status) = try await recording.snapshotWhenReady(
            sample.path, ["40", first, second], preloading: [library])

        #expect(status == 0)
        #expect(snapshot.blocksBySize[8001] == 160)
        #expect(snapshot.blocksBySize[8002] == 160)
        #expect(snapshot.counts(below: "churn").inuseObjects == 0)
    }
}
