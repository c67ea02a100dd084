import LeakprofModel
import LeakprofTestSupport
import Testing

@Suite(.serialized) struct AllocatorFamilyTests {
    /// Allocators that programs bring along, in front of glibc's.
    private static let allocators = [
        "", "libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2.0",
    ]

    @Test(.timeLimit(.minutes(10))) func `every function is recorded, to the byte`() async throws {
        let sample = try await SampleProgram.build("allocator-family.c")
        let recording = try Recording()

        let (snapshot, status) = try await recording.with(sample.path) { program in
            let line = try await program.line()
            #expect(line == "0 failures")
            return try await recording.snapshot(of: program)
        }

        #expect(status == 0)
        let kept: [Int64] = [10001, 10002, 10003, 10004, 10005, 10112, 10007, 10008, 10009, 10010]
        for size in kept { #expect(snapshot.blocksBySize[size] == 100, "blocks of \(size) bytes") }
        for size: Int64 in [20001, 20002, 20003, 20004, 20032, 20005] {
            #expect(snapshot.blocksBySize[size] == nil, "blocks of \(size) bytes")
        }
        let statistics = snapshot.facts.recording?.statistics ?? [:]
        #expect(statistics.keys.filter { $0.hasPrefix("dropped") }.isEmpty)
        #expect(statistics["replaced_blocks"] == nil)
        #expect(statistics["unknown_frees"] == nil)
    }

    @Test(.timeLimit(.minutes(10)), arguments: allocators, [1, 30, 4001])
    func `the next allocator may be any`(allocator: String, size: Int64) async throws {
        let sample = try await SampleProgram.build(
            "exact-sites.c", flags: ["-O2", "-g", "-fno-builtin", "-pthread"])
        let recording = try Recording()
        let others = allocator.isEmpty ? [] : [allocator]

        let (snapshot, status) = try await recording.with(
            sample.path, ["50", "2", "100000", "\(size)"], preloading: others
        ) { program in
            try await program.line(startingWith: "ready")
            if !allocator.isEmpty {
                let maps = try Files.text(of: "/proc/\(program.pid)/maps")
                #expect(maps.contains(allocator))
            }
            let snapshot = try await recording.snapshot(of: program)
            try await program.send("\n")
            return snapshot
        }

        #expect(status == 0)
        for (more, site) in ["first_site", "second_site", "third_site"].enumerated() {
            let counts = snapshot.counts(below: site)
            #expect(counts.inuseObjects == 50, "\(site)")
            #expect(counts.inuseSpace == 50 * (size + Int64(more)), "\(site)")
        }
        #expect(snapshot.counts(below: "churn_site").inuseObjects == 0)
        #expect(snapshot.counts(below: "churn_site").allocObjects == 100_000)
    }

    @Test(.timeLimit(.minutes(10))) func `calls before everything is ready survive`() async throws {
        let library = try await SampleProgram.build(
            "early-calls.c", flags: ["-O2", "-fno-builtin", "-shared", "-fPIC"], suffix: ".so")
        let recording = try Recording()

        // In front of the shim, its constructor runs after the shim's; behind it, before.
        for order in [[library.path, BuiltProducts.shim], [BuiltProducts.shim, library.path]] {
            let finished = try await Programs.run(
                "/bin/echo", ["hello"],
                environment: [
                    "LD_PRELOAD": order.joined(separator: ":"),
                    "LEAKPROF_DIR": recording.directory.path,
                ])
            #expect(finished == Finished(status: 0, output: "hello\n", errors: ""))
        }
    }

    /// Whoever recorded the free after the next allocator's free would take the other thread's record.
    @Test(.timeLimit(.minutes(10)), arguments: ["free", "realloc"])
    func `a block that another thread gets at once is not mixed up`(call: String) async throws {
        let allocator = try await SampleProgram.build(
            "handover-allocator.c", flags: ["-O2", "-fno-builtin", "-shared", "-fPIC"],
            suffix: ".so")
        let sample = try await SampleProgram.build("handover.c")
        let recording = try Recording(["LEAKPROF_MODE": "exact"])

        let (snapshot, status) = try await recording.snapshotWhenReady(
            sample.path, [call], preloading: [allocator.path])

        #expect(status == 0)
        #expect(snapshot.counts(below: "take").inuseObjects == 1)
        #expect(snapshot.blocksBySize[777] == 1)
        #expect(snapshot.blocksBySize[778] == (call == "realloc" ? 1 : nil))
        let statistics = snapshot.facts.recording?.statistics ?? [:]
        #expect(statistics["replaced_blocks"] == nil)
    }

    @Test(.timeLimit(.minutes(10))) func `two copies of the shim do not quarrel`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()
        let copy = recording.directory.path + "/second.so"
        try await Programs.succeed("cp", [BuiltProducts.shim, copy])

        let (snapshot, status) = try await recording.with(sample.path, preloading: [copy]) {
            program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
            try await program.line(startingWith: "grown")
            return try await recording.snapshot(of: program)
        }

        #expect(status == 0)
        #expect(snapshot.blocksBySize[1234] == 1000)
    }
}
