import LeakprofModel
import LeakprofTestSupport
import Testing

/// Python programs that make it hard to tell which line a block is from.
@Suite(.serialized, .timeLimit(.minutes(10))) struct PythonFrameTests {
    private func run(
        _ program: String, _ arguments: [String] = [], python: PythonInterpreter,
        region: String = "64MiB"
    ) async throws -> (Snapshot, [ExpectedLine]) {
        let recording = try Recording(["LEAKPROF_REGION_SIZE": region])
        let (snapshot, expected, status) = try await recording.pythonSnapshot(
            python.path, ["-B", "\(BuiltProducts.root)/Samples/\(program)"] + arguments,
            saying: [ExpectedLine].self)
        #expect(status == 0)
        #expect(snapshot.statistic("replaced_blocks") == 0)
        #expect(snapshot.statistic("python_functions_lost") == 0)
        return (snapshot, expected)
    }

    private func check(_ snapshot: Snapshot, _ expected: [ExpectedLine]) {
        var lines: [Set<MemoryDomain>: [PythonPlace: Amount]] = [:]
        for line in expected {
            let found =
                lines[line.allDomains] ?? snapshot.pythonLines(in: line.allDomains)
            lines[line.allDomains] = found
            #expect(
                found[line.place] == Amount(blocks: line.blocks, bytes: line.bytes),
                "\(line.place)")
        }
    }

    /// Runs Samples/python-reused-code.py.
    @Test(arguments: PythonInterpreter.all)
    func `a function at the address of one that is gone has lines of its own`(
        python: PythonInterpreter
    ) async throws {
        let (snapshot, expected) = try await run("python-reused-code.py", python: python)
        #expect(expected.count == 101)
        check(snapshot, expected)
    }

    /// Runs Samples/python-threads.py.
    @Test(arguments: PythonInterpreter.all)
    func `a thread's blocks are at its own lines, with the interpreter's lock and without`(
        python: PythonInterpreter
    ) async throws {
        let (snapshot, expected) = try await run("python-threads.py", python: python)
        #expect(expected.count == 16)
        check(snapshot, expected)
        for sample in snapshot.samples {
            let files = Set(
                snapshot.pythonFrames(of: sample).map(\.file).filter { $0.hasPrefix("<thread ") })
            #expect(files.count <= 1, "\(files)")
        }
    }

    /// Runs Samples/python-greenlets.py: greenlet moves the native stack of a task away while others run.
    ///
    /// Debian's greenlet is for its own Python.
    @Test(arguments: PythonInterpreter.all.filter { $0.path == "/usr/bin/python3" })
    func `a greenlet's blocks are at its own lines`(python: PythonInterpreter) async throws {
        let (snapshot, expected) = try await run("python-greenlets.py", python: python)
        #expect(expected.count == 33)
        check(snapshot, expected)
        for sample in snapshot.samples {
            let files = Set(
                snapshot.pythonFrames(of: sample).map(\.file).filter {
                    $0.hasPrefix("<greenlet ")
                })
            #expect(files.count <= 1, "\(files)")
        }
    }

    /// Runs Samples/python-names.py.
    @Test(arguments: PythonInterpreter.all)
    func `names are as long and as odd as they are`(python: PythonInterpreter) async throws {
        let (snapshot, expected) = try await run("python-names.py", python: python)
        #expect(expected.count == 9)
        check(snapshot, expected)
        let names = Set(snapshot.locations.flatMap(\.frames).map(\.function))
        #expect(names.isSuperset(of: ["größe", "関数", "\u{20000}", "latin"]))
        // A function's name is cut, by whole characters.
        #expect(names.contains("z" + String(repeating: "x", count: 1023)))
        #expect(names.contains("z" + String(repeating: "ß", count: 511)))
    }

    /// Runs Samples/python-names.py.
    @Test(arguments: PythonInterpreter.all)
    func `a module of 70,000 lines has all of them`(python: PythonInterpreter) async throws {
        let (snapshot, expected) = try await run("python-names.py", ["lines"], python: python)
        #expect(expected.count == 69)
        check(snapshot, expected)
        let lines = snapshot.pythonLines(in: [.object]).filter { $0.key.file == "<many lines>" }
        #expect(lines.count == 35_000)
    }

    /// Runs Samples/python-contexts.py.
    @Test(arguments: PythonInterpreter.all)
    func `lines are right in recursion, generators, coroutines, handlers and subinterpreters`(
        python: PythonInterpreter
    ) async throws {
        let (snapshot, expected) = try await run("python-contexts.py", python: python)
        // 3.8's module of subinterpreters is there as well.
        #expect(expected.count == 20)
        check(snapshot, expected)
        #expect(snapshot.statistic("stacks_cut_at_depth") > 0)
        let deep = snapshot.samples.filter {
            snapshot.pythonFrames(of: $0).filter { $0.file == "<deep>" }.count > 100
        }
        #expect(!deep.isEmpty)
        for sample in deep {
            let frames = snapshot.pythonFrames(of: sample)
            let isWhole = frames.last?.function == "<module>"
            let isCut = snapshot.functions(of: sample).contains("[stack cut: depth limit]")
            // What is cut may be a frame of no function, which 3.12 and later have at the end.
            #expect(isWhole || isCut)
        }
    }
}
