import LeakprofAnalysis
import LeakprofModel
import LeakprofPprof
import LeakprofTestSupport
import Testing

/// Reports without names, for people who must not learn them.
@Suite(.timeLimit(.minutes(10))) struct RedactionTests {
    /// What every name has in it.
    private static let secret = "s3cr3t"

    private static func snapshot(isBase: Bool) -> Snapshot {
        var fixture = SnapshotFixture()
        let scale: Int64 = isBase ? 1 : 9
        fixture.add(
            [
                "main /home/s3cr3t/m.c:1", "s3cr3t::Server::handle /home/s3cr3t/h.cpp:20",
                "put_s3cr3t c.c:3",
            ],
            blocks: 100 * scale, size: 1 << 20)
        fixture.add(
            [
                "main /home/s3cr3t/m.c:1", "fill_s3cr3t f.swift:2",
                "std::vector<s3cr3t::Key>::push_back", "malloc",
            ],
            blocks: 50 * scale, size: 1 << 18)
        fixture.add(
            ["main /home/s3cr3t/m.c:1", "server-s3cr3t+0x1234"], blocks: 20 * scale, size: 1 << 18)
        fixture.add(
            ["s3cr3t_thread t.c:9", "libs3cr3t_alloc.so.2+0x77"], blocks: 10, size: 1 << 18)
        var snapshot = fixture.snapshot
        snapshot.mappings[0].path = "/srv/s3cr3t/server-s3cr3t"
        snapshot.mappings[0].buildID = "5ec3e75ec3e75ec3e7"
        snapshot.mappings.append(
            Mapping(
                start: 0x70_0000, limit: 0x71_0000, path: "/lib/x86_64-linux-gnu/libc.so.6",
                buildID: "5ec3e70c"))
        snapshot.mappings.append(
            Mapping(start: 0x72_0000, limit: 0x73_0000, path: "/opt/s3cr3t/libswift_s3cr3t.so"))
        snapshot.facts.process = ProcessFacts(
            pid: 4711, startTicks: 100, image: "5ec3e7image", name: "s3cr3t",
            executable: "/srv/s3cr3t/server",
            arguments: ["/srv/s3cr3t/server", "--password", "s3cr3t", "--host", "s3cr3t.example"],
            residentBytes: 30 << 20)
        snapshot.facts.recording = RecordingFacts(
            mode: "exact", state: "off: s3cr3t", maxDepth: 128, cutEpoch: isBase ? 1 : 2,
            epochs: [
                EpochFacts(startedAfter: 0, reason: "start"),
                EpochFacts(startedAfter: 5, reason: "s3cr3t"),
            ],
            statistics: ["stacks_lost": 3, "s3cr3t": 1], otherMalloc: "/opt/s3cr3t/libmine.so")
        snapshot.facts.notes = ["/srv/s3cr3t/server has no debug information"]
        if !isBase { snapshot.facts.capturedAt += 60_000_000_000 }
        return snapshot
    }

    /// What `leakprof` writes of the two snapshots; the files have the secret in their names as well.
    private func output(_ command: [String], redacted: Bool = true) async throws -> [UInt8] {
        let directory = try TemporaryDirectory()
        for (name, isBase) in [("early-s3cr3t", true), ("late-s3cr3t", false)] {
            let bytes = try ProfileEncoder.encode(Self.snapshot(isBase: isBase), tool: "test")
            try Files.write(bytes, to: directory.path + "/" + name)
        }
        var arguments = command.map { ["A": "early-s3cr3t", "B": "late-s3cr3t"][$0] ?? $0 }
        if redacted { arguments.append("--redact") }
        if arguments.contains("OUT") {
            arguments = arguments.map { $0 == "OUT" ? "out" : $0 }
        }
        let finished = try await Programs.run(
            BuiltProducts.leakprof, arguments, directory: directory.path)
        try #require(finished.status == 0, "\(finished.errors)")
        guard arguments.contains("out") else { return Array(finished.output.utf8) }
        let bytes = try Files.bytes(of: directory.path + "/out")
        return bytes.starts(with: Gzip.magic) ? try Gzip.decompress(bytes, limit: 1 << 24) : bytes
    }

    @Test(arguments: [
        ["top", "B"], ["top", "B", "--json"], ["top", "B", "--group-by", "stack"],
        ["top", "B", "--group-by", "module"], ["diff", "A", "B", "--all"],
        ["diff", "A", "B", "--svg", "-o", "OUT"], ["diff", "A", "B", "--json", "-o", "OUT"],
        ["diff", "A", "B", "--folded", "-o", "OUT"], ["diff", "A", "B", "--pprof", "-o", "OUT"],
        ["diff", "A", "B", "--speedscope", "-o", "OUT"], ["flamegraph", "B", "-o", "OUT"],
        ["report", "A", "B", "-o", "OUT"], ["report", "A", "B", "--markdown", "-o", "OUT"],
        ["export", "B", "--format", "pprof", "-o", "OUT"],
        ["export", "B", "--format", "json", "-o", "OUT"],
        ["export", "B", "--format", "speedscope", "-o", "OUT"],
        ["export", "B", "--format", "folded", "-o", "OUT"],
        ["export", "B", "--format", "massif", "-o", "OUT"],
        ["export", "B", "--format", "csv", "-o", "OUT"],
    ])
    func `no name is left, whatever is written`(command: [String]) async throws {
        let bytes = try await output(command)
        let text = String(decoding: bytes, as: UTF8.self)
        for name in [Self.secret, "5ec3e7", "/srv", "/home", "/opt", "x86_64", "password"] {
            #expect(!text.contains(name), "\(name)")
        }
        #expect(text.contains("function_") || text.contains("module_") || text.contains("file_"))
        #expect(try await output(command) == bytes)
        let named = String(decoding: try await output(command, redacted: false), as: UTF8.self)
        #expect(named.contains(Self.secret))
    }

    @Test func `sums and sites are those of the names`() {
        let snapshots = [Self.snapshot(isBase: true), Self.snapshot(isBase: false)]
        var redaction = Redaction()
        let redacted = snapshots.map { redaction.redacted($0) }
        for groupBy in GroupBy.allCases {
            let grouping = Grouping(groupBy: groupBy)
            let before = SnapshotDiff(base: snapshots[0], current: snapshots[1], grouping: grouping)
            let after = SnapshotDiff(base: redacted[0], current: redacted[1], grouping: grouping)
            #expect(before.isSameRun && after.isSameRun)
            #expect(before.rows.map(\.change) == after.rows.map(\.change))
            #expect(before.rows.map(\.site.frame.line) == after.rows.map(\.site.frame.line))
        }
        #expect(redacted[0].isConsistent && redacted[1].isConsistent)
        let names = redacted[1].locations.map { $0.frames[0].function }
        #expect(
            names == [
                "function_1", "function_2", "main", "malloc", "[allocator 1]", "function_3",
                "module_1+0x1234", "function_4", "function_5",
            ])
    }

    @Test func `patterns are about the names there were`() async throws {
        let rows = String(
            decoding: try await output(["top", "B", "--include", "put_s3cr3t"]), as: UTF8.self)
        #expect(rows.contains("size=900 MiB"))
        #expect(!rows.contains("size=112"))
    }
}
