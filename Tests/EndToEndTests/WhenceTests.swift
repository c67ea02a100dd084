import LeakprofModel
import LeakprofTestSupport
import Testing

/// Where a live block was allocated, asked of the running program.
@Suite(.timeLimit(.minutes(10))) struct WhenceTests {
    private func whence(
        _ recording: Recording, _ source: String, _ address: String
    ) async throws -> Finished {
        try await Programs.run(
            BuiltProducts.leakprof, ["whence", source, address],
            environment: ["LEAKPROF_DIR": recording.directory.path])
    }

    @Test func `a live block's stack is found by its address`() async throws {
        let sample = try await SampleProgram.build("addressed-blocks.c")
        let recording = try Recording()
        _ = try await recording.with(sample.path) { program in
            var addresses: [String] = []
            for _ in 0..<4 {
                let line = try await program.line(startingWith: "block ")
                addresses.append(String(line.split(separator: " ").last ?? ""))
            }
            try await program.line(startingWith: "ready")
            let expected = [
                ("100 B", "small_block"), ("48.8 KiB", "large_block"), ("293 KiB", "moved_block"),
            ]
            for (address, (size, function)) in zip(addresses, expected) {
                let found = try await whence(recording, "\(program.pid)", address)
                #expect(found.status == 0)
                let lines = found.output.split(separator: "\n")
                #expect(
                    lines.first
                        == "\(address): size=\(size), birth epoch 1, from the start of the recording on"
                )
                #expect(lines.dropFirst().first?.hasPrefix("    \(function)  ") == true)
                #expect(
                    lines.contains {
                        $0.hasPrefix("    main  ") && $0.contains("addressed-blocks.c:")
                    })
            }
            // Recording goes on, and nothing is left of the questions.
            let snapshot = try await recording.snapshot(of: program)
            #expect(snapshot.facts.recording?.state == "recording")
            let freed = try await whence(recording, "\(program.pid)", addresses[3])
            #expect(freed.status == 1)
            #expect(freed.errors.contains("no recorded block that is live begins there"))
            let inner = try await whence(recording, "\(program.pid)", "\(1 << 20)")
            #expect(inner.status == 1)
            try await program.send("\n")
        }
    }

    @Test func `a program that allocates nothing is said not to answer`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()
        _ = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            let silent = try await whence(recording, "\(program.pid)", "0x10")
            #expect(silent.status == 1)
            #expect(silent.errors.contains("did not answer: it does so when it allocates next"))
            // The question is taken back: what it allocates now is recorded as ever.
            try await program.send("\n")
            try await program.line(startingWith: "grown")
            let snapshot = try await recording.snapshot(of: program)
            #expect(snapshot.blocksBySize[1234] == 1000)
        }
    }

    @Test func `what is no running process can't be asked`() async throws {
        let recording = try Recording(["LEAKPROF_KEEP": "1"])
        _ = try await recording.run("/bin/true")
        let region = try #require(recording.regions.first)
        let dead = try await whence(recording, region, "16")
        #expect(dead.status == 1)
        #expect(dead.errors.contains("is not a running process"))
        let wrong = try await whence(recording, region, "here")
        #expect(wrong.status == 64)
        #expect(wrong.errors.contains("here is not an address"))
    }
}
