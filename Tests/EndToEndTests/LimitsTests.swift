import Glibc
import LeakprofModel
import LeakprofTestSupport
import Testing

/// Programs that have, or give themselves, less than usual: system calls, memory, files, mappings.
@Suite(.serialized, .timeLimit(.minutes(10))) struct LimitsTests {
    private static let flags = SampleProgram.defaultFlags + ["-pthread"]

    // ---- System calls ----

    /// The recorder makes no system call that the program does not make itself; auto mode would measure.
    @Test(
        arguments: [
            "strict main", "strict thread", "kill main", "kill thread", "deny main", "deny thread",
        ],
        ["exact", "auto"])
    func `a program that may make no system calls any more goes on, recorded`(
        sandbox: String, mode: String
    ) async throws {
        let sample = try await SampleProgram.build("sandbox.c", flags: Self.flags)
        let recording = try Recording(["LEAKPROF_KEEP": "1", "LEAKPROF_MODE": mode])

        let bare = try await recording.expectUnchanged(
            sample.path, sandbox.split(separator: " ").map(String.init), input: "\n")

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

    /// To remove its region, or to make one for a child, takes calls that may be the end of it.
    @Test(arguments: ["kill", "deny"], ["exit", "fork"])
    func `it may run exit handlers and have children`(sandbox: String, ending: String) async throws
    {
        let sample = try await SampleProgram.build("sandbox.c", flags: Self.flags)
        let recording = try Recording(["LEAKPROF_MODE": "auto"])

        let bare = try await recording.expectUnchanged(
            sample.path, [sandbox, ending], input: "\n")

        let child = ending == "fork" ? "child\n" : ""
        #expect(bare == Finished(status: 7, output: child + "ready\n", errors: ""))
        let snapshot = try await recording.snapshotOfOnlyRegion()
        #expect(snapshot.blocksBySize[601] == 2000)
        #expect(snapshot.blocksBySize[700] == nil)
        #expect(snapshot.dropped == [])
    }

    @Test(arguments: ["strict main", "strict thread", "kill main", "deny main", "deny thread"])
    func `so does a program that is sampled`(sandbox: String) async throws {
        let sample = try await SampleProgram.build("sandbox.c", flags: Self.flags)
        let recording = try Recording([
            "LEAKPROF_MODE": "sampled", "LEAKPROF_INTERVAL": "4KiB", "LEAKPROF_KEEP": "1",
        ])

        let bare = try await recording.expectUnchanged(
            sample.path, sandbox.split(separator: " ").map(String.init), input: "\n")

        #expect(bare == Finished(status: 7, output: "ready\n", errors: ""))
        let snapshot = try await recording.snapshotOfOnlyRegion()
        #expect(snapshot.blocksBySize[2_000_001] == 1)
        #expect(snapshot.counts(below: "churn_below").inuseObjects == 0)
        #expect(snapshot.counts(below: "churn_below").allocObjects > 10_000)
        #expect(snapshot.dropped == [])
    }

    /// Not one system call more for ten times as many allocations.
    @Test func `allocating makes no system calls`() async throws {
        let sample = try await SampleProgram.build("exact-sites.c", flags: Self.flags)
        let recording = try Recording()
        func calls(_ pairs: String) async throws -> Int {
            let counts = recording.directory.path + "/strace"
            let variables = recording.environment().map { "\($0)=\($1 ?? "")" }
            let finished = try await Programs.run(
                "strace",
                ["-f", "-c", "-o", counts, "env"] + variables + [
                    sample.path, "1000", "2", pairs, "300",
                ], input: "\n")
            #expect(finished == Finished(status: 0, output: "ready\n", errors: ""))
            // "100.00    0.001234           2        61         4 total"
            let total = try Files.text(of: counts).split(separator: "\n").last ?? ""
            return try #require(Int(total.split(separator: " ").dropFirst(3).first ?? ""))
        }

        let few = try await calls("20000")
        let many = try await calls("200000")

        #expect(few > 50)
        // Locks that are waited for are calls too, and their number differs from run to run.
        #expect(many < few + 2000)
    }

    // ---- Memory, files, mappings ----

    private func snapshot(_ how: String, within limits: [String] = []) async throws -> Snapshot {
        let sample = try await SampleProgram.build("limits.c")
        let recording = try Recording(["LEAKPROF_KEEP": "1"])
        let bare = try await recording.expectUnchanged(
            "prlimit", limits + [sample.path, how], input: "\n")
        #expect(bare.status == 0)
        #expect(bare.output.hasSuffix("ready\n"))
        let snapshot = try await recording.snapshotOfOnlyRegion()
        #expect(snapshot.blocksBySize[3001] == 50)
        #expect(snapshot.blocksBySize[3002] == 50)
        return snapshot
    }

    @Test(arguments: ["address-space", "data", "file-size", "descriptors", "dumpable"])
    func `a limit that a program sets itself is the same to it`(limit: String) async throws {
        let snapshot = try await snapshot(limit)
        #expect(snapshot.counts(below: "churn").inuseObjects == 0)
        #expect(snapshot.counts(below: "exhaust").inuseObjects == 0)
    }

    @Test(arguments: ["--as=200000000", "--nproc=1", "--data=50000000", "--memlock=0"])
    func `so is one that it starts with`(limit: String) async throws {
        #expect(try await snapshot("", within: [limit]).dropped == [])
    }

    /// What can't be recorded is not: the region does not fit the limit, or nothing can be opened.
    @Test(arguments: ["--fsize=0", "--fsize=100000", "--as=20000000"])
    func `where there is no room for a region, the program runs without`(limit: String)
        async throws
    {
        let sample = try await SampleProgram.build("exits.c")
        let recording = try Recording(["LEAKPROF_KEEP": "1"])
        let bare = try await recording.expectUnchanged("prlimit", [limit, sample.path, "exit"])
        #expect(bare.status == 3)
        #expect(recording.regions == [])
    }

    @Test func `a file size limit makes the region smaller`() async throws {
        let snapshot = try await snapshot("", within: ["--fsize=2000000"])
        #expect(snapshot.dropped == [])
    }

    @Test func `a stack of a hundred thousand frames is cut, and said to be`() async throws {
        let snapshot = try await snapshot("recursion")
        #expect(snapshot.blocksBySize[3003] == 50)
        #expect(snapshot.counts(below: "churn").allocObjects == 10_000)
        #expect(snapshot.statistics["stacks_cut_at_depth", default: 0] >= 10_050)
    }

    @Test func `when mappings run out, the recorder takes few of them`() async throws {
        let sample = try await SampleProgram.build("limits.c")
        let recording = try Recording(["LEAKPROF_KEEP": "1"])
        func mappings(_ finished: Finished) -> Int {
            #expect(finished.status == 0)
            let lines = finished.output.split(separator: "\n")
            #expect(lines.last == "ready")
            return Int(lines.dropFirst().first?.split(separator: " ").first ?? "") ?? 0
        }

        let bare = mappings(try await Programs.run(sample.path, ["mappings"], input: "\n"))
        let recorded = mappings(
            try await Programs.run(
                sample.path, ["mappings"], environment: recording.environment(), input: "\n"))

        #expect(bare > 60_000)
        #expect(recorded > bare - 30)
        let snapshot = try await recording.snapshotOfOnlyRegion()
        #expect(snapshot.blocksBySize[3001] == 50)
        #expect(snapshot.blocksBySize[3002] == 50)
        #expect(snapshot.counts(below: "churn").inuseObjects == 0)
    }

    // ---- File systems and control groups ----

    /// Runs the sample with a file system of its own in place of the recording directory; returns the
    /// snapshot if there is a region.
    private func snapshot(mounting options: String, filling bytes: Int = 0) async throws
        -> Snapshot?
    {
        let sample = try await SampleProgram.build("limits.c")
        let recording = try Recording(["LEAKPROF_KEEP": "1"])
        let place = recording.directory.path + "/mounted"
        let kept = recording.directory.path + "/kept"
        try await Programs.succeed("mkdir", ["-m", "700", place, kept])
        let variables = recording.environment().merging(["LEAKPROF_DIR": place]) { $1 }
            .map { "\($0)=\($1 ?? "")" }
        // Mounted where nobody else sees it, and gone with the last process in there.
        let script = """
            mount -t tmpfs -o \(options) tmpfs "$1" || exit 70
            (head -c \(bytes) /dev/zero > "$1/other") 2> /dev/null
            shift 2
            "$@"
            status=$?
            cp "$0"/*.region "\(kept)" 2> "\(kept)/errors"
            exit $status
            """
        let finished = try await Programs.run(
            "unshare",
            ["--mount", "sh", "-c", script, place, place, kept, "env"] + variables + [
                sample.path, "dumpable",
            ], input: "\n")
        #expect(finished == Finished(status: 0, output: "dumpable\nready\n", errors: ""))
        let region = Files.names(in: kept).first { $0.hasSuffix(".region") }
        guard let region else { return nil }
        return try await recording.snapshot("\(kept)/\(region)")
    }

    @Test(arguments: ["size=64m,mode=700", "size=2m,mode=700"])
    func `a small file system makes the region smaller`(options: String) async throws {
        let snapshot = try #require(try await snapshot(mounting: options))
        #expect(snapshot.blocksBySize[3001] == 50)
        #expect(snapshot.blocksBySize[3002] == 50)
        #expect(snapshot.dropped == [])
    }

    @Test func `without room there is no region, and the program runs`() async throws {
        #expect(try await snapshot(mounting: "size=100k,mode=700") == nil)
        #expect(try await snapshot(mounting: "size=4m,mode=700", filling: 4 << 20) == nil)
        #expect(try await snapshot(mounting: "size=4m,mode=755,nr_inodes=2") == nil)
        #expect(try await snapshot(mounting: "size=64m,mode=700,ro") == nil)
        // Others could plant files in there.
        #expect(try await snapshot(mounting: "size=64m,mode=1777") == nil)
    }

    /// The region is memory of the target's control group, which is ended when it takes too much.
    @Test func `a control group with little memory has a small region`() async throws {
        let sample = try await SampleProgram.build("limits.c")
        let recording = try Recording(["LEAKPROF_KEEP": "1"])
        let isVersion1 = Files.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes")
        let root = isVersion1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup"
        let group = "\(root)/leakprof-test-\(getpid())"
        let limit = isVersion1 ? "memory.limit_in_bytes" : "memory.max"
        let script = """
            mkdir "$0" && echo 12582912 > "$0/\(limit)" || exit 70
            (echo 0 > "$0/cgroup.procs" && exec "$@")
            status=$?
            \(isVersion1 ? "echo 0 > \"$0/memory.force_empty\"" : "")
            rmdir "$0"
            exit $status
            """
        let variables = recording.environment().map { "\($0)=\($1 ?? "")" }
        let finished = try await Programs.run(
            "sh", ["-c", script, group, "env"] + variables + [sample.path, "recursion"], input: "\n"
        )

        #expect(finished == Finished(status: 0, output: "recursion\n0\n0\nready\n", errors: ""))
        let snapshot = try await recording.snapshotOfOnlyRegion()
        #expect(snapshot.blocksBySize[3003] == 50)
        #expect(!Files.exists(group))
    }

    // ---- Analyzers ----

    @Test func `an analyzer that is stopped does not stop the target`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()
        let (_, status) = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            for round in 0..<5 {
                let analyzer = try await Programs.with(
                    BuiltProducts.leakprof,
                    [
                        "snapshot", "\(program.pid)", "-o",
                        "\(recording.directory.path)/stopped-\(round)",
                    ]
                ) { analyzer in
                    analyzer.signal(SIGSTOP)
                    try await program.send("\n")
                    try await program.line(startingWith: "grown")
                    analyzer.signal(SIGCONT)
                    _ = try await analyzer.line()
                }
                #expect(analyzer.status == 0)
            }
            #expect(try await recording.snapshot(of: program).blocksBySize[1234] == 5000)
        }
        #expect(status == 0)
    }

    @Test func `a process without the shim is not touched`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let (_, status) = try await Programs.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            let refused = try await Programs.run(
                BuiltProducts.leakprof, ["snapshot", "\(program.pid)"])
            #expect(refused.status == 1)
            #expect(refused.errors.contains("\(program.pid)"))
            let facts = try Files.text(of: "/proc/\(program.pid)/status")
            #expect(facts.contains("TracerPid:\t0\n"))
            try await program.send("\n")
            try await program.line(startingWith: "grown")
        }
        #expect(status == 0)
    }
}
