import Glibc
import LeakprofTestSupport
import Testing

/// Files that are written are whole or not there, and what was there before stays until then.
@Suite(.serialized, .timeLimit(.minutes(10))) struct OutputFileTests {
    /// A snapshot to write again; and a directory.
    private func snapshot() async throws -> (path: String, recording: Recording) {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()
        _ = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            _ = try await recording.snapshot(of: program)
        }
        return (recording.directory.path + "/snapshot", recording)
    }

    private static let commands = [
        ["flamegraph", "SNAPSHOT", "-o", "FILE"],
        ["export", "SNAPSHOT", "--format", "pprof", "-o", "FILE"],
        ["diff", "SNAPSHOT", "SNAPSHOT", "--json", "-o", "FILE"],
    ]

    private func command(_ words: [String], _ snapshot: String, _ file: String) -> [String] {
        [BuiltProducts.leakprof]
            + words.map { $0 == "SNAPSHOT" ? snapshot : $0 == "FILE" ? file : $0 }
    }

    @Test(arguments: commands)
    func `on a full disk the old file stays, and no part of the new one`(words: [String])
        async throws
    {
        let (snapshot, recording) = try await snapshot()
        let place = recording.directory.path + "/full"
        mkdir(place, 0o700)
        // A mount namespace of its own, so that the mount goes with it.
        let finished = try await Programs.run(
            "unshare",
            [
                "--map-root-user", "--mount", "sh", "-c",
                """
                mount -t tmpfs -o size=64k none "$PLACE" && cd "$PLACE" && echo old >file || exit 90
                cat /dev/zero >filling 2>/dev/null
                "$@"; echo "status $?"; cat file; rm filling
                # With room for a part of it.
                head -c 59000 /dev/zero >filling || exit 91
                rm file; head -c 3000 /dev/zero >more; "$@"; echo "status $?"; ls
                """, "sh",
            ] + command(words, snapshot, "file"), environment: ["PLACE": place])
        #expect(finished.status == 0)
        let lines = finished.output.split(separator: "\n").map(String.init)
        #expect(lines.prefix(2) == ["status 1", "old"])
        #expect(finished.errors.contains("No space left on device"))
        // The second time it either fitted or left nothing.
        let isWhole = lines.contains("status 0")
        #expect(
            lines.suffix(isWhole ? 3 : 2)
                == (isWhole ? ["file", "filling", "more"] : ["filling", "more"]))
    }

    @Test func `past the limit on file sizes the old file stays`() async throws {
        let (snapshot, recording) = try await snapshot()
        let file = recording.directory.path + "/file"
        for before: [UInt8]? in [[1, 2, 3], nil] {
            unlink(file)
            if let before { try Files.write(before, to: file) }
            let finished = try await Programs.run(
                "bash",
                ["-c", "ulimit -f 1; exec \"$@\"", "bash"]
                    + command(Self.commands[0], snapshot, file))
            #expect(finished.status == 1)
            #expect(finished.errors.contains("File too large"))
            #expect(try before == nil ? !Files.exists(file) : Files.bytes(of: file) == before)
        }
        #expect(Files.names(in: recording.directory.path) == ["snapshot"])
    }

    @Test(arguments: [true, false])
    func `what is interrupted leaves a whole file`(isNumbered: Bool) async throws {
        let (_, recording) = try await snapshot()
        let directory = recording.directory.path
        let interruption = try await SampleProgram.build(
            "signal-at-fsync.c", flags: ["-O2", "-shared", "-fPIC"], suffix: ".so")
        let sample = try await SampleProgram.build("steady-growth.c")
        _ = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            let finished = try await Programs.run(
                BuiltProducts.leakprof,
                ["snapshot", "\(program.pid)"] + (isNumbered ? [] : ["-o", "late"]),
                environment: ["LD_PRELOAD": interruption.path, "LEAKPROF_DIR": directory],
                directory: directory)
            #expect(finished.status == 128 + SIGTERM)
            let files = Files.names(in: directory).filter { !$0.hasSuffix(".region") }
            #expect(files.count == 2)
            let late = try #require(files.first { $0 != "snapshot" })
            #expect(!late.contains("partial"))
            #expect(
                try await Programs.run(
                    BuiltProducts.leakprof, ["top", "\(directory)/\(late)"]
                ).status == 0)
        }
    }

    @Test(arguments: [
        ["top", "SNAPSHOT"], ["top", "SNAPSHOT", "--json"],
        ["export", "SNAPSHOT", "--format", "folded"], ["doctor"],
    ])
    func `output that can't be written is a failure`(words: [String]) async throws {
        let (snapshot, recording) = try await snapshot()
        let finished = try await Programs.run(
            "sh", ["-c", "\"$@\" >/dev/full", "sh"] + command(words, snapshot, ""))
        #expect(finished.status == 1)
        #expect(finished.errors.contains("No space left on device"))
        #expect(Files.names(in: recording.directory.path) == ["snapshot"])
    }
}
