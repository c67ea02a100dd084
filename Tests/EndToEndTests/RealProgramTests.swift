import LeakprofAnalysis
import LeakprofModel
import LeakprofPprof
import LeakprofTestSupport
import Testing

/// Programs that people run, with and without the shim.
@Suite(.serialized, .timeLimit(.minutes(10))) struct RealProgramTests {
    struct Job: Sendable, CustomTestStringConvertible {
        var program: String
        var arguments: [String]
        var testDescription: String { ([program] + arguments).joined(separator: " ").prefixed }
    }

    static let jobs = [
        Job(
            program: "python3",
            arguments: [
                "-c",
                """
                import json, subprocess, threading, sys
                data = json.loads(json.dumps({str(i): list(range(50)) for i in range(2000)}))
                threads = [threading.Thread(target=lambda: [bytearray(i) for i in range(3000)]) for _ in range(4)]
                [t.start() for t in threads]; [t.join() for t in threads]
                print(len(data), subprocess.check_output(["sh", "-c", "echo sub"]).decode().strip())
                sys.exit(9)
                """,
            ]),
        Job(
            program: "python3",
            arguments: [
                "-c",
                "import multiprocessing as m\nif __name__ == '__main__':\n  m.set_start_method('fork'); print(m.Pool(3).map(abs, range(-50, 0)))",
            ]),
        Job(
            program: "bash",
            arguments: [
                "-c",
                "x=$(for i in 1 2 3; do echo $((i * i)); done | sort -r); echo \"$x\"; (exit 3); echo $?; ls /none; exit 7",
            ]),
        Job(program: "git", arguments: ["-C", BuiltProducts.root, "log", "--stat", "-n", "20"]),
        Job(program: "git", arguments: ["-C", BuiltProducts.root, "fsck", "--no-progress"]),
        Job(
            program: "gcc",
            arguments: ["-O2", "-S", "-o", "-", "\(BuiltProducts.root)/Samples/exact-sites.c"]),
        Job(
            program: "c++",
            arguments: ["-O2", "-fsyntax-only", "\(BuiltProducts.root)/Samples/cache-service.cpp"]),
        Job(program: "gcc", arguments: ["-c", "/nonexistent.c"]),
    ]

    @Test(arguments: jobs)
    func `output and exit status are those of a run without the shim`(job: Job) async throws {
        let bare = try await Programs.run(job.program, job.arguments)
        for mode in ["exact", "sampled"] {
            let recording = try Recording(["LEAKPROF_MODE": mode, "LEAKPROF_INTERVAL": "64KiB"])
            let recorded = try await recording.run(job.program, job.arguments)
            #expect(recorded == bare, "\(mode)")
        }
    }

    /// Debian's Redis uses jemalloc, so this is also about forwarding to the next allocator.
    @Test func `the Redis function that stores the keys is named`() async throws {
        let recording = try Recording()
        let socket = recording.directory.path + "/redis"
        let arguments = ["--port", "0", "--unixsocket", socket, "--save", "", "--daemonize", "no"]
        func benchmark(_ first: Int, _ count: Int) async throws {
            try await Programs.succeed(
                "redis-benchmark",
                [
                    "-s", socket, "-n", "\(count)", "-r", "100000000", "-c", "5", "-q", "-t", "set",
                    "-d", "200",
                ])
        }

        // Debian's redis-server package starts a service when it is installed. The server is in
        // redis-tools as well: the same file, told by its name what to be.
        let path = try await Programs.succeed("which", ["redis-check-rdb"])
        let program = recording.directory.path + "/redis-server"
        try await Programs.succeed("ln", ["-s", String(path.dropLast()), program])

        let (diff, status) = try await recording.with(program, arguments) { server in
            try await server.line(containing: "ready to accept connections")
            try await benchmark(0, 5_000)
            let early = try await recording.snapshot(of: server, name: "early")
            try await benchmark(5_000, 60_000)
            let late = try await recording.snapshot(of: server, name: "late")
            try await Programs.succeed("redis-cli", ["-s", socket, "shutdown", "nosave"])
            return SnapshotDiff(
                base: early, current: late,
                grouping: Grouping(groupBy: .function, cumulative: true))
        }

        #expect(status == 0)
        let growth = diff.current.inuseSpace - diff.base.inuseSpace
        #expect(growth > 10 << 20)
        let grown = diff.rows.reduce(into: [String: AllocationCounts]()) {
            $0[$1.key.function] = $1.change
        }
        // Each new key is a table entry and a copy of its name, made below dbAdd; nearly all of the
        // 60,000 random keys are new.
        #expect((grown["dbAdd"]?.inuseObjects ?? 0) > 2 * 59_000)
        #expect(
            (grown["setGenericCommand"]?.inuseObjects ?? 0) >= (grown["dbAdd"]?.inuseObjects ?? 0))
        // Its value is made where the request is read.
        #expect((grown["processMultibulkBuffer"]?.inuseObjects ?? 0) > 2 * 59_000)
        #expect(grown["bgsaveCommand"] == nil)
    }

    @Test func `go tool pprof prints the same numbers`() async throws {
        let sample = try await SampleProgram.build(
            "exact-sites.c", flags: SampleProgram.defaultFlags + ["-pthread"])
        let recording = try Recording()
        let (snapshot, _) = try await recording.with(sample.path, ["100", "2", "1000", "4001"]) {
            program in
            try await program.line(startingWith: "ready")
            return try await recording.snapshot(of: program, name: "profile")
        }
        let path = recording.directory.path + "/profile"

        for type in SampleType.allCases {
            let output = try await Programs.succeed(
                "go",
                [
                    "tool", "pprof", "-top", "-flat", "-nodecount=100000", "-nodefraction=0",
                    "-edgefraction=0", "-unit=\(type.unit == "bytes" ? "B" : "count")",
                    "-sample_index=\(type.rawValue)", path,
                ], environment: ["HOME": recording.directory.path])
            // "     400100B 33.29% 33.29%    400100B 33.29%  first_site (inline)"
            var flat: [String: Int64] = [:]
            for line in output.split(separator: "\n") {
                let fields = line.split(separator: " ", omittingEmptySubsequences: true)
                guard fields.count >= 6, fields[1].hasSuffix("%") else { continue }
                let number = fields[0].prefix { $0.isNumber }
                flat[String(fields[5])] = Int64(number)
            }
            var expected: [String: Int64] = [:]
            for sample in snapshot.samples where sample.counts[type] != 0 {
                expected[snapshot.functions(of: sample)[0], default: 0] += sample.counts[type]
            }
            for (function, value) in expected where flat[function.shortened] != value {
                Issue.record(
                    "\(type): pprof says \(flat[function.shortened] ?? 0) for \(function), we say \(value)"
                )
            }
            #expect(output.contains("Type: \(type.rawValue)"))
        }
    }

    @Test func `Swift frames are named`() async throws {
        let sample = try await SampleProgram.build("swift-leak.swift", flags: ["-O", "-g"])
        let recording = try Recording()
        let (snapshot, status) = try await recording.snapshotWhenReady(sample.path)

        #expect(status == 0)
        let report = TopReport(of: snapshot)
        let first = try #require(report.rows.first)
        // 500 arrays of 9000 bytes and their headers.
        #expect(first.counts.inuseObjects >= 500)
        #expect(first.key.file.hasSuffix("/swift-leak.swift"))
        #expect(
            snapshot.locations.contains {
                $0.frames.contains { $0.function.contains("SessionStore.open") }
            })
    }
}

extension String {
    fileprivate var prefixed: String { String(prefix(60)) }

    /// pprof leaves parameters out.
    fileprivate var shortened: String { FunctionName(self).qualified }
}

extension RunningProgram {
    fileprivate func line(containing text: String) async throws {
        while try await !line().contains(text) {}
    }
}
