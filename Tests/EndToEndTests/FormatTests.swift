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
@Suite(.serialized, .timeLimit(.minutes(2))) struct OtherToolsReadTests {
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
