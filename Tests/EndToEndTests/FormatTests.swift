import LeakprofFormats
import LeakprofModel
import LeakprofPprof
import LeakprofTestSupport
import Testing

/// Two snapshots of Samples/steady-growth.c, in a directory that goes with the object.
private struct Growth {
    let recording: Recording
    var directory: String { recording.directory.path }

    init() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()
        _ = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
            try await program.line(startingWith: "grown")
            _ = try await recording.snapshot(of: program, name: "early")
            for _ in 0..<2 {
                try await program.send("\n")
                try await program.line(startingWith: "grown")
            }
            _ = try await recording.snapshot(of: program, name: "late")
        }
        self.recording = recording
    }

    func leakprof(_ arguments: String...) async throws -> String {
        try await Programs.succeed(BuiltProducts.leakprof, arguments, directory: directory)
    }
}

/// What leakprof writes for other tools, read by those.
@Suite(.serialized, .timeLimit(.minutes(10))) struct OtherToolsReadTests {
    @Test func `go tool pprof shows one file as the comparison of two`() async throws {
        let growth = try await Growth()
        _ = try await growth.leakprof("diff", "early", "late", "--pprof", "-o", "both.pb.gz")
        func top(_ arguments: String...) async throws -> [Substring] {
            try await Programs.succeed(
                "go", ["tool", "pprof", "-top", "-unit=B"] + arguments,
                environment: ["PPROF_TMPDIR": growth.directory], directory: growth.directory
            ).split(separator: "\n").drop { !$0.hasPrefix("Showing nodes") }.map { $0 }
        }
        let ours = try await top("both.pb.gz")
        #expect(ours == (try await top("-diff_base", "early", "late")))
        #expect(ours.contains { $0.hasPrefix("  2468000B") && $0.hasSuffix("  grow") })
    }

    @Test func `a comparison as a profile has all four sums, and each frame once`() async throws {
        let growth = try await Growth()
        _ = try await growth.leakprof("diff", "early", "late", "--pprof")
        let both = try ProfileDecoder.decode(
            try Files.bytes(of: growth.directory + "/early..late.diff.pb.gz"))
        let late = try ProfileDecoder.decode(try Files.bytes(of: growth.directory + "/late"))
        #expect(
            both.counts(below: "grow")
                == AllocationCounts(
                    allocObjects: 2000, allocSpace: 2_468_000, inuseObjects: 2000,
                    inuseSpace: 2_468_000))
        #expect(both.mappings == late.mappings)
        #expect(Set(both.locations).count == both.locations.count)
    }

    @Test func `ms_print shows the tree`() async throws {
        let growth = try await Growth()
        _ = try await growth.leakprof("export", "late", "--format", "massif", "-o", "late.massif")
        let printed = try await Programs.succeed(
            "ms_print", ["late.massif"], directory: growth.directory)
        #expect(printed.contains(" Detailed snapshots: [0 (peak)]"))
        #expect(printed.contains("(3,702,000B) 0x"))
        #expect(printed.contains(": grow (steady-growth.c:"))
        #expect(printed.contains(": main (steady-growth.c:"))
    }

    @Test func `spreadsheets and speedscope get the site`() async throws {
        let growth = try await Growth()
        let csv = try await growth.leakprof("export", "late", "--format", "csv")
        #expect(csv.contains("steady-growth,3702000,3000,3702000,3000,0,0,\r\n"))
        let speedscope = try await growth.leakprof("export", "late", "--format", "speedscope")
        #expect(speedscope.contains("\"name\":\"grow\""))
        #expect(speedscope.contains("3702000"))
        let diff = try await growth.leakprof("diff", "early", "late", "--speedscope", "-o", "-")
        #expect(diff.contains("\"name\":\"grown\",\"samples\":[\n"))
        #expect(diff.contains("2468000"))
    }
}

/// A service's own heap profile, by its URL.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ServiceTests {
    /// Samples/markets-go, built once.
    private static let build = Task {
        let directory = try TemporaryDirectory(in: "/tmp")
        try await Programs.succeed(
            "go", ["build", "-trimpath", "-o", directory.path + "/markets-go", "."],
            environment: [
                "GOCACHE": directory.path + "/cache", "GOPATH": directory.path + "/go",
                "GOPROXY": "off", "CGO_ENABLED": "0",
            ], directory: BuiltProducts.root + "/Samples/markets-go")
        return directory
    }

    /// Runs the service, and calls `body` with `http://127.0.0.1:PORT`.
    private func withMarkets(_ body: @Sendable (String) async throws -> Void) async throws {
        let program = try await Self.build.value.path + "/markets-go"
        let (_, status) = try await Programs.with(
            program, environment: ["MARKETS_EXACT": "1"]
        ) { service in
            let line = try await service.line(startingWith: "listening on ")
            try await body("http://" + line.dropFirst("listening on ".count))
        }
        #expect(status == 0)
    }

    @Test func `the growing cache of a Go service is named by file and line`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        @Sendable func leakprof(_ arguments: String...) async throws -> String {
            try await Programs.succeed(
                BuiltProducts.leakprof, arguments, directory: directory.path)
        }
        try await withMarkets { service in
            let heap = service + "/debug/pprof/heap?gc=1"
            // A request by leakprof itself is one like any other; the answer is no profile.
            @Sendable func request(from: Int, to: Int) async throws {
                let keys = "\(service)/keys?from=\(from)&to=\(to)"
                let finished = try await Programs.run(BuiltProducts.leakprof, ["top", keys])
                #expect(finished.errors.contains("neither a pprof profile"))
            }
            try await request(from: 0, to: 10)
            _ = try await leakprof("snapshot", heap, "-o", "early")
            try await request(from: 5, to: 1010)
            _ = try await leakprof("snapshot", heap, "-o", "late")
        }
        let lines = try await leakprof("diff", "early", "late").split(separator: "\n")
        // 1,000 more of 1,024 numbers of 8 bytes. Now and then Go's runtime has a block of its own there, when
        // making one has to help the garbage collector.
        let expected =
            /main.go:38: size=8080 KiB \(\+8000 KiB\), count=10[12][0-9] \(\+10[01][0-9]\), average=81[0-9]+ B/
        #expect(lines[1].contains(expected), "\(lines)")
        #expect(lines[1].contains("main.(*MarketsValueCache).getOrQueryMarketsValues  < "))
        _ = try await leakprof("diff", "early", "late", "--svg", "-o", "diff.svg")
        let image = try Files.text(of: directory.path + "/diff.svg")
        #expect(image.contains("getOrQueryMarketsValues"))
        try await Programs.succeed("xmllint", ["--noout", directory.path + "/diff.svg"])
    }

    @Test func `what a URL holds of secrets shows nowhere`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        try await withMarkets { service in
            let secret = service.replacing("http://", with: "http://me:secret@")
            let heap = secret + "/debug/pprof/heap"
            for arguments in [
                ["snapshot", heap, "-o", "kept"], ["top", heap],
                ["export", heap, "--format", "json"],
                ["diff", heap, heap], ["diff", heap, heap, "--speedscope", "-o", "-"],
                ["top", secret + "/nothing"], ["top", secret],
                ["top", "http://me:secret@127.0.0.1:1/x"],
                ["top", heap, "--live-since", heap], ["top", "http://me:secret@[broken/x"],
            ] {
                let finished = try await Programs.run(
                    BuiltProducts.leakprof, arguments, directory: directory.path)
                #expect(!finished.output.contains("secret"), "\(arguments)")
                #expect(!finished.errors.contains("secret"), "\(arguments): \(finished.errors)")
            }
            let kept = try Files.bytes(of: directory.path + "/kept")
            let plain = try Gzip.decompress(kept, limit: 1 << 30)
            #expect(!String(decoding: plain, as: UTF8.self).contains("secret"))
            let names = Files.names(in: directory.path)
            #expect(!names.contains { $0.contains("secret") }, "\(names)")
        }
    }

    @Test func `each way to get no profile has its message`() async throws {
        try await withMarkets { service in
            for (url, message) in [
                (
                    service + "/nothing",
                    "can't get \(service)/nothing: the server answered with status 404"
                ),
                (service, "has no path; Go's heap profile is at /debug/pprof/heap"),
                (service + "/debug/pprof/goroutine", "not of a heap: it holds goroutine/count"),
                (service + "/redirect?to=file:///etc/hostname", "Protocol \"file\""),
                (service.replacing("http:", with: "https:") + "/x", "can't get https:"),
            ] {
                let finished = try await Programs.run(BuiltProducts.leakprof, ["top", url])
                #expect(finished.status == 1)
                #expect(finished.errors.contains(message), "\(finished.errors)")
                #expect(finished.errors.contains("\n       try: "))
            }
        }
    }
}

/// What other tools write of a real program, read by leakprof.
@Suite(.serialized, .timeLimit(.minutes(10))) struct OtherToolsWriteTests {
    /// Runs Samples/steady-growth.c until it has grown three times, under whatever the command line and the
    /// environment say, and returns the files in its directory that begin with `name`.
    private func grow(
        _ command: [String] = [], environment: [String: String?] = [:],
        in directory: TemporaryDirectory, files name: String
    ) async throws -> [String] {
        let sample = try await SampleProgram.build("steady-growth.c")
        let whole = command + [sample.path]
        let finished = try await Programs.run(
            whole[0], Array(whole.dropFirst()), environment: environment,
            directory: directory.path, input: "1\n2\n3\n")
        #expect(finished.status == 0, "\(finished.errors)")
        return Files.names(in: directory.path).filter { $0.hasPrefix(name) }
    }

    private func top(_ file: String, in directory: TemporaryDirectory) async throws -> [Substring] {
        try await Programs.succeed(
            BuiltProducts.leakprof, ["top", file], directory: directory.path
        ).split(separator: "\n")
    }

    @Test func `gperftools' heap profiler`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let files = try await grow(
            environment: [
                "LD_PRELOAD": "libtcmalloc.so.4", "HEAPPROFILE": directory.path + "/profile",
            ], in: directory, files: "profile")
        let last = try #require(files.last)
        let lines = try await top(last, in: directory)
        #expect(
            lines[1].hasSuffix(
                "steady-growth.c:7: size=3615 KiB, count=3000, average=1234 B     grow  < main"),
            "\(lines)")
        // The tool's own reader says the same.
        let sample = try await SampleProgram.build("steady-growth.c")
        let theirs = try await Programs.succeed(
            "google-pprof", ["--text", "--show_bytes", sample.path, last],
            directory: directory.path)
        #expect(theirs.contains(/3702000 +[0-9.]+% +[0-9.]+% +3702000 +[0-9.]+% grow/))
    }

    @Test func `jemalloc's profiler`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let files = try await grow(
            environment: [
                "LD_PRELOAD": "libjemalloc.so.2",
                "MALLOC_CONF": "prof:true,prof_final:true,lg_prof_sample:0,prof_prefix:"
                    + directory.path + "/je",
            ], in: directory, files: "je")
        let lines = try await top(try #require(files.last), in: directory)
        // Of its size classes, not of what was asked for.
        #expect(lines[1].contains("steady-growth.c:7: size=3"), "\(lines)")
        #expect(lines[1].contains("count=3000"), "\(lines)")
        // The tool's own reader says the same, to the byte.
        let sample = try await SampleProgram.build("steady-growth.c")
        let theirs = try await Programs.succeed(
            "jeprof", ["--text", "--show_bytes", sample.path, try #require(files.last)],
            directory: directory.path)
        let row = try #require(
            theirs.firstMatch(of: /([0-9]+) +[0-9.]+% +[0-9.]+% +[0-9]+ +[0-9.]+% grow/),
            "\(theirs)")
        let bytes = try #require(Int(row.output.1))
        #expect(lines[1].contains(": size=\(bytes / 1024) KiB,"), "\(bytes): \(lines)")
        #expect(bytes % (3000 * 1024) == 3000 * 256, "1280 bytes each")
    }

    /// jeprof and google-pprof make stacks of names of a profile of addresses; nothing gets lost on that way.
    @Test(arguments: ["jeprof", "google-pprof"])
    func `what other readers fold has the same sum`(reader: String) async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let isJemalloc = reader == "jeprof"
        let files = try await grow(
            environment: isJemalloc
                ? [
                    "LD_PRELOAD": "libjemalloc.so.2",
                    "MALLOC_CONF": "prof:true,prof_final:true,lg_prof_sample:0,prof_prefix:"
                        + directory.path + "/profile",
                ]
                : ["LD_PRELOAD": "libtcmalloc.so.4", "HEAPPROFILE": directory.path + "/profile"],
            in: directory, files: "profile")
        let profile = try #require(files.last)
        let sample = try await SampleProgram.build("steady-growth.c")
        let folded = try await Programs.succeed(
            reader, ["--collapsed", sample.path, profile], directory: directory.path)
        try Files.write(Array(folded.utf8), to: directory.path + "/folded")
        let ours = try HeapProfile.decode(try Files.bytes(of: directory.path + "/" + profile))
        let theirs = try HeapProfile.decode(try Files.bytes(of: directory.path + "/folded"))
        #expect(theirs.totals.inuseSpace == ours.totals.inuseSpace)
        let top = try await top("folded", in: directory)
        #expect(top[1].contains(/^grow(<[0-9a-f]+>)?: size=3[67][0-9]{2} KiB/), "\(top)")
    }

    @Test func `jemalloc's samples become estimates`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let files = try await grow(
            environment: [
                "LD_PRELOAD": "libjemalloc.so.2",
                "MALLOC_CONF": "prof:true,prof_final:true,lg_prof_sample:12,prof_prefix:"
                    + directory.path + "/je",
            ], in: directory, files: "je")
        let bytes = try Files.bytes(of: directory.path + "/" + (try #require(files.last)))
        let snapshot = try HeapProfile.decode(bytes)
        let totals = snapshot.totals
        // Its size class is 1280; a thousandth of all runs is further away than five standard errors.
        let error = Double(snapshot.variance.inuseSpace).squareRoot()
        #expect(error > 0)
        let live = try #require(
            snapshot.samples.map(\.counts.inuseSpace).max().map(Double.init))
        #expect(abs(live - 3000 * 1280) < 5 * error, "\(live) ± \(error), of \(totals)")
    }

    @Test func `massif's files and heaptrack's, as massif and folded`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        _ = try await grow(
            [
                "valgrind", "-q", "--tool=massif", "--detailed-freq=1",
                "--massif-out-file=\(directory.path)/massif.out",
            ], in: directory, files: "massif")
        let massif = try await top("massif.out", in: directory)
        #expect(massif[1].contains("steady-growth.c:7: size=3615 KiB"), "\(massif)")
        #expect(massif[1].hasSuffix("grow  < main"))

        let files = try await grow(
            ["heaptrack", "-o", "\(directory.path)/heaptrack"], in: directory, files: "heaptrack")
        try await Programs.succeed(
            "heaptrack_print",
            [
                try #require(files.last), "--print-flamegraph", "leaked.folded",
                "--flamegraph-cost-type", "leaked",
            ], directory: directory.path)
        let folded = try await top("leaked.folded", in: directory)
        #expect(folded[1].hasPrefix("grow: size=3615 KiB"), "\(folded)")
    }

    @Test func `V8's sampling heap profiler`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let script = """
            globalThis.kept = [];
            globalThis.put = function put() { kept.push(new Array(1000).fill(kept)); };
            for (let i = 0; i < 1000; i++) put();
            """
        try Files.write(Array(script.utf8), to: directory.path + "/cache.js")
        try await Programs.succeed(
            "node",
            [
                "--heap-prof", "--heap-prof-interval=4096", "--heap-prof-name=v8.heapprofile",
                "cache.js",
            ], directory: directory.path)
        let lines = try await top("v8.heapprofile", in: directory)
        let match = try #require(
            lines[1].firstMatch(of: /\/cache.js:2: size=(?<size>[0-9]+) KiB/), "\(lines)")
        // 1,000 arrays of 8,016 bytes; the standard error of V8's estimate is 1.4 % of that.
        #expect((7000...8700).contains(Int(match.size) ?? 0), "\(lines)")
        #expect(lines[1].contains("     put  < "), "\(lines)")
    }

    /// The script in docs/formats.md, on a program of its own.
    @Test func `tracemalloc, by the script in the documentation`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let page = try Files.text(of: BuiltProducts.root + "/docs/formats.md")
        let script = try #require(
            page.firstMatch(of: /```python\n((?s).*?)\n```/).map { String($0.output.1) })
        let program = """
            import tracemalloc
            tracemalloc.start(25)
            def put(n): return bytes(n)
            kept = [put(1000 + i) for i in range(100)]
            snapshot = tracemalloc.take_snapshot()

            """
        try Files.write(Array((program + script + "\n").utf8), to: directory.path + "/app.py")
        try await Programs.succeed("python3", ["app.py"], directory: directory.path)
        let lines = try await top("heap.folded", in: directory)
        // 100 bytes objects with headers of 33 bytes: 1000 + … + 1099 + 3300 bytes.
        #expect(lines[1].contains("app.py:3: size=106 KiB"), "\(lines)")
    }

    @Test func `our own graphs and reports come back as the later snapshot`() async throws {
        let growth = try await Growth()
        _ = try await growth.leakprof("diff", "early", "late", "--svg", "-o", "diff.svg")
        _ = try await growth.leakprof("flamegraph", "late", "-o", "late.svg")
        _ = try await growth.leakprof("report", "early", "late", "-o", "report.html")
        _ = try await growth.leakprof("diff", "early", "late", "--json", "-o", "diff.json")
        _ = try await growth.leakprof(
            "export", "late", "--format", "json", "--group-by", "stack", "-o", "late.json")
        let lines = try await growth.leakprof("top", "late").split(separator: "\n")
        let site = lines[1].prefix { $0 != " " }
        for report in ["diff.svg", "late.svg", "report.html", "diff.json", "late.json"] {
            let top = try await growth.leakprof("top", report).split(separator: "\n")
            #expect(top[1].hasPrefix("\(site) size=3615 KiB, count=3000, average=1234 B"), "\(top)")
        }
        let since = try await growth.leakprof("diff", "report.html", "late")
        #expect(since.hasPrefix("nothing grew") || since.contains("+0 B"), "\(since)")
    }

    @Test func `our own speedscope, folded and massif files come back`() async throws {
        let growth = try await Growth()
        for form in ["speedscope", "folded", "massif"] {
            _ = try await growth.leakprof("export", "late", "--format", form, "-o", form)
            let top = try await growth.leakprof("top", form, "--group-by", "function")
            #expect(top.contains("grow"), "\(form)")
            #expect(top.contains("size=3615 KiB"), "\(form)")
        }
    }
}
