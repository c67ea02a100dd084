import CLeakprofLayout
import Glibc
import LeakprofCapture
import LeakprofFuzzing
import LeakprofModel
import LeakprofTestSupport
import Testing

/// What the fuzzers began with and what they found, read once more.
@Suite struct FuzzInputTests {
    /// Runs in a process of its own, so that a trap fails this test and not the run.
    @Test(.timeLimit(.minutes(10)), arguments: FuzzTarget.allCases)
    func `every kept input is read without harm`(target: FuzzTarget) async throws {
        let scratch = try TemporaryDirectory()
        let name = target.rawValue
        let inputs = BuiltProducts.root + "/Fuzz/Inputs/" + name
        // Otherwise this tests nothing.
        #expect(Files.names(in: inputs).count >= 3)

        let result = await #expect(
            processExitsWith: .success, observing: [\.standardErrorContent]
        ) { [name = name as String, inputs = inputs as String, scratch = scratch.path as String] in
            let target = try #require(FuzzTarget(rawValue: name))
            for input in Files.names(in: inputs) {
                // The last name is that of the input that does harm.
                let line = "reading \(inputs)/\(input)\n"
                write(STDERR_FILENO, line, line.utf8.count)
                target.run(try Files.bytes(of: "\(inputs)/\(input)"), scratch: scratch)
            }
        }
        if let result, result.exitStatus != .exitCode(0) {
            let said = String(decoding: result.standardErrorContent, as: UTF8.self)
            Issue.record("\(said.split(separator: "\n").suffix(5).joined(separator: "\n"))")
        }
    }

    /// Inputs of an older layout would be refused at their first bytes, and nothing be tested.
    ///
    /// LEAKPROF_BLESS=1 makes them anew, and fails.
    @Test(
        arguments: [
            ("exact", ["LEAKPROF_MODE": "exact"]),
            ("sampled-killed", ["LEAKPROF_MODE": "sampled", "LEAKPROF_INTERVAL": "4KiB"]),
        ])
    func `regions are of this layout`(name: String, settings: [String: String]) async throws {
        let path = "\(BuiltProducts.root)/Fuzz/Inputs/region/\(name)"
        if getenv("LEAKPROF_BLESS") != nil {
            try Files.write(try await makeRegion(settings), to: path)
            Issue.record("rewrote \(path)")
        }
        let snapshot = try Region(path: path).capture(startsEpoch: false)
        #expect(snapshot.samples.count >= 2)
        #expect(snapshot.samples.contains { $0.stack.count > 2 && $0.counts.inuseObjects > 0 })
    }

    /// What CPython's frames add: words of another form, and a heap.
    @Test func `the region of a Python program is of this layout`() async throws {
        let path = "\(BuiltProducts.root)/Fuzz/Inputs/region/python"
        if getenv("LEAKPROF_BLESS") != nil {
            let python = try #require(PythonInterpreter.all.last)
            let recording = try Recording([
                "LEAKPROF_MODE": "sampled", "LEAKPROF_INTERVAL": "256KiB",
                "LEAKPROF_PYTHON": "only",
            ])
            _ = try await recording.with(
                python.path, ["-I", "-S", "-c", "print('ready', flush=True); input()"]
            ) { program in
                try await program.line(startingWith: "ready")
                program.signal(SIGKILL)
                while (try? await program.line()) != nil {}
            }
            let region = try Files.bytes(of: try #require(recording.regions.first))
            try Files.write(RegionInput.compacted(region), to: path)
            Issue.record("rewrote \(path)")
        }
        let snapshot = try Region(path: path).capture(startsEpoch: false)
        let frames = snapshot.locations.flatMap(\.frames)
        #expect(frames.contains { $0.file == "<frozen importlib._bootstrap>" && $0.line > 0 })
    }

    private func makeRegion(_ settings: [String: String]) async throws -> [UInt8] {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording(
            settings.merging(["LEAKPROF_REGION_SIZE": "256KiB"]) { $1 })
        _ = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
            try await program.line(startingWith: "grown")
            program.signal(SIGKILL)
            while (try? await program.line()) != nil {}
        }
        return RegionInput.compacted(try Files.bytes(of: try #require(recording.regions.first)))
    }
}
