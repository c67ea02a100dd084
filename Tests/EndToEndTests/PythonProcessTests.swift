import LeakprofModel
import LeakprofTestSupport
import Testing

/// Which processes and versions Python's frames are recorded of, and what is said where they are not.
@Suite(.serialized, .timeLimit(.minutes(10))) struct PythonProcessTests {
    private static let program = "\(BuiltProducts.root)/Samples/python-blocks.py"

    private struct Child: Decodable {
        var process: Int32
        var lines: [ExpectedLine]
    }

    /// Runs Samples/python-processes.py.
    @Test(arguments: PythonInterpreter.all)
    func `every child has a region with its own lines, however it was started`(
        python: PythonInterpreter
    ) async throws {
        let recording = try Recording()
        let (found, status) = try await recording.with(
            python.path,
            ["-B", "-W", "ignore", "\(BuiltProducts.root)/Samples/python-processes.py"]
        ) { program -> [(Child, Snapshot)] in
            try await program.line(startingWith: "ready")
            let children = try decodeJSON([Child].self, try await program.line())
            let snapshots = try children.map {
                ($0, try recording.snapshot(ofRegion: $0.process))
            }
            try await program.send("\n")
            return snapshots
        }
        #expect(status == 0)
        #expect(found.count == 11)
        let names = Set(found.flatMap { $0.0.lines.map(\.file) })
        for (child, snapshot) in found {
            let lines = snapshot.pythonLines(in: [.object])
            for line in child.lines {
                #expect(lines[line.place] == Amount(blocks: line.blocks, bytes: line.bytes))
            }
            let others = names.subtracting(child.lines.map(\.file))
            #expect(lines.keys.filter { others.contains($0.file) } == [])
        }
    }

    private func blocks(_ setting: String) async throws -> (Snapshot, [ExpectedLine]) {
        let python = try #require(PythonInterpreter.all.first { $0.path == "/usr/bin/python3" })
        let recording = try Recording(["LEAKPROF_PYTHON": setting])
        let (snapshot, expected, status) = try await recording.pythonSnapshot(
            python.path, ["-B", Self.program], saying: [ExpectedLine].self)
        #expect(status == 0)
        return (snapshot, expected)
    }

    @Test func `LEAKPROF_PYTHON=0 leaves the interpreter alone`() async throws {
        let (snapshot, _) = try await blocks("0")
        #expect(snapshot.facts.recording?.python == nil)
        #expect(snapshot.pythonLines().isEmpty)
        #expect(snapshot.samples.allSatisfy { $0.domain == nil })
    }

    @Test(arguments: ["1", "only", "native", "neither"])
    func `the lines are there with the other settings, and a wrong one is noted`(
        setting: String
    ) async throws {
        let (snapshot, expected) = try await blocks(setting)
        for line in expected {
            let found = snapshot.pythonLines(in: line.allDomains)[line.place]
            #expect(found == Amount(blocks: line.blocks, bytes: line.bytes), "\(line.place)")
        }
        let native = snapshot.samples.filter { !snapshot.pythonFrames(of: $0).isEmpty }.map {
            $0.stack.count - snapshot.pythonFrames(of: $0).count
        }
        #expect(native.allSatisfy { $0 == 0 } == (setting == "only"))
        #expect((snapshot.statistic("configuration_errors") != 0) == (setting == "neither"))
    }

    @Test func `a version that is not known is left alone, and reports say so`() async throws {
        let sample = try await SampleProgram.build(
            "unknown-python.c", flags: SampleProgram.defaultFlags + ["-rdynamic"])
        let recording = try Recording()
        let (snapshot, status) = try await recording.snapshotWhenReady(sample.path)
        #expect(status == 0)
        #expect(snapshot.blocksBySize[1234] == 100)
        #expect(snapshot.facts.recording?.python?.version == "3.99")
        #expect(snapshot.facts.recording?.python?.hasFrames == false)
        let report = try await Programs.succeed(
            BuiltProducts.leakprof, ["top", recording.directory.path + "/snapshot"])
        #expect(report.contains("note: Python 3.99 is not known"))
    }

    /// Runs Samples/python-many-functions.py in a region that is full of stacks before it begins, and in one that has
    /// room for all stacks but not for its functions' names.
    @Test(
        arguments: [
            ("256KiB", "stacks_lost", " allocations have no stack"),
            (
                "2MiB", "python_functions_lost",
                " times there was no room for a Python function's name"
            ),
        ])
    func `what the region has no room for is counted, and reports say so`(
        region: String, statistic: String, words: String
    ) async throws {
        let python = try #require(PythonInterpreter.all.first)
        let recording = try Recording(["LEAKPROF_REGION_SIZE": region])
        let program = "\(BuiltProducts.root)/Samples/python-many-functions.py"
        let (snapshot, status) = try await recording.snapshotWhenReady(
            python.path, ["-B", program])
        #expect(status == 0)
        #expect(snapshot.statistic(statistic) > 0)
        let report = try await Programs.succeed(
            BuiltProducts.leakprof, ["top", recording.directory.path + "/snapshot"])
        #expect(report.contains(words))
    }
}
