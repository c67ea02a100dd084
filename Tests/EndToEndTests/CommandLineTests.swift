import Glibc
import LeakprofCapture
import LeakprofModel
import LeakprofTestSupport
import Testing

@Suite(.serialized, .timeLimit(.minutes(10))) struct CommandLineTests {
    private func leakprof(
        _ arguments: String..., directory: String? = nil, environment: [String: String?] = [:]
    ) async throws -> Finished {
        try await Programs.run(
            BuiltProducts.leakprof, arguments, environment: environment, directory: directory)
    }

    @Test(arguments: [
        "", "run", "snapshot", "merge", "top", "diff", "flamegraph", "report", "export", "whence",
        "attach",
        "detach",
        "inspect",
        "doctor", "goroutines",
    ])
    func `help`(command: String) async throws {
        let finished = try await Programs.run(
            BuiltProducts.leakprof, [command, "--help"].filter { !$0.isEmpty },
            environment: ["COLUMNS": "100"])
        #expect(finished.status == 0)
        #expect(finished.errors == "")
        #expect(
            Golden.difference(finished.output, "help\(command.isEmpty ? "" : "-\(command)").txt")
                == nil)
    }

    @Test func `what the program calls itself for is no command of its users`() async throws {
        // What the manual and completions are made from.
        let everything = try await leakprof("--experimental-dump-help")
        #expect(everything.output.contains("\"commandName\" : \"inspect\""))
        #expect(!everything.output.contains("symbolize\""))
        #expect(
            !(try Files.text(of: "\(BuiltProducts.root)/docs/leakprof.1")).contains(
                "It Em symbolize"))
        #expect(
            try await leakprof("symbolize", "--help").output.contains(
                "leakprof calls this by itself"))
    }

    @Test func `the version is that of the shim`() async throws {
        #expect(try await leakprof("--version").output == "\(Leakprof.version)\n")
    }

    @Test(arguments: [
        (["top"], "Missing expected argument '<source>'"),
        (["diff", "a"], "Missing expected argument '<current>'"),
        (["diff", "a", "b", "--svg", "--json"], "ask for one of --svg, --json,"),
        (["diff", "a", "b", "-o", "x"], "-o needs one of"),
        (
            ["export", "x", "--format", "massif", "--sample-type", "inuse_objects"],
            "massif counts bytes"
        ),
        (["diff", "a", "b", "--per", "requests"], "--per"),
        (["diff", "a", "b", "--per", "=3"], "--per"),
        (["diff", "a", "b", "--per", "requests=1,2,3"], "--per"),
        (["diff", "a", "b", "--per", "requests=-1"], "--per"),
        (["diff", "a", "b", "--per", "requests=1", "--rate"], "--per or --rate, not both"),
        (
            ["diff", "a", "b", "--rate", "--folded"],
            "--per and --rate are for text, --svg and --json"
        ),
        (["top", "a", "--redact", "--source-dir", "."], "not with --source-dir"),
        (["diff", "a", "b", "--lens", "union"], "--lens, --theme and --flame need --svg"),
        (["flamegraph", "a", "--lens", "union"], "--lens union needs two snapshots"),
        (["top", "x", "--group-by", "planet"], "planet"),
        (["top", "x", "--limit", "-1"], "limit"),
        (["run", "--interval", "soon", "--", "true"], "--interval soon is not a size"),
        (["run", "--overhead", "much", "--", "true"], "--overhead much is not a percentage"),
        (["run", "--dir", "here", "--", "true"], "--dir here is not an absolute path"),
        (["run", "--depth", "500", "--", "true"], "not between 1 and 128"),
        (["run"], "Missing expected argument '-- <command> ...'"),
        (["report", "a"], "Missing expected argument '<current> ...'"),
        (["frobnicate"], "frobnicate"),
    ])
    func `wrong usage ends with 64 and says what is wrong`(arguments: [String], message: String)
        async throws
    {
        let finished = try await Programs.run(BuiltProducts.leakprof, arguments)
        #expect(finished.status == 64)
        #expect(finished.output == "")
        #expect(finished.errors.contains(message))
    }

    @Test(arguments: [
        (["top", "nothing-of-that-name"], "there is no file and no process called"),
        (["snapshot", "999999999"], "there is no process 999999999"),
        (["diff", "/etc/hostname", "/etc/hostname"], "neither a pprof profile nor"),
        (["inspect", "1"], "libleakshim.so is not loaded in it"),
        (["run", "--", "no-such-program-anywhere"], "there is no program"),
        (["run", "--", "/etc/hostname"], "can't run /etc/hostname: "),
        (
            ["flamegraph", "http://127.0.0.1:1/debug/pprof/heap"],
            "Failed to connect to 127.0.0.1 port 1"
        ),
    ])
    func `what fails ends with 1 and says what to try`(arguments: [String], message: String)
        async throws
    {
        let finished = try await Programs.run(BuiltProducts.leakprof, arguments)
        #expect(finished.status == 1)
        #expect(finished.output == "")
        #expect(finished.errors.contains(message))
        #expect(finished.errors.contains("\n       try: "))
    }

    @Test func `run passes output, input and status through`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let finished = try await Programs.run(
            BuiltProducts.leakprof,
            ["run", "--quiet", "--", "bash", "-c", "cat; echo err >&2; exit 5"],
            environment: ["LEAKPROF_DIR": directory.path + "/recordings"],
            directory: directory.path,
            input: "through\n")
        #expect(finished.status == 5)
        #expect(finished.output == "through\n")
        #expect(finished.errors == "err\n")
        let kept = Files.names(in: directory.path).filter { $0.hasSuffix(".pb.gz") }
        #expect(kept.count == 1)
        #expect(kept.first?.hasPrefix("leakprof.bash.") == true)
        // Its region is gone; what the commands in it left does not concern run.
        #expect(Files.names(in: directory.path + "/recordings") == [])
    }

    /// Behind an allocator that is preloaded too, the shim would never be called.
    @Test func `run puts the shim in front of other preloaded libraries`() async throws {
        let sample = try await SampleProgram.build("exits.c")
        let directory = try TemporaryDirectory(in: "/tmp")
        let finished = try await leakprof(
            "run", "-o", "final", "--", sample.path, "kill", directory: directory.path,
            environment: ["LD_PRELOAD": "libjemalloc.so.2"])
        #expect(finished.status == 128 + SIGKILL)
        let top = try await leakprof("top", directory.path + "/final")
        #expect(top.output.contains("exits.c:"))
    }

    @Test func `run shows what was not freed`() async throws {
        let sample = try await SampleProgram.build("exits.c")
        let directory = try TemporaryDirectory(in: "/tmp")
        let finished = try await leakprof(
            "run", "-o", "final", "--", sample.path, "kill", directory: directory.path)
        #expect(finished.status == 128 + SIGKILL)
        #expect(finished.errors.contains("recording pid"))
        #expect(
            finished.errors.contains("exits.c:11: size=147 KiB, count=50, average=3001 B     main"))
        #expect(Files.exists(directory.path + "/final"))
        #expect(
            try await leakprof("top", "final", directory: directory.path).output.contains(
                "exits.c:11"))
    }

    @Test func `run passes signals on and keeps another LD_PRELOAD`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let directory = try TemporaryDirectory(in: "/tmp")
        let (_, status) = try await Programs.with(
            BuiltProducts.leakprof, ["run", "--quiet", "--", sample.path],
            environment: [
                "LEAKPROF_DIR": directory.path + "/recordings", "LD_PRELOAD": "libjemalloc.so.2",
            ], directory: directory.path
        ) { program in
            try await program.line(startingWith: "ready")
            let region = try #require(Files.names(in: directory.path + "/recordings").last)
            let child = try #require(region.split(separator: ".").first.flatMap { Int32($0) })
            let maps = try Files.text(of: "/proc/\(child)/maps")
            #expect(maps.contains("libleakshim.so") && maps.contains("libjemalloc.so.2"))
            program.signal(SIGTERM)
            // The end of its output is the end of the program: with its input, it would end by itself.
            while (try? await program.line()) != nil {}
        }
        #expect(status == 128 + SIGTERM)
    }

    @Test func `programs that can't be recorded run, and it is said why`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let sample = try await SampleProgram.build("exits.c", flags: ["-static"])
        let finished = try await leakprof("run", "--", sample.path, directory: directory.path)
        #expect(finished.status == 6)
        #expect(finished.errors.contains("statically linked"))
        #expect(!finished.errors.contains("recording pid"))
    }

    @Test(.timeLimit(.minutes(10))) func `recording starts and pauses on demand`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording(["LEAKPROF_PAUSED": "1"])

        let (_, status) = try await recording.with(sample.path) { program in
            func grow() async throws {
                try await program.send("\n")
                try await program.line(startingWith: "grown")
            }
            func live() async throws -> Int64 {
                try await recording.snapshot(of: program).counts(below: "grow").inuseObjects
            }
            func ask(_ command: String) async throws -> String {
                try await Programs.succeed(
                    BuiltProducts.leakprof, [command, "\(program.pid)"],
                    environment: ["LEAKPROF_DIR": recording.directory.path])
            }
            try await program.line(startingWith: "ready")
            try await grow()
            let paused = try await recording.snapshot(of: program)
            #expect(paused.facts.recording?.state == "paused")
            #expect(paused.totals.allocObjects == 0)

            // Noticed within 64 KiB of allocations, and then nothing is missed.
            let answer = try await ask("attach")
            #expect(answer.contains("records as soon as it allocates"))
            try await grow()
            let first = try await live()
            #expect((940...1000).contains(first))
            try await grow()
            #expect(try await live() == first + 1000)
            #expect(try await ask("attach").contains("recording process"))

            _ = try await ask("detach")
            try await grow()
            #expect(try await live() == first + 1000)
            #expect(try await ask("detach").contains("paused process"))

            _ = try await ask("attach")
            try await grow()
            #expect(try await live() > first + 1900)
        }
        #expect(status == 0)
    }

    @Test func `snapshots get names of their own, and existing files stay`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()
        let (names, _) = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            for _ in 0..<2 {
                try await Programs.succeed(
                    BuiltProducts.leakprof, ["snapshot", "\(program.pid)"],
                    directory: recording.directory.path)
            }
            return Files.names(in: recording.directory.path).filter { $0.hasSuffix(".pb.gz") }
        }
        #expect(
            names.map { $0.split(separator: ".").suffix(3).joined(separator: ".") } == [
                "1.pb.gz", "2.pb.gz",
            ])
        #expect(names.allSatisfy { $0.hasPrefix("leakprof.steady-growth.") })
    }

    @Test func `every form is written`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()
        let directory = recording.directory.path
        _ = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            _ = try await recording.snapshot(of: program, name: "early")
            try await program.send("\n")
            try await program.line(startingWith: "grown")
            _ = try await recording.snapshot(of: program, name: "late")
        }

        for form in ["svg", "json", "folded"] {
            let finished = try await leakprof(
                "diff", "early", "late", "--\(form)", directory: directory)
            #expect(finished.status == 0)
            #expect(finished.output.contains("wrote early..late.diff.\(form)"))
            #expect(Files.exists("\(directory)/early..late.diff.\(form)"))
            let toStdout = try await leakprof(
                "diff", "early", "late", "--\(form)", "-o", "-", directory: directory)
            #expect(
                Array(toStdout.output.utf8)
                    == (try Files.bytes(of: "\(directory)/early..late.diff.\(form)")))
        }
        #expect(
            try await leakprof("export", "late", "--format", "folded", directory: directory).output
                .contains("main;grow 1234000\n"))
        for arguments in [
            ["export", "late", "--format", "folded"],
            ["diff", "early", "late", "--folded", "-o", "-"],
        ] {
            let filtered = try await Programs.run(
                BuiltProducts.leakprof, arguments + ["--exclude", "grow"], directory: directory)
            #expect(filtered.status == 0)
            #expect(!filtered.output.contains("main;grow "))
        }
        #expect(
            try await leakprof(
                "export", "late", "--format", "pprof", "-o", "copy", directory: directory
            ).status == 0)
        #expect(try Files.bytes(of: "\(directory)/copy") == Files.bytes(of: "\(directory)/late"))
        #expect(
            try await leakprof(
                "top", "late", "--json", "--live-since", "early", directory: directory
            )
            .output.contains("\"inuseObjects\" : 1000"))
        #expect(
            try await leakprof("flamegraph", "late", directory: directory).output
                == "wrote late.svg\n")
        try await Programs.succeed("xmllint", ["--noout", "\(directory)/late.svg"])
        let source = try await leakprof(
            "diff", "early", "late", "--source-dir", BuiltProducts.root, directory: directory)
        #expect(source.output.contains("    void *volatile kept = malloc(1234);\n"))

        let report = try await leakprof(
            "report", "early", "late", "late", "--source-dir", BuiltProducts.root,
            directory: directory)
        #expect(report.output == "wrote early..late.report.html\n")
        let page = try Files.text(of: directory + "/early..late.report.html")
        #expect(page.contains("<mark>"))
        #expect(page.contains("void *volatile kept = malloc(1234);"))
        let markdown = try await leakprof(
            "report", "early", "late", "--markdown", "-o", "-", directory: directory)
        #expect(markdown.output.hasPrefix("# Memory growth of steady-growth (pid "))
        #expect(!markdown.output.contains("malloc(1234)"))
    }

    /// A checkout may hold links, and debug information any name.
    @Test func `source lines are read below the given directory alone`() async throws {
        let recording = try Recording()
        let directory = recording.directory.path
        let sample = try await SampleProgram.build("steady-growth.c")
        _ = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
            try await program.line(startingWith: "grown")
            _ = try await recording.snapshot(of: program, name: "late")
        }
        for folder in ["inside", "linked"] { mkdir("\(directory)/\(folder)", 0o700) }
        try Files.write(
            Array(String(repeating: "secret\n", count: 200).utf8),
            to: directory + "/steady-growth.c")
        symlink(directory + "/steady-growth.c", directory + "/linked/steady-growth.c")
        mkfifo(directory + "/inside/steady-growth.c", 0o600)
        for folder in ["inside", "linked"] {
            let top = try await leakprof(
                "top", "late", "--source-dir", folder, directory: directory)
            #expect(top.status == 0)
            #expect(!top.output.contains("secret"))
        }
        // Otherwise this tests nothing.
        let top = try await leakprof("top", "late", "--source-dir", ".", directory: directory)
        #expect(top.output.contains("    secret\n"))
    }

    @Test func `an output that can't be written leaves nothing behind`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()
        _ = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            let full = try await Programs.run(
                BuiltProducts.leakprof, ["snapshot", "\(program.pid)", "-o", "/dev/full"])
            #expect(full.status == 1)
            #expect(full.errors.contains("No space left on device"))
            let missing = try await Programs.run(
                BuiltProducts.leakprof,
                ["snapshot", "\(program.pid)", "-o", recording.directory.path + "/none/file"])
            #expect(missing.status == 1)
            #expect(missing.errors.contains("No such file or directory"))
        }
        #expect(Files.names(in: recording.directory.path) == [])
    }

    @Test func `doctor finds nothing wrong with a recorded process`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()
        _ = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            let doctor = try await Programs.run(
                BuiltProducts.leakprof, ["doctor", "\(program.pid)"],
                environment: ["LEAKPROF_DIR": recording.directory.path])
            #expect(doctor.status == 0)
            #expect(doctor.output.contains("ok    process \(program.pid) is recorded in"))
            #expect(!doctor.output.contains("FAIL"))
        }
    }
}
