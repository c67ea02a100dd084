import Glibc
import LeakprofModel
import LeakprofTestSupport
import Testing

@Suite(.serialized) struct ExactnessTests {
    private static let flags = SampleProgram.defaultFlags + ["-pthread"]

    /// Many pairs, some freed by other threads than allocated them: nothing drifts.
    @Test(
        .timeLimit(.minutes(10)),
        arguments: [(1, 10_000_000, 1), (8, 10_000_000, 4001), (16, 100_000_000, 40)])
    func `counts and bytes are exact after many pairs`(threads: Int, pairs: Int64, size: Int)
        async throws
    {
        let sample = try await SampleProgram.build("exact-sites.c", flags: Self.flags)
        let recording = try Recording(["LEAKPROF_MODE": "exact"])

        let (snapshot, status) = try await recording.snapshotWhenReady(
            sample.path, ["1000", "\(threads)", "\(pairs)", "\(size)"])

        #expect(status == 0)
        for (more, site) in ["first_site", "second_site", "third_site"].enumerated() {
            let counts = snapshot.counts(below: site)
            #expect(counts.inuseObjects == 1000, "\(site)")
            #expect(counts.inuseSpace == Int64(1000 * (size + more)), "\(site)")
        }
        #expect(snapshot.counts(below: "third_site").allocObjects == 2000)
        let churn = snapshot.counts(below: "churn_site")
        #expect(churn.allocObjects == pairs)
        #expect(churn.inuseObjects == 0)
        #expect(churn.inuseSpace == 0)
        let statistics = snapshot.facts.recording?.statistics ?? [:]
        #expect(
            statistics.keys.filter { $0.hasPrefix("dropped") || $0.hasPrefix("replaced") }.isEmpty)
    }

    /// With a region too small for all stacks, blocks are counted without; nothing else is missing.
    @Test(.timeLimit(.minutes(10)), arguments: ["256KiB", "16MiB"])
    func `blocks are counted also where there is no room for their stacks`(region: String)
        async throws
    {
        let sample = try await SampleProgram.build("many-stacks.c")
        let recording = try Recording(["LEAKPROF_REGION_SIZE": region])

        let (snapshot, status) = try await recording.snapshotWhenReady(sample.path, ["14"])

        #expect(status == 0)
        let blocks = snapshot.samples.filter {
            $0.counts.allocSpace == 100 * $0.counts.allocObjects
        }
        // And a few of the C library's.
        #expect((2 << 14...(2 << 14) + 20).contains(snapshot.totals.inuseObjects))
        let lost = snapshot.facts.recording?.statistics["stacks_lost"] ?? 0
        if region == "16MiB" {
            #expect(lost == 0)
            #expect(blocks.count == 1 << 14)
        } else {
            #expect(lost > 10_000)
            #expect(blocks.count > 100)
        }
    }

    /// What the sample says it has live at each of its ten sites, and a snapshot.
    private func sampledSites(_ variables: [String: String]) async throws -> (
        snapshot: Snapshot, truths: [String: (objects: Double, bytes: Double)]
    ) {
        let sample = try await SampleProgram.build("sampled-sites.c")
        let recording = try Recording(variables)
        let (result, status) = try await recording.with(sample.path, ["\(1 << 30)"]) { program in
            var truths: [String: (objects: Double, bytes: Double)] = [:]
            while true {
                let fields = try await program.line().split(separator: " ")
                if fields == ["ready"] { break }
                truths[String(fields[0])] = (Double(fields[1]) ?? 0, Double(fields[2]) ?? 0)
            }
            let snapshot = try await recording.snapshot(of: program)
            try await program.send("\n")
            return (snapshot: snapshot, truths: truths)
        }
        #expect(status == 0)
        #expect(result.truths.count == 10)
        let isSampled = result.snapshot.isSampled
        #expect(isSampled)
        return result
    }

    /// Each of ten sites within so many of the standard errors the snapshot states.
    private func expect(
        _ snapshot: Snapshot, within errors: Double,
        of truths: [String: (objects: Double, bytes: Double)]
    ) {
        for (site, truth) in truths {
            let samples = snapshot.samples.filter { snapshot.functions(of: $0).contains(site) }
            let counts = samples.reduce(into: AllocationCounts.zero) { $0 += $1.counts }
            let variance = samples.reduce(into: SamplingVariance.zero) { $0 += $1.variance }
            let bytesError = Double(variance.inuseSpace).squareRoot()
            let objectsError = Double(variance.inuseObjects).squareRoot()
            #expect(abs(Double(counts.inuseSpace) - truth.bytes) <= errors * bytesError, "\(site)")
            #expect(
                abs(Double(counts.inuseObjects) - truth.objects) <= errors * objectsError, "\(site)"
            )
        }
    }

    /// 64 KiB over 1 GiB.
    @Test(.timeLimit(.minutes(10))) func `sampled sums are within three standard errors`()
        async throws
    {
        let (snapshot, truths) = try await sampledSites([
            "LEAKPROF_MODE": "sampled", "LEAKPROF_INTERVAL": "64KiB", "LEAKPROF_SEED": "7",
        ])

        expect(snapshot, within: 3, of: truths)
        #expect(snapshot.facts.period == 65536)
    }

    /// Where the live table may not grow, exact becomes sampled, several times over.
    @Test(.timeLimit(.minutes(10)), arguments: [1, 2, 3])
    func `what was thinned out to save memory is estimated without bias`(seed: Int) async throws {
        let (snapshot, truths) = try await sampledSites([
            "LEAKPROF_MODE": "exact", "LEAKPROF_MAX_MEMORY": "4MiB", "LEAKPROF_SEED": "\(seed)",
        ])

        // Where blocks lie decides about their fate, so the numbers differ from run to run.
        expect(snapshot, within: 4.5, of: truths)
        let recording = try #require(snapshot.facts.recording)
        #expect(recording.liveTableBytes <= 4 << 20)
        #expect(recording.statistics["thinned_blocks", default: 0] > 1000)
        // One block was dropped, and said, each time the table was full.
        #expect(recording.statistics["dropped_no_memory", default: 0] <= 10)
    }

    /// Threads free each other's blocks while others are thinned out: what is all freed is all counted.
    @Test(.timeLimit(.minutes(10)), arguments: 1...5)
    func `nothing is counted twice while blocks are thinned out`(round: Int) async throws {
        let size = round % 2 == 0 ? 101 : 1001
        let sample = try await SampleProgram.build("exact-sites.c", flags: Self.flags)
        let recording = try Recording([
            "LEAKPROF_MODE": "exact", "LEAKPROF_MAX_MEMORY": "4MiB", "LEAKPROF_SEED": "\(round)",
        ])

        let (snapshot, status) = try await recording.snapshotWhenReady(
            sample.path, ["100000", "8", "3000000", "\(size)"])

        #expect(status == 0)
        let statistics = try #require(snapshot.facts.recording).statistics
        #expect(statistics["thinned_blocks", default: 0] > 1000)
        let churn = snapshot.counts(below: "churn_site")
        #expect(churn.inuseObjects == 0)
        #expect(churn.inuseSpace == 0)
        // On a busy machine, the thread that makes room may have to wait while others allocate.
        let dropped = Double(statistics["dropped_no_memory_bytes", default: 0])
        for (more, site) in ["first_site", "second_site", "third_site"].enumerated() {
            let samples = snapshot.samples.filter { snapshot.functions(of: $0).contains(site) }
            let counts = samples.reduce(into: AllocationCounts.zero) { $0 += $1.counts }
            let variance = samples.reduce(into: SamplingVariance.zero) { $0 += $1.variance }
            let error = Double(variance.inuseSpace).squareRoot()
            #expect(
                abs(Double(counts.inuseSpace) - 100_000 * Double(size + more)) <= 4.5 * error
                    + dropped,
                "\(site)")
        }
    }

    /// Asks again and again, until the test's time is up, whether auto mode samples and costs little.
    @Test(.timeLimit(.minutes(10))) func `auto settles below its budget, and stays exact at rest`()
        async throws
    {
        let sample = try await SampleProgram.build("churn.c")
        let recording = try Recording(["LEAKPROF_MODE": "auto"])
        func facts(of program: RunningProgram) async throws -> [String: String] {
            let lines = try await Programs.succeed(
                BuiltProducts.leakprof, ["inspect", "\(program.pid)"],
                environment: ["LEAKPROF_DIR": recording.directory.path])
            return lines.split(separator: "\n").reduce(into: [:]) { facts, line in
                for name in ["interval", "recording cost"] where line.hasPrefix(name + "  ") {
                    facts[name] = line.dropFirst(name.count).drop { $0 == " " }.description
                }
            }
        }

        let (interval, busy) = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            while true {
                let facts = try await facts(of: program)
                let interval = facts["interval"].flatMap { Int($0) }
                let cost = facts["recording cost"]?.split(separator: " ").first.flatMap {
                    Double($0)
                }
                if let interval, let cost, interval > 0, cost <= 3 {
                    try await program.send("\n")
                    return interval
                }
            }
        }
        #expect(interval >= 4096)
        #expect(busy == 0)

        let (atRest, status) = try await recording.with(sample.path, ["rest"]) { program in
            try await program.line(startingWith: "ready")
            let facts = try await facts(of: program)
            try await program.send("\n")
            return facts["interval"]
        }
        #expect(atRest == "0 (every block)")
        #expect(status == 0)
    }

    @Test(.timeLimit(.minutes(10))) func `what was live when the process was killed can be read`()
        async throws
    {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()

        let (pid, status) = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            for _ in 0..<3 {
                try await program.send("\n")
                try await program.line(startingWith: "grown")
            }
            program.signal(SIGKILL)
            return program.pid
        }

        #expect(status == 128 + SIGKILL)
        let region = try #require(recording.regions.first)
        let snapshot = try await recording.snapshot(region)
        #expect(snapshot.blocksBySize[1234] == 3000)
        #expect(snapshot.counts(below: "grow").inuseObjects == 3000)
        #expect(snapshot.facts.recording?.state == "killed")
        // The process ID finds it too.
        #expect(try await recording.snapshot("\(pid)") == snapshot)
    }

    @Test(.timeLimit(.minutes(10))) func `stacks through code without frame pointers are complete`()
        async throws
    {
        let library = try await SampleProgram.build(
            "callback-library.c",
            flags: ["-O2", "-fomit-frame-pointer", "-shared", "-fPIC", "-g"], suffix: ".so")
        let sample = try await SampleProgram.build(
            "through-library.c", flags: SampleProgram.defaultFlags + [library.path])
        let recording = try Recording()

        let (snapshot, status) = try await recording.with(sample.path) { program in
            _ = try await program.line()
            let snapshot = try await recording.snapshot(of: program)
            try await program.send("\n")
            return snapshot
        }

        #expect(status == 0)
        let leak = try #require(snapshot.samples.first { $0.counts.inuseSpace == 6001 })
        let functions = snapshot.functions(of: leak)
        #expect(functions.first == "leaking_callback")
        #expect(functions.count { $0 == "through_library" } == 10)
        #expect(functions.contains("main"))
        #expect(functions.last == "_start")
    }
}
