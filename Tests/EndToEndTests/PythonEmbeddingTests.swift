import LeakprofModel
import LeakprofTestSupport
import Testing

/// Samples/embedded-python.c: a program that opens libpython itself, and initializes it three times.
@Suite(.serialized, .timeLimit(.minutes(10))) struct PythonEmbeddingTests {
    /// The library of an interpreter that has one.
    struct Library: Sendable, CustomStringConvertible {
        var path: String
        var home: String
        var minor: Int

        var description: String { path }

        static let all = PythonInterpreter.all.compactMap { python -> Library? in
            let home = python.path.split(separator: "/").dropLast(2).joined(separator: "/")
            let path = "/\(home)/lib/libpython3.\(python.minor).so.1.0"
            return Files.exists(path)
                ? Library(path: path, home: "/" + home, minor: python.minor) : nil
        }
    }

    enum Way: String, CaseIterable, Sendable {
        case plain
        /// Closes the library afterwards.
        case close
        /// Sets an allocator of its own before it initializes the interpreter.
        case own
        /// Runs the code in subinterpreters.
        case sub
    }

    private func check(
        _ library: Library, _ way: Way, preloading others: [String] = []
    ) async throws {
        let sample = try await SampleProgram.build("embedded-python.c")
        let recording = try Recording()
        let (snapshot, status) = try await recording.with(
            sample.path, [library.path, library.home, "3", "\(way)"], preloading: others
        ) { program in
            try await program.line(startingWith: "ready")
            let snapshot = try recording.snapshot(ofRegion: program.pid)
            try await program.send("\n")
            return snapshot
        }
        #expect(status == 0)
        let lines = snapshot.pythonLines(in: [.object])
        for round in Int64(1)...3 {
            for (behind, size) in [(1, 50_000 + round), (2, 200 + round)] {
                let line = PythonPlace(file: "<round \(round)>", line: 10 * round + Int64(behind))
                // A bytes object has 32 bytes of its own, and a zero behind the others.
                #expect(
                    lines[line] == Amount(blocks: 100, bytes: 100 * (size + 33)), "\(line)")
            }
        }
        #expect(snapshot.facts.recording?.python?.hasFrames == true)
    }

    @Test(arguments: Library.all, Way.allCases)
    func `lines are there after every initialization`(library: Library, way: Way) async throws {
        try await check(library, way)
    }

    /// 3.12 can't be asked for its allocators' name before it is initialized.
    @Test(arguments: Library.all)
    func `an allocator that is set before the interpreter begins does no harm`(
        library: Library
    ) async throws {
        try await check(library, .own, preloading: [library.path])
    }
}
