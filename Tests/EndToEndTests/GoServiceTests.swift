import LeakprofAnalysis
import LeakprofModel
import LeakprofPprof
import LeakprofTestSupport
import Testing

/// Go services by their process ID alone.
@Suite(.serialized, .timeLimit(.minutes(20))) struct GoServiceTests {
    /// The service asks for keys by HTTP; leakprof's own client does for that, and finds no profile in the answer.
    private func request(_ service: String, from: Int, to: Int) async throws {
        let keys = "\(service)/keys?from=\(from)&to=\(to)"
        let finished = try await Programs.run(BuiltProducts.leakprof, ["top", keys])
        #expect(finished.errors.contains("neither a pprof profile"))
    }

    @Test(arguments: GoToolchain.ends, ["", "noendpoint"])
    func `the growing cache is the first line, with and without an endpoint`(
        go: GoToolchain, tag: String
    ) async throws {
        let program = try await go.build("markets-go", .stripped, tag: tag)
        let directory = try TemporaryDirectory(in: "/tmp")
        @Sendable func leakprof(_ arguments: String...) async throws -> String {
            try await Programs.succeed(
                BuiltProducts.leakprof, arguments, directory: directory.path)
        }
        let (_, status) = try await Programs.with(program) { process in
            let line = try await process.line(startingWith: "listening on ")
            let service = "http://" + line.dropFirst("listening on ".count)
            let pid = "\(process.pid)"
            try await request(service, from: 0, to: 1000)
            _ = try await leakprof("snapshot", pid, "-o", "early")
            _ = try await leakprof("goroutines", pid, "-o", "early.goroutines")
            // 150 MiB, some 300 samples, of which the last garbage collections have seen a part.
            try await request(service, from: 500, to: 20_000)
            _ = try await leakprof("snapshot", pid, "-o", "late")
            _ = try await leakprof("goroutines", pid, "-o", "late.goroutines")
        }
        #expect(status == 0)
        func snapshot(_ name: String) throws -> Snapshot {
            try ProfileDecoder.decode(try Files.bytes(of: "\(directory.path)/\(name)"))
        }
        let diff = SnapshotDiff(base: try snapshot("early"), current: try snapshot("late"))
        let first = try #require(diff.rows.first)
        #expect(first.site.frame.function == "main.(*MarketsValueCache).getOrQueryMarketsValues")
        let growth = diff.current.inuseSpace - diff.base.inuseSpace
        #expect(growth > 30 << 20)
        #expect(Double(first.change.inuseSpace) >= 0.95 * Double(growth))

        let text = try await leakprof("diff", "early", "late").split(separator: "\n")
        #expect(text[1].hasPrefix("markets-go/main.go:38: size="), "\(text)")
        #expect(!text.contains { $0.contains("different runs") }, "\(text)")
        // A connection or two may come and go.
        let goroutines = try await leakprof("goroutines", "early.goroutines", "late.goroutines")
        let change = try #require(
            goroutines.firstMatch(of: /^[0-9]+ goroutines? \((?<change>[-+]?[0-9]+)\)/),
            "\(goroutines)")
        #expect(abs(Int(change.change) ?? 99) <= 3, "\(goroutines)")
    }

    /// Collecting garbage all the while, with new stacks and buckets.
    @Test(arguments: GoToolchain.ends)
    func `a busy program is read whole, again and again`(go: GoToolchain) async throws {
        let program = try await go.build("markets-go", .positionIndependentStripped)
        let directory = try TemporaryDirectory(in: "/tmp")
        let (kept, status) = try await Programs.with(program) { process in
            let line = try await process.line(startingWith: "listening on ")
            let service = "http://" + line.dropFirst("listening on ".count)
            let load = Task {
                for start in stride(from: 0, to: 40_000, by: 4000) {
                    try await request(service, from: start, to: start + 4000)
                }
            }
            var kept: [Int64] = []
            for number in 0..<20 {
                let path = "\(directory.path)/\(number)"
                try await Programs.succeed(
                    BuiltProducts.leakprof, ["snapshot", "\(process.pid)", "-o", path])
                let snapshot = try ProfileDecoder.decode(try Files.bytes(of: path))
                #expect(snapshot.facts.recording?.go?.goroutines != nil)
                kept.append(
                    snapshot.counts(
                        below: "main.(*MarketsValueCache).getOrQueryMarketsValues"
                    ).allocObjects)
            }
            try await load.value
            return kept
        }
        #expect(status == 0)
        // What was allocated is never less than before.
        #expect(kept == kept.sorted())
        #expect((kept.last ?? 0) > 0)
    }

    @Test(arguments: GoToolchain.ends)
    func `a program with cgo has C's memory and Go's in one snapshot`(
        go: GoToolchain
    ) async throws {
        let program = try await go.build("go-cgo", cgo: true)
        let recording = try Recording()
        let (snapshot, status) = try await recording.snapshotWhenReady(program)
        #expect(status == 0)
        #expect(snapshot.isConsistent)
        let ofGo = snapshot.counts(below: "main.keepInGo")
        // 1,000 blocks, and the slices that hold them.
        #expect((1000..<1030).contains(ofGo.inuseObjects))
        #expect((512_000..<600_000).contains(ofGo.inuseSpace))
        let ofC = snapshot.counts(below: "keepInC")
        #expect(ofC.inuseObjects == 500)
        #expect(ofC.inuseSpace == 128_000)
        let recorded = try #require(snapshot.facts.recording)
        #expect(recorded.cutEpoch > 0)
        #expect(recorded.go?.version == "go\(go.version)")
        #expect(snapshot.facts.notes.contains("all of Go's heap was recorded, by Go itself"))
    }

    @Test(arguments: GoToolchain.ends)
    func `a program without a profile of its heap says so`(go: GoToolchain) async throws {
        let program = try await go.build("markets-go", .stripped, tag: "noprofile")
        let (finished, _) = try await Programs.with(program) { process in
            try await process.line(startingWith: "listening on ")
            return try await Programs.run(BuiltProducts.leakprof, ["top", "\(process.pid)"])
        }
        #expect(finished.status == 1)
        #expect(
            finished.errors.contains(
                "its heap profile is off (runtime.MemProfileRate is 0)"), "\(finished.errors)")
        #expect(finished.errors.contains("try: leakprof attach "), "\(finished.errors)")
    }

    /// A program that says it was built with a version whose layout nobody knows yet, else the same.
    @Test func `programs of unknown versions are refused, and doctor says the same`() async throws {
        let go = try #require(GoToolchain.all.last)
        let program = try await go.build("go-leaking-goroutines")
        let directory = try TemporaryDirectory(in: "/tmp")
        let copy = directory.path + "/later"
        var bytes = try Files.bytes(of: program)
        let mark = Array("\u{ff} Go buildinf:".unicodeScalars.map { UInt8($0.value) })
        let start = try #require(bytes.firstRange(of: mark)).lowerBound + 33
        // "go1.27.3" becomes "go1.97.3".
        #expect(bytes[start..<start + 4].elementsEqual("go1.".utf8))
        bytes[start + 4] = UInt8(ascii: "9")
        try Files.write(bytes, to: copy)
        try await Programs.succeed("chmod", ["+x", copy])
        let ((refused, doctor, works), _) = try await Programs.with(copy) { process in
            try await process.line(startingWith: "ready")
            let refused = try await Programs.run(
                BuiltProducts.leakprof, ["snapshot", "\(process.pid)", "-o", "-"])
            let doctor = try await Programs.run(
                BuiltProducts.leakprof, ["doctor", "\(process.pid)"])
            let (works, _) = try await Programs.with(program) { known in
                try await known.line(startingWith: "ready")
                return try await Programs.run(
                    BuiltProducts.leakprof, ["doctor", "\(known.pid)"])
            }
            return (refused, doctor, works)
        }
        #expect(refused.status == 1)
        let reason =
            "it was built with go1.9\(go.version.dropFirst(3)), and what is known is Go 1.19 to 1.27"
        #expect(refused.errors.contains(reason), "\(refused.errors)")
        #expect(refused.errors.contains("/debug/pprof/heap"))
        #expect(doctor.status == 1)
        #expect(doctor.output.contains(reason), "\(doctor.output)")
        #expect(works.status == 0, "\(works.output)\(works.errors)")
        #expect(
            works.output.contains(
                "is a program of go\(go.version): its own heap profile can be read"),
            "\(works.output)")
    }

    @Test(arguments: GoToolchain.all, [GoToolchain.Form.plain, .positionIndependentStripped])
    func `leaking goroutines are told by their statement, and apart from a leaking heap`(
        go: GoToolchain, form: GoToolchain.Form
    ) async throws {
        let program = try await go.build("go-leaking-goroutines", form)
        let directory = try TemporaryDirectory(in: "/tmp")
        @Sendable func leakprof(_ arguments: String...) async throws -> String {
            try await Programs.succeed(
                BuiltProducts.leakprof, arguments, directory: directory.path)
        }
        let (text, status) = try await Programs.with(program) { process in
            try await process.line(startingWith: "ready")
            let pid = "\(process.pid)"
            _ = try await leakprof("goroutines", pid, "-o", "early")
            _ = try await leakprof("snapshot", pid, "-o", "heap")
            for _ in 0..<3 {
                try await process.send("\n")
                try await process.line(startingWith: "begun")
            }
            return (
                alone: try await leakprof("goroutines", pid, "-o", "late"),
                both: try await leakprof("goroutines", "early", "late"),
                heap: try await leakprof("diff", "heap", pid)
            )
        }
        #expect(status == 0)
        let source = "go-leaking-goroutines/main.go"
        let alone = text.alone.split(separator: "\n")
        // The main one, the one in keepAlive, and 300 that wait.
        #expect(alone[0].hasPrefix("302 goroutines   pid "), "\(alone)")
        #expect(alone[0].hasSuffix(" go-leaking-goroutines, go\(go.version)"), "\(alone)")
        #expect(
            alone[1] == "\(source):22: count=300     main.request  chan receive 300", "\(alone)")
        #expect(alone.contains { $0.hasPrefix("[main goroutine]: count=1  ") }, "\(alone)")
        #expect(
            alone.contains("\(source):31: count=1     main.keepAlive  sleep 1"), "\(alone)")
        let both = text.both.split(separator: "\n")
        #expect(both[0].hasPrefix("302 goroutines (+300)   pid "), "\(both)")
        let grown = "\(source):22: count=300 (+300)     main.request  chan receive 300 (+300)"
        #expect(both.dropFirst() == [grown[...]], "\(both)")
        #expect(text.heap.contains("goroutines: 2, then 302"), "\(text.heap)")

        // Go's own tool takes the file.
        let raw = try await Programs.succeed(
            "go", ["tool", "pprof", "-raw", "late"],
            environment: ["PPROF_TMPDIR": directory.path], directory: directory.path)
        #expect(raw.contains("goroutine/count"))
        #expect(raw.contains(/300: [0-9 ]+\n +state:\[chan receive\]/), "\(raw)")
        // What holds goroutines is no heap, and the reverse.
        for (command, file, message) in [
            ("top", "late", "not of a heap: it holds goroutine/count"),
            ("goroutines", "heap", "it holds no goroutines that leakprof wrote down"),
        ] {
            let finished = try await Programs.run(
                BuiltProducts.leakprof, [command, file], directory: directory.path)
            #expect(finished.status == 1)
            #expect(finished.errors.contains(message), "\(finished.errors)")
        }
    }
}
