import Glibc
import LeakprofCapture
import LeakprofModel
import LeakprofTestSupport
import Testing

@Suite(.serialized, .timeLimit(.minutes(10))) struct ProcessLifeTests {
    @Test func `a forked child has a region of its own, and the parent's is untouched`()
        async throws
    {
        let sample = try await SampleProgram.build("fork-and-leak.c")
        let recording = try Recording()

        let ((parent, child), status) = try await recording.with(sample.path) { program in
            let childPid = try await program.line()
            return (
                try await recording.snapshot(of: program), try await recording.snapshot(childPid)
            )
        }

        #expect(status == 0)
        #expect(parent.blocksBySize[5001] == 10)
        #expect(parent.blocksBySize[5002] == nil)
        #expect(parent.blocksBySize[5003] == 30)
        #expect(child.blocksBySize[5001] == nil)
        #expect(child.blocksBySize[5002] == 20)
        #expect(child.blocksBySize[5003] == nil)
        #expect(child.facts.process?.forkedFrom == parent.facts.process?.pid)
        #expect(child.facts.recording?.statistics["unknown_frees"] == 10)
        // Both ended by themselves.
        #expect(recording.regions.isEmpty)
    }

    @Test func `a child is left alone when forks are not followed`() async throws {
        let sample = try await SampleProgram.build("fork-and-leak.c")
        let recording = try Recording(["LEAKPROF_FOLLOW": "0"])

        let (regions, status) = try await recording.with(sample.path) { program in
            let childPid = try await program.line()
            let refused = try await Programs.run(BuiltProducts.leakprof, ["snapshot", childPid])
            #expect(refused.status == 1)
            #expect(refused.errors.contains("LEAKPROF_FOLLOW=0"))
            return recording.regions.count
        }

        #expect(status == 0)
        #expect(regions == 1)
    }

    @Test(arguments: [
        ("return", 6, 0), ("exit", 3, 0), ("quick_exit", 5, 1), ("_exit", 4, 1),
        ("abort", 128 + SIGABRT, 1), ("kill", 128 + SIGKILL, 1), ("exec", 6, 0),
    ])
    func `a region goes with its process, unless that was killed`(
        how: String, status: Int32, regions: Int
    ) async throws {
        let sample = try await SampleProgram.build("exits.c")
        let recording = try Recording()

        let finished = try await recording.run(sample.path, [how])

        #expect(finished == Finished(status: status, output: "", errors: ""))
        #expect(recording.regions.count == regions)
        for region in recording.regions {
            #expect(try await recording.snapshot(region).blocksBySize[3001] == 50)
        }
    }

    @Test func `a region that is kept is cut down to what was used`() async throws {
        let sample = try await SampleProgram.build("exits.c")
        let recording = try Recording(["LEAKPROF_KEEP": "1"])

        _ = try await recording.run(sample.path, ["return"])

        let region = try #require(recording.regions.first)
        var status = stat()
        #expect(stat(region, &status) == 0)
        #expect(status.st_size == 16 << 20)
        // Blocks of 512 bytes.
        #expect(status.st_blocks * 512 < 2 << 20)
        let snapshot = try await recording.snapshot(region)
        #expect(snapshot.blocksBySize[3001] == 50)
        #expect(snapshot.facts.recording?.state == "ended")
    }

    /// As of a worker that gave up the rights to its directory, or changed its root.
    @Test func `a region that its process can't remove is cut down to what was used`() async throws
    {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()
        let moved = recording.directory.path + ".moved"

        let (_, status) = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            try #require(rename(recording.directory.path, moved) == 0)
        }

        #expect(status == 0)
        // Nor does it make another directory at its end.
        #expect(!Files.exists(recording.directory.path))
        try #require(rename(moved, recording.directory.path) == 0)
        let region = try #require(recording.regions.first)
        var file = stat()
        #expect(stat(region, &file) == 0)
        // Blocks of 512 bytes.
        #expect(file.st_blocks * 512 < 2 << 20)
        #expect(try await recording.snapshot(region).facts.recording?.state == "ended")
    }

    @Test func `regions of processes that ended badly do not pile up`() async throws {
        let sample = try await SampleProgram.build("exits.c")
        let recording = try Recording(["LEAKPROF_REGION_SIZE": "256KiB"])

        for _ in 0..<24 { _ = try await recording.run(sample.path, ["_exit"]) }

        // The one that is made last is not counted among the dead.
        #expect(recording.regions.count == 17)
    }

    @Test func `the signal makes the program write a copy itself`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()

        let (copies, status) = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
            try await program.line(startingWith: "grown")
            program.signal(__libc_current_sigrtmin() + 7)
            // The next answer comes after the signal was handled.
            try await program.send("\n")
            try await program.line(startingWith: "grown")
            return Files.names(in: recording.directory.path).filter { $0.hasSuffix(".copy") }
        }

        #expect(status == 0)
        #expect(copies.count == 1)
        let path = "\(recording.directory.path)/\(copies.first ?? "")"
        let snapshot = try await recording.snapshot(path)
        #expect(snapshot.blocksBySize[1234] == 1000)
        #expect(snapshot.facts.recording?.cutEpoch == 1)
        #expect(snapshot.facts.recording?.state == "recording")
    }

    @Test func `a program takes snapshots through the header`() async throws {
        let sample = try await SampleProgram.build(
            "snapshot-api.c",
            flags: SampleProgram.defaultFlags + ["-I\(BuiltProducts.root)/CShim/Interpose/include"])
        let recording = try Recording()

        let without = try await Programs.run(sample.path)
        let with = try await recording.run(sample.path)

        #expect(without.output == "no shim\n")
        #expect(with.output == "\(Leakprof.version) 0 \(-EINVAL)\n")
        let warm = try await snapshot(ofCopy: "warm", in: recording)
        let late = try await snapshot(ofCopy: "late", in: recording)
        #expect(warm.blocksBySize[7001] == 70)
        #expect(warm.blocksBySize[7002] == nil)
        #expect(late.blocksBySize[7002] == 30)
        // What came after the first copy is of another epoch.
        let epochs = [70, 30].map { blocks in
            late.samples.first { $0.counts.inuseObjects == blocks }?.epoch
        }
        #expect(epochs.allSatisfy { $0 != nil })
        #expect(epochs[0] != epochs[1])
    }

    private func snapshot(ofCopy name: String, in recording: Recording) async throws -> Snapshot {
        let copy = try #require(
            Files.names(in: recording.directory.path).first { $0.hasSuffix(".\(name).copy") })
        return try await recording.snapshot("\(recording.directory.path)/\(copy)", name: name)
    }

    @Test func `a library loaded where another was unloaded is not mistaken for it`() async throws {
        func plugin(_ name: String, _ size: Int) async throws -> String {
            try await SampleProgram.build(
                "plugin.c",
                flags: [
                    "-O2", "-g", "-fno-builtin", "-shared", "-fPIC", "-DNAME=\(name)", "-DCOUNT=40",
                    "-DSIZE=\(size)",
                ], suffix: "-\(name).so"
            ).path
        }
        let sample = try await SampleProgram.build("dlopen-leak.c")
        let first = try await plugin("leak_of_first", 8001)
        let second = try await plugin("leak_of_second", 8002)
        let recording = try Recording()

        let ((snapshot, addresses), status) = try await recording.with(
            sample.path, [first, second, first]
        ) { program in
            var addresses: [String] = []
            while true {
                let line = try await program.line()
                if line == "ready" { break }
                addresses.append(line)
            }
            let snapshot = try await recording.snapshot(of: program)
            try await program.send("\n")
            return (snapshot, addresses)
        }

        #expect(status == 0)
        // Otherwise this tests nothing.
        #expect(Set(addresses).count == 1)
        #expect(snapshot.counts(below: "leak_of_first").inuseSpace == 2 * 40 * 8001)
        #expect(snapshot.counts(below: "leak_of_second").inuseSpace == 40 * 8002)
        let plugins = snapshot.mappings.filter { $0.path.contains("plugin-") }
        #expect(plugins.map(\.path) == [first, second, first])
        #expect(Set(plugins.map(\.start)).count == 1)
        #expect(Set(plugins.map(\.buildID)).count == 2)
    }

    @Test func `settings that are not understood are said`() async throws {
        let sample = try await SampleProgram.build("exits.c")
        let recording = try Recording(["LEAKPROF_KEEP": "1", "LEAKPROF_INTERVAL": "many"])
        _ = try await recording.run(sample.path, ["return"])
        let region = try #require(recording.regions.first)

        let inspected = try await Programs.succeed(BuiltProducts.leakprof, ["inspect", region])
        #expect(inspected.contains("LEAKPROF_INTERVAL"))
        let top = try await Programs.succeed(BuiltProducts.leakprof, ["top", region])
        #expect(top.contains("note: a LEAKPROF_ variable was not understood"))
    }

    @Test func `without a directory the program runs, and doctor says why`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording(["LEAKPROF_DIR": "/proc/nowhere"])

        let (_, status) = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            let doctor = try await Programs.run(
                BuiltProducts.leakprof, ["doctor", "\(program.pid)"])
            #expect(doctor.status == 1)
            #expect(doctor.output.contains("is not recorded: the recording directory is missing"))
        }

        #expect(status == 0)
    }
}
