import Glibc
import LeakprofAnalysis
import LeakprofModel
import LeakprofPprof
import LeakprofTestSupport
import Testing

/// Go programs whose sampling leakprof switches while they run.
@Suite(.serialized, .timeLimit(.minutes(20))) struct GoAttachTests {
    /// Where attach keeps what was there before, and snapshots lie.
    private struct Stage {
        let directory: TemporaryDirectory

        init() throws { directory = try TemporaryDirectory(in: "/tmp") }

        var recordings: String { directory.path + "/recordings" }
        var baselines: [String] { Files.names(in: recordings) }

        func run(_ arguments: [String], recordings: String? = nil) async throws -> Finished {
            try await Programs.run(
                BuiltProducts.leakprof, arguments,
                environment: ["LEAKPROF_DIR": recordings ?? self.recordings],
                directory: directory.path)
        }

        @discardableResult
        func leakprof(_ arguments: String...) async throws -> String {
            let finished = try await run(arguments)
            guard finished.status == 0 else {
                throw TestFailure("\(arguments): \(finished.errors)")
            }
            return finished.output
        }

        func snapshot(_ name: String) throws -> Snapshot {
            try ProfileDecoder.decode(try Files.bytes(of: "\(directory.path)/\(name)"))
        }

        /// The address and the value that attach says there are at present.
        func rate(_ pid: Int32) async throws -> (address: String, value: Int64) {
            let refused = try await run(["attach", "\(pid)", "--interval", "12345"])
            let match = try #require(
                refused.errors.firstMatch(
                    of:
                        /runtime.MemProfileRate at (?<address>0x[0-9a-f]+) from (?<value>[0-9]+) to 12345;/
                ), "\(refused.errors)")
            #expect(refused.status == 1)
            return (String(match.address), try #require(Int64(match.value)))
        }
    }

    /// What the process itself has at an address.
    private func word(_ pid: Int32, at address: String) throws -> Int64 {
        let number = try #require(Int64(address.dropFirst(2), radix: 16))
        let memory = open("/proc/\(pid)/mem", O_RDONLY | O_CLOEXEC)
        defer { close(memory) }
        var value: Int64 = -1
        let got = withUnsafeMutableBytes(of: &value) {
            pread(memory, $0.baseAddress, 8, off_t(number))
        }
        #expect(got == 8)
        return value
    }

    private func request(_ service: String, from: Int, to: Int) async throws {
        // leakprof's own client asks, and finds no profile in the answer.
        let keys = "\(service)/keys?from=\(from)&to=\(to)"
        let finished = try await Programs.run(BuiltProducts.leakprof, ["top", keys])
        #expect(finished.errors.contains("neither a pprof profile"))
    }

    private func service(_ process: RunningProgram) async throws -> String {
        let line = try await process.line(startingWith: "listening on ")
        return "http://" + line.dropFirst("listening on ".count)
    }

    @Test(
        arguments: GoToolchain.ends, [GoToolchain.Form.plain, .positionIndependentStripped])
    func `a leak is named in a program that can't profile itself`(
        go: GoToolchain, form: GoToolchain.Form
    ) async throws {
        let program = try await go.build("markets-go", form, tag: "noprofile")
        let stage = try Stage()
        let (texts, status) = try await Programs.with(program) { process in
            let service = try await service(process)
            let pid = "\(process.pid)"
            // Nothing of this is seen.
            try await request(service, from: 0, to: 5000)
            let (address, before) = try await stage.rate(process.pid)
            #expect(before == 0)
            #expect(stage.baselines.isEmpty)
            #expect(try word(process.pid, at: address) == 0)
            let attached = try await stage.leakprof(
                "attach", pid, "--write", "--interval", "64KiB")
            #expect(
                attached.contains(
                    "wrote 8 bytes into process \(pid): runtime.MemProfileRate at \(address) from 0 to 65536"
                ), "\(attached)")
            #expect(try word(process.pid, at: address) == 65536)
            try await request(service, from: 5000, to: 6000)
            try await stage.leakprof("snapshot", pid, "-o", "early")
            try await request(service, from: 5500, to: 45_000)
            try await stage.leakprof("snapshot", pid, "-o", "late")
            let diff = try await stage.leakprof("diff", "early", "late")
            let detached = try await stage.leakprof("detach", pid)
            #expect(
                detached.contains("MemProfileRate at \(address) from 65536 to 0"),
                "\(detached)")
            #expect(try word(process.pid, at: address) == 0)
            #expect(stage.baselines.isEmpty)
            let again = try await stage.run(["detach", pid])
            #expect(again.status == 1)
            #expect(again.errors.contains("leakprof is not attached to it"), "\(again.errors)")
            try await stage.leakprof("snapshot", pid, "-o", "after")
            let after = try await stage.leakprof("top", pid)
            return (diff: diff, after: after)
        }
        #expect(status == 0)
        let lines = texts.diff.split(separator: "\n")
        #expect(lines[1].hasPrefix("markets-go/main.go:38: size="), "\(texts.diff)")
        #expect(!texts.diff.contains("different runs"))
        #expect(
            texts.diff.contains(
                /note: since attach at [-0-9]+ [:0-9]+ UTC: what was allocated before is not seen, when [0-9.]+ MiB were resident/
            ), "\(texts.diff)")
        #expect(texts.after.contains("recording off: MemProfileRate is 0"), "\(texts.after)")
        #expect(
            try stage.snapshot("after").facts.notes.contains {
                $0.hasPrefix("runtime.MemProfileRate is 0 now, and what it was before is not known")
            })
        let late = try stage.snapshot("late")
        #expect(late.facts.period == 65536)
        let attachment = try #require(late.facts.recording?.go?.attachment)
        #expect(attachment.oldRate == 0)
        #expect(attachment.newRate == 65536)
        #expect(attachment.buckets == nil)
        // 40 MiB before attach, of which nothing is seen, 8 MiB since, and then 312 MiB, of which the last garbage
        // collections have seen a part.
        let function = "main.(*MarketsValueCache).getOrQueryMarketsValues"
        let early = try stage.snapshot("early").counts(below: function)
        #expect(early.allocSpace < 16 << 20, "\(early)")
        let kept = late.counts(below: function)
        #expect((16 << 20..<360 << 20).contains(kept.allocSpace), "\(kept)")
    }

    // MARK: Programs that sample by themselves

    /// Runs Samples/go-attach, which does what it is told to, and answers.
    private func controlled<Result: Sendable>(
        _ go: GoToolchain,
        body: (RunningProgram, _ tell: (String...) async throws -> Void) async throws -> Result
    ) async throws -> Result {
        let program = try await go.build("go-attach")
        // What a processor is to sample next, it has drawn at the rate of before.
        let (result, status) = try await Programs.with(
            program, environment: ["GOMAXPROCS": "1"]
        ) { process in
            try await process.line(startingWith: "ready")
            return try await body(process) { (lines: String...) in
                for line in lines {
                    try await process.send(line + "\n")
                    try await process.line(startingWith: "done")
                }
            }
        }
        #expect(status == 0)
        return result
    }

    private func standardError(_ snapshot: Snapshot, below function: String) -> Double {
        Double(
            snapshot.samples.filter { snapshot.functions(of: $0).contains(function) }
                .reduce(into: SamplingVariance.zero) { $0 += $1.variance }.inuseObjects
        ).squareRoot()
    }

    @Test(arguments: GoToolchain.all)
    func `what was sampled at either rate is scaled by it`(go: GoToolchain) async throws {
        let stage = try Stage()
        try await controlled(go) { process, tell in
            let pid = "\(process.pid)"
            try await tell("small 400000", "large 8000", "collect")
            try await stage.leakprof("snapshot", pid, "-o", "before")
            #expect(try await stage.rate(process.pid).value == 524_288)
            try await stage.leakprof("attach", pid, "--write", "--interval", "4KiB")
            try await stage.leakprof("snapshot", pid, "-o", "attached")
            try await tell("garbage", "small 200000", "collect")
            try await stage.leakprof("snapshot", pid, "-o", "since")
            try await tell("drop-large 4000", "collect")
            try await stage.leakprof("snapshot", pid, "-o", "freed")
            try await tell("drop-small 200000", "collect")
            try await stage.leakprof("snapshot", pid, "-o", "ambiguous")
            let text = try await stage.leakprof("top", pid)
            #expect(
                text.contains(
                    /note: sampled every 4096 B since attach at .* UTC, every 512 KiB before/),
                "\(text)")
            #expect(text.contains(/so that what is live may be off by [0-9.]+ MiB/), "\(text)")
            try await stage.leakprof("detach", pid)
            #expect(try await stage.rate(process.pid).value == 524_288)
        }
        let (small, large) = ("main.keepSmall", "main.keepLarge")
        let before = try stage.snapshot("before")
        let attached = try stage.snapshot("attached")
        #expect(attached.samples == before.samples)
        let kept = before.counts(below: small)
        #expect(
            abs(Double(kept.inuseObjects) - 400_000) < 5 * standardError(before, below: small))

        // As many as there were before, by the old rate, and 200,000 by the new one.
        let since = try stage.snapshot("since")
        let grown = since.counts(below: small).inuseObjects - kept.inuseObjects
        #expect(abs(Double(grown) - 200_000) < 5 * (200_000 * 7.5).squareRoot(), "\(grown)")
        #expect(
            abs(standardError(since, below: small) - standardError(before, below: small)) < 2000)
        #expect(since.counts(below: large) == before.counts(below: large))
        #expect(since.facts.recording?.go?.attachment?.ambiguousBytes == 0)
        #expect(since.facts.period == 4096)

        // Nothing was allocated there since, so what is freed is of before.
        let freed = try stage.snapshot("freed")
        #expect(freed.facts.recording?.go?.attachment?.ambiguousBytes == 0)
        #expect(
            abs(Double(freed.counts(below: large).inuseObjects) - 4000)
                < 5 * standardError(freed, below: large))
        #expect(freed.counts(below: small) == since.counts(below: small))

        // 200,000 of before were dropped; they are taken for younger ones, and that is said.
        let ambiguous = try stage.snapshot("ambiguous")
        let bytes = try #require(ambiguous.facts.recording?.go?.attachment?.ambiguousBytes)
        let excess =
            Double(ambiguous.counts(below: small).inuseObjects - 400_000) * 512
        let error = standardError(before, below: small) * 512
        #expect(excess > error)
        #expect(abs(excess - Double(bytes)) < 5 * error, "\(excess), \(bytes)")
        for snapshot in [before, attached, since, freed, ambiguous] {
            #expect(snapshot.isConsistent)
        }
    }

    @Test func `what attach keeps is a snapshot of before, for its user alone`() async throws {
        let stage = try Stage()
        let go = try #require(GoToolchain.all.last)
        try await controlled(go) { process, tell in
            let pid = "\(process.pid)"
            try await tell("small 100000", "collect")
            try await stage.leakprof("snapshot", pid, "-o", "before")
            try await stage.leakprof("attach", pid, "--write", "--interval", "64KiB")
            let name = try #require(stage.baselines.first)
            #expect(stage.baselines.count == 1)
            #expect(name.hasPrefix(pid + ".") && name.hasSuffix(".baseline"))
            var status = stat()
            #expect(lstat("\(stage.recordings)/\(name)", &status) == 0)
            #expect(status.st_mode & 0o7777 == 0o600)
            #expect(lstat(stage.recordings, &status) == 0)
            #expect(status.st_mode & 0o7777 == 0o700)
            let baseline = try stage.snapshot("recordings/" + name)
            let before = try stage.snapshot("before")
            #expect(baseline.samples == before.samples)
            #expect(baseline.facts.period == 524_288)
            let attachment = try #require(baseline.facts.recording?.go?.attachment)
            #expect(attachment.oldRate == 524_288)
            #expect(attachment.newRate == 65536)
            #expect(attachment.buckets?.isEmpty == false)
            let text = try await stage.leakprof("top", "recordings/" + name)
            #expect(!text.contains("since attach"), "\(text)")
            // For others, it has no addresses.
            try await stage.leakprof(
                "export", "recordings/" + name, "--format", "pprof", "--redact", "-o", "shown")
            #expect(try stage.snapshot("shown").facts.recording?.go?.attachment == nil)
            try await stage.leakprof("snapshot", pid, "-o", "since")
            #expect(try stage.snapshot("since").facts.recording?.go?.attachment?.image == "")
        }
    }

    // MARK: Refusals, in which nothing is written

    @Test func `attach says why it does not write`() async throws {
        let stage = try Stage()
        let go = try #require(GoToolchain.all.last)
        try await controlled(go) { process, tell in
            let pid = "\(process.pid)"
            let (address, _) = try await stage.rate(process.pid)
            func expectRefusal(
                _ arguments: [String], recordings: String? = nil, _ words: String...,
                rate: Int64 = 524_288
            ) async throws {
                let refused = try await stage.run(arguments, recordings: recordings)
                #expect(refused.status != 0, "\(arguments)")
                for word in words { #expect(refused.errors.contains(word), "\(refused.errors)") }
                #expect(try word(process.pid, at: address) == rate, "\(arguments)")
            }
            let write = ["attach", pid, "--write", "--interval", "4096"]
            try await expectRefusal(
                ["attach", pid, "--interval", "4096"],
                "8 bytes have to be written into process \(pid): runtime.MemProfileRate at \(address) from 524288 to 4096; nothing was written",
                "try: leakprof attach \(pid) --interval 4096 --write")
            try await expectRefusal(
                ["attach", pid, "--write"], "it samples every 524288 bytes already",
                "try: leakprof snapshot \(pid)")
            for interval in ["0", "2TiB", "1025GiB", "9223372036854775807GiB", "x"] {
                try await expectRefusal(
                    ["attach", pid, "--write", "--interval", interval],
                    "--interval \(interval) is not a size")
            }
            // Where nothing can be kept, nothing is written.
            let open = stage.directory.path + "/open"
            mkdir(open, 0o700)
            chmod(open, 0o777)
            try await expectRefusal(
                write, recordings: open, "\(open): it is writable for others; nothing was written",
                "try: LEAKPROF_DIR=DIR leakprof attach \(pid)")
            #expect(Files.names(in: open).isEmpty)
            let link = stage.directory.path + "/link"
            symlink(stage.directory.path, link)
            try await expectRefusal(write, recordings: link, "can't open \(link)")
            try await expectRefusal(
                write, recordings: "/proc/recordings", "can't make /proc/recordings")

            try await stage.leakprof("attach", pid, "--write", "--interval", "4096")
            #expect(try word(process.pid, at: address) == 4096)
            try await expectRefusal(
                ["attach", pid, "--write", "--interval", "8192"], "it is attached already",
                "rate 524288 was replaced by 4096", "first leakprof detach \(pid)", rate: 4096)

            // What others could have written is not believed.
            let kept = "\(stage.recordings)/\(try #require(stage.baselines.first))"
            chmod(kept, 0o666)
            try await expectRefusal(
                ["snapshot", pid, "-o", "x"], "can't read \(kept)",
                "it is not a file that leakprof attach wrote for this user", rate: 4096)
            chmod(kept, 0o600)
            let moved = stage.directory.path + "/moved"
            #expect(rename(kept, moved) == 0)
            symlink(moved, kept)
            try await expectRefusal(["detach", pid], "can't read \(kept)", rate: 4096)
            try Files.write(Array("LEAKPROF".utf8), to: moved)
            #expect(rename(moved, kept) == 0)
            chmod(kept, 0o600)
            try await expectRefusal(["detach", pid], "can't read \(kept)", rate: 4096)
            unlink(kept)
            try await tell("rate 524288")
            try await stage.leakprof("attach", pid, "--write", "--interval", "4096")

            // What the program sets itself stays.
            try await tell("rate 1000", "small 1000")
            try await stage.leakprof("snapshot", pid, "-o", "changed")
            #expect(
                try stage.snapshot("changed").facts.notes.contains {
                    $0.hasPrefix("runtime.MemProfileRate is 1000 and not 4096, as attach wrote")
                })
            let detached = try await stage.leakprof("detach", pid)
            #expect(
                detached.contains(
                    "wrote nothing into process \(pid): runtime.MemProfileRate is 1000 and not 4096"
                ),
                "\(detached)")
            #expect(try word(process.pid, at: address) == 1000)
            #expect(stage.baselines.isEmpty)
            try await tell("rate 524288")
        }
        let shim = try await stage.run(["attach", "\(getpid())", "--write"])
        #expect(shim.status == 1)
        let nobody = try await stage.run(["attach", "999999999", "--write"])
        #expect(nobody.errors.contains("there is no process 999999999"), "\(nobody.errors)")
    }

    @Test func `where the symbol table and the code differ, nothing is written`() async throws {
        let stage = try Stage()
        let go = try #require(GoToolchain.all.last)
        let program = try await go.build("go-attach")
        let address = try await controlled(go) { process, _ in
            try await stage.rate(process.pid).address
        }
        // Of a symbol, its address and its size follow each other (Elf64_Sym).
        let number = try #require(UInt64(address.dropFirst(2), radix: 16))
        func bytes(_ number: UInt64) -> [UInt8] {
            (0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
        }
        var file = try Files.bytes(of: program)
        let place = try #require(file.firstRange(of: bytes(number) + bytes(8))).lowerBound
        file.replaceSubrange(place..<place + 8, with: bytes(number + 8))
        let copy = stage.directory.path + "/misleading"
        try Files.write(file, to: copy)
        try await Programs.succeed("chmod", ["+x", copy])
        let (_, status) = try await Programs.with(copy) { process in
            try await process.line(startingWith: "ready")
            let neighbour = "0x" + String(number + 8, radix: 16)
            let before = try word(process.pid, at: neighbour)
            let refused = try await stage.run(
                ["attach", "\(process.pid)", "--write", "--interval", "4096"])
            #expect(refused.status == 1)
            #expect(
                refused.errors.contains(
                    "its symbol table and its code have runtime.MemProfileRate at different places"),
                "\(refused.errors)")
            #expect(try word(process.pid, at: address) == 524_288)
            #expect(try word(process.pid, at: neighbour) == before)
            #expect(stage.baselines.isEmpty)
        }
        #expect(status == 0)
    }

    /// Needs root, which alone can act as somebody else.
    @Test func `another user's process is not attached`() async throws {
        let stage = try Stage()
        let go = try #require(GoToolchain.all.last)
        try await Programs.succeed("cp", [BuiltProducts.leakprof, stage.directory.path])
        chmod(stage.directory.path, 0o755)
        try await controlled(go) { process, _ in
            let address = try await stage.rate(process.pid).address
            let refused = try await Programs.run(
                "setpriv",
                [
                    "--reuid", "54321", "--regid", "54321", "--clear-groups", "--",
                    stage.directory.path + "/leakprof", "attach", "\(process.pid)", "--write",
                    "--interval", "4096",
                ])
            #expect(refused.status == 1)
            #expect(refused.errors.contains("process \(process.pid)"), "\(refused.errors)")
            #expect(refused.errors.contains("try: "))
            #expect(try word(process.pid, at: address) == 524_288)
        }
    }

    // MARK: Processes that are gone

    @Test func `what was kept of another run is not taken for this one's`() async throws {
        let stage = try Stage()
        let go = try #require(GoToolchain.all.last)
        let ended = try await controlled(go) { process, tell in
            let pid = "\(process.pid)"
            let write = ["attach", pid, "--write", "--interval", "4096"]
            func attach() async throws -> String {
                let finished = try await stage.run(write)
                #expect(finished.status == 0, "\(finished.errors)")
                return try #require(stage.baselines.first)
            }
            try await tell("small 1000")
            let first = try await attach()
            // As if the number had been another process's, which had been attached.
            let parts = first.split(separator: ".")
            let other = "\(parts[0]).\((UInt64(parts[1]) ?? 0) - 1).baseline"
            #expect(rename("\(stage.recordings)/\(first)", "\(stage.recordings)/\(other)") == 0)
            try await stage.leakprof("snapshot", pid, "-o", "other")
            #expect(try stage.snapshot("other").facts.recording?.go?.attachment == nil)
            let removed = try await stage.leakprof("detach", pid)
            #expect(
                removed.contains(
                    "the program that was attached as process \(pid) has ended: removed \(stage.recordings)/\(other)"
                ), "\(removed)")
            #expect(stage.baselines.isEmpty)

            // The same process, and another program.
            try await tell("rate 524288")
            _ = try await attach()
            try await process.send("exec\n")
            try await process.line(startingWith: "ready")
            #expect(try await stage.rate(process.pid).value == 524_288)
            try await stage.leakprof("snapshot", pid, "-o", "anew")
            #expect(try stage.snapshot("anew").facts.recording?.go?.attachment == nil)
            _ = try await attach()
            #expect(stage.baselines.count == 1)
            return pid
        }
        #expect(stage.baselines.count == 1)
        let detached = try await stage.leakprof("detach", ended)
        #expect(detached.contains("has ended: removed"), "\(detached)")
        #expect(stage.baselines.isEmpty)
        let again = try await stage.run(["detach", ended])
        #expect(again.errors.contains("there is no process \(ended)"), "\(again.errors)")
    }
}
