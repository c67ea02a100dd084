import LeakprofAnalysis
import LeakprofModel
import LeakprofTestSupport
import Testing

@testable import LeakprofReport

/// Two snapshots of one run in which a cache grew, a buffer shrank, and the rest stayed.
enum ReportFixture {
    static var base: Snapshot {
        var fixture = SnapshotFixture()
        fixture.add(
            ["main app.cpp:10", "serve app.cpp:40", "Cache::put(int) cache.cpp:42"], blocks: 100,
            size: 4096)
        fixture.add(
            ["main app.cpp:10", "serve app.cpp:41", "parse parse.c:7"], blocks: 3, size: 900)
        fixture.add(
            ["main app.cpp:11", "load load.c:5", "xmalloc util.c:2"], blocks: 1, size: 500_000)
        fixture.add(
            ["main app.cpp:10", "serve app.cpp:41", "buffer buf.c:1"], blocks: 4, size: 65536)
        return fixture.snapshot
    }

    static var current: Snapshot {
        var fixture = SnapshotFixture()
        fixture.add(
            ["main app.cpp:10", "serve app.cpp:40", "Cache::put(int) cache.cpp:42"], blocks: 90,
            size: 4096, freed: 10)
        fixture.add(
            ["main app.cpp:10", "serve app.cpp:40", "Cache::put(int) cache.cpp:42"], blocks: 2000,
            size: 4096, epoch: 2)
        fixture.add(
            ["main app.cpp:10", "serve app.cpp:41", "parse parse.c:7"], blocks: 3, size: 900)
        fixture.add(
            ["main app.cpp:11", "load load.c:5", "xmalloc util.c:2"], blocks: 1, size: 500_000)
        fixture.add(
            ["main app.cpp:10", "serve app.cpp:41", "buffer buf.c:1"], blocks: 1, size: 65536,
            freed: 3)
        fixture.add(
            ["main app.cpp:12", "</script>\u{1b}<svg&\"' evil.c:1"], blocks: 1, size: 50_000,
            epoch: 2)
        fixture.snapshot.facts.capturedAt += 130_000_000_000
        fixture.snapshot.facts.duration = 190_000_000_000
        fixture.snapshot.facts.process?.residentBytes = 38 << 20
        fixture.snapshot.facts.recording?.cutEpoch = 2
        fixture.snapshot.facts.recording?.epochs.append(
            EpochFacts(startedAfter: 60_000_000_000, reason: "snapshot"))
        fixture.snapshot.facts.recording?.statistics = [
            "stacks_cut_at_unwind": 3, "dropped_no_memory": 7, "dropped_no_memory_bytes": 7000,
        ]
        return fixture.snapshot
    }

    /// `current` with every sum estimated from samples.
    static var sampled: Snapshot {
        var snapshot = current
        for index in snapshot.samples.indices {
            snapshot.samples[index].variance = SamplingVariance(
                inuseObjects: 100, inuseSpace: 400_000_000)
        }
        snapshot.facts.recording?.mode = "sampled"
        snapshot.facts.recording?.intervalBytes = 65536
        snapshot.facts.recording?.statistics = [:]
        return snapshot
    }
}

@Suite struct TextReportTests {
    private func expect(_ lines: [String], matches name: String) {
        #expect(Golden.difference(lines.joined(separator: "\n") + "\n", name) == nil)
    }

    @Test func `top`() {
        let snapshot = ReportFixture.current
        expect(
            TextReport().lines(of: TopReport(of: snapshot), facts: snapshot.facts),
            matches: "top.txt")
    }

    @Test func `top of what was sampled says how uncertain it is`() {
        let snapshot = ReportFixture.sampled
        expect(
            TextReport(limit: 2).lines(of: TopReport(of: snapshot), facts: snapshot.facts),
            matches: "top-sampled.txt")
    }

    @Test func `top shows source lines where it has them`() {
        let snapshot = ReportFixture.current
        let report = TextReport(limit: 2) { file, line in
            file == "cache.cpp" && line == 42 ? "entries.emplace(key, load(key));" : nil
        }
        expect(
            report.lines(of: TopReport(of: snapshot), facts: snapshot.facts),
            matches: "top-source.txt")
    }

    @Test(arguments: GroupBy.allCases)
    func `diff`(groupBy: GroupBy) {
        let diff = SnapshotDiff(
            base: ReportFixture.base, current: ReportFixture.current,
            grouping: Grouping(groupBy: groupBy))
        expect(TextReport().lines(of: diff, base: "early"), matches: "diff-\(groupBy.rawValue).txt")
    }

    @Test func `diff of two runs warns`() {
        var base = ReportFixture.base
        base.facts.process?.pid = 1
        let diff = SnapshotDiff(base: base, current: ReportFixture.sampled)
        expect(TextReport(limit: 1).lines(of: diff, base: "early"), matches: "diff-two-runs.txt")
    }

    @Test func `what is missing from the earlier snapshot is said too`() {
        var base = ReportFixture.base
        base.facts.recording?.statistics = ["dropped_unrepresentable": 5]
        let diff = SnapshotDiff(base: base, current: ReportFixture.current)
        let lines = TextReport().lines(of: diff, base: "early")
        #expect(lines.last == "note: in `early`, 5 allocations of unusual size are missing")
        #expect(
            lines.contains(
                "note: 3 stacks end early or may lack frames, at code without unwind information"))
        let graph = FlameGraph(base: base, current: ReportFixture.current, names: ("early", "late"))
        #expect(
            String(decoding: graph.svg(), as: UTF8.self)
                .contains(">note: in A, 5 allocations of unusual size are missing<"))
    }

    @Test func `what is missing from both is said once of one run, and of each of two`() {
        let note = "note: 3 stacks end early or may lack frames, at code without unwind information"
        var base = ReportFixture.base
        base.facts.recording?.statistics = ReportFixture.current.facts.recording?.statistics ?? [:]
        func notes() -> [String] {
            let diff = SnapshotDiff(base: base, current: ReportFixture.current)
            return TextReport().lines(of: diff, base: "early")
                .filter { $0.hasSuffix("at code without unwind information") }
        }
        #expect(notes() == [note])
        base.facts.process?.pid = 1
        #expect(notes() == [note, "note: in `early`, " + note.dropFirst(6)])
    }

    @Test func `diff of a snapshot with itself`() {
        let diff = SnapshotDiff(base: ReportFixture.base, current: ReportFixture.base)
        expect(TextReport().lines(of: diff, base: "early"), matches: "diff-same.txt")
    }
}

@Suite struct OtherFormsTests {
    @Test func `JSON of a comparison`() throws {
        let diff = SnapshotDiff(base: ReportFixture.base, current: ReportFixture.current)
        #expect(
            Golden.difference(
                String(decoding: try JSONReport.bytes(of: diff), as: UTF8.self), "diff.json") == nil
        )
    }

    @Test func `JSON of one snapshot, by stack`() throws {
        let snapshot = ReportFixture.base
        let report = TopReport(of: snapshot, grouping: Grouping(groupBy: .stack))
        #expect(
            Golden.difference(
                String(
                    decoding: try JSONReport.bytes(of: report, facts: snapshot.facts), as: UTF8.self
                ), "top.json") == nil)
    }

    @Test func `folded stacks`() {
        #expect(
            Golden.difference(
                FoldedReport.lines(of: ReportFixture.current).joined(separator: "\n") + "\n",
                "current.folded") == nil)
        #expect(
            Golden.difference(
                FoldedReport.lines(base: ReportFixture.base, current: ReportFixture.current)
                    .joined(separator: "\n") + "\n", "diff.folded") == nil)
    }

    @Test func `folded values sum up to the totals`() {
        let sum = FoldedReport.lines(of: ReportFixture.current).reduce(0) { sum, line in
            sum + (line.split(separator: " ").last.flatMap { Int64($0) } ?? 0)
        }
        #expect(sum == ReportFixture.current.totals.inuseSpace)
    }

    private func expect(_ bytes: [UInt8], matches name: String) {
        #expect(Golden.difference(String(decoding: bytes, as: UTF8.self), name) == nil)
    }

    @Test func `speedscope`() throws {
        expect(
            try SpeedscopeReport.bytes(of: ReportFixture.current, name: "late", tool: "test"),
            matches: "current.speedscope.json")
        expect(
            try SpeedscopeReport.bytes(
                base: ReportFixture.base, current: ReportFixture.current,
                names: ("early", "late \"2\"\u{1b}"), tool: "test"),
            matches: "diff.speedscope.json")
    }

    @Test func `massif`() {
        expect(
            MassifReport.bytes(of: ReportFixture.current, tool: "test"), matches: "current.massif")
    }

    @Test func `comma-separated values`() {
        for groupBy in [GroupBy.line, .stack] {
            let report = TopReport(
                of: ReportFixture.sampled, grouping: Grouping(groupBy: groupBy))
            expect(CSVReport.bytes(of: report), matches: "top-\(groupBy.rawValue).csv")
        }
    }

    @Test(arguments: [
        ("plain", "plain"), ("", ""), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""),
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"), ("+1", "'+1"),
        ("-[Cache put:]", "'-[Cache put:]"),
        ("@SUM(A1,A2)", "\"'@SUM(A1,A2)\""), ("\t=1\r\n2", "\u{fffd}=1\u{fffd}\u{fffd}2"),
        (",\u{301}", "\",\u{301}\""),
    ])
    func `no name is a formula, or two fields, or two lines`(name: String, field: String) {
        #expect(Array(CSVReport.text(name).utf8) == Array(field.utf8))
    }

    @Test func `a stack deeper than massif's is cut, and nothing is lost`() {
        var fixture = SnapshotFixture()
        fixture.add((0..<5000).map { "f\($0)" }, blocks: 1, size: 7)
        let lines = String(
            decoding: MassifReport.bytes(of: fixture.snapshot, tool: "test"), as: UTF8.self
        ).split(separator: "\n")
        #expect(lines.contains("mem_heap_B=7"))
        #expect(lines.last?.hasSuffix(": f4800 (in server)") == true)
    }
}
