import FoundationEssentials
import LeakprofModel
import LeakprofPprof
import LeakprofTestSupport
import Testing

/// Growth divided by time, or by work done.
@Suite(.timeLimit(.minutes(10))) struct RateTests {
    private enum Runs { case one, two, unknown }

    /// What `leakprof diff` writes of 100 MiB and, two minutes later, 400 MiB.
    private func diff(_ runs: Runs, _ options: String...) async throws -> Finished {
        try await compare("diff", runs, options)
    }

    private func report(_ runs: Runs, _ options: String...) async throws -> String {
        try await compare("report", runs, options + ["-o", "-"]).output
    }

    private func compare(_ command: String, _ runs: Runs, _ options: [String]) async throws
        -> Finished
    {
        let directory = try TemporaryDirectory()
        for (name, blocks) in [("early", Int64(100)), ("late", 400)] {
            var fixture = SnapshotFixture()
            fixture.add(["main m.c:1", "put c.c:3"], blocks: blocks, size: 1 << 20)
            if name == "late" {
                fixture.snapshot.facts.capturedAt += 120_000_000_000
                if runs == .two { fixture.snapshot.facts.process?.pid = 5000 }
            }
            if runs == .unknown {
                fixture.snapshot.facts = SnapshotFacts()
            }
            try Files.write(
                try ProfileEncoder.encode(fixture.snapshot, tool: "test"),
                to: directory.path + "/" + name)
        }
        return try await Programs.run(
            BuiltProducts.leakprof, [command, "early", "late"] + options, directory: directory.path)
    }

    @Test func `growth is divided by time`() async throws {
        let lines = try await diff(.one, "--rate").output.split(separator: "\n")
        #expect(lines[0].contains("; +150.0 MiB per minute"))
        #expect(lines[1].hasPrefix("c.c:3: "))
        #expect(lines[2] == "    +150.0 MiB per minute")
        let unknown = try await diff(.unknown, "--rate")
        #expect(unknown.status == 1 && unknown.errors.contains("how much time is between them"))
    }

    @Test func `growth of one run is divided by what was done in between`() async throws {
        for per in ["requests=3000", "requests=1000,4000"] {
            let lines = try await diff(.one, "--per", per).output.split(separator: "\n")
            #expect(lines[2] == "    +102.4 KiB per request")
            #expect(
                try await diff(.unknown, "--per", per).output.contains("; +102.4 KiB per request"))
        }
        let nothing = try await diff(.one, "--per", "requests=4000,4000")
        #expect(nothing.status == 1 && nothing.errors.contains("nothing was done in between"))
    }

    @Test func `two runs are divided by what each has done`() async throws {
        let lines = try await diff(.two, "--per", "jobs=100,200").output.split(separator: "\n")
        #expect(lines[2] == "    1.0 MiB → 2.0 MiB per job")
        // One number is of what was done in between, whatever the runs.
        #expect(try await diff(.two, "--per", "jobs=300").output.contains("+1.0 MiB per job"))
        let nothing = try await diff(.two, "--per", "jobs=0,200")
        #expect(nothing.status == 1 && nothing.errors.contains("each has to have done something"))
    }

    @Test func `reports have it in their words and their tables`() async throws {
        let page = try await report(.one, "--per", "requests=3000")
        #expect(page.contains("after 400.0 MiB; +102.4 KiB per request</p>"))
        #expect(page.contains("<th scope=\"col\" class=\"number\">per request</th>"))
        #expect(page.contains("<td class=\"number\" data-value=\"104858\">+102 KiB</td>"))
        #expect(!(try await report(.one)).contains("per request"))
        let minutes = try await report(.one, "--rate", "--markdown")
        #expect(minutes.contains("; +150.0 MiB per minute."))
        #expect(
            minutes.contains("| blocks | average | per minute |\n|---|---:|---:|---:|---:|---:|\n"))
        #expect(minutes.contains("| 1024 KiB | +150 MiB |"))
        let jobs = try await report(.two, "--per", "jobs=100,200", "--markdown")
        #expect(jobs.contains("| 1024 KiB | 1024 KiB → 2048 KiB |"))
    }

    @Test func `programs get it exactly`() async throws {
        func per(_ runs: Runs, _ per: String) async throws -> [String: [String: Double]] {
            let text = try await diff(runs, "--per", per, "--json", "-o", "-").output
            let row = try #require(
                text.firstMatch(of: /"label" : "c.c:3"(?s).*?"per" : (\{.*?\n      \})/))
            return try JSONDecoder().decode(
                Shares.self, from: Data(String(row.output.1).utf8)
            ).sums
        }
        #expect(try await per(.one, "requests=3000")["change"]?["inuseSpace"] == 104_857.6)
        #expect(try await per(.one, "requests=3000")["change"]?["inuseObjects"] == 0.1)
        let jobs = try await per(.two, "jobs=100,200")
        #expect(jobs["base"]?["inuseSpace"] == 1_048_576)
        #expect(jobs["current"]?["inuseSpace"] == 2_097_152)
        #expect(!(try await diff(.one, "--json", "-o", "-").output.contains("\"per\"")))
    }

    private struct Shares: Decodable {
        var change: [String: Double]?
        var base: [String: Double]?
        var current: [String: Double]?
        var sums: [String: [String: Double]] {
            ["change": change, "base": base, "current": current].compactMapValues { $0 }
        }
    }

    @Test func `the graph has it too`() async throws {
        let svg = try await diff(.one, "--per", "glass=300", "--svg", "-o", "-").output
        #expect(svg.contains("+1.0 MiB per glass"))
        #expect(
            svg.contains(
                "&quot;per&quot;:{&quot;unit&quot;:&quot;glass&quot;,&quot;between&quot;:300.0}"))
    }
}
