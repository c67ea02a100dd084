import FoundationEssentials
import LeakprofModel
import LeakprofTestSupport
import Testing

/// Samples/call-sites.py: which line of Python a block was allocated at, and by which callers.
@Suite(.serialized, .timeLimit(.minutes(10))) struct PythonLineTests {
    private static let program = "\(BuiltProducts.root)/Samples/call-sites.py"

    /// A block that the program keeps, and where it is from, as the program says itself.
    private struct Site: Decodable {
        var site: Int
        /// Leaf first.
        var stack: [Place]
    }

    private struct Place: Decodable, Hashable, CustomStringConvertible {
        var file: String
        var function: String
        var line: Int64

        var description: String { "\(function) (\(file):\(line))" }
    }

    private static func expected(
        of python: PythonInterpreter, _ directory: TemporaryDirectory
    ) async throws -> [Site] {
        let text = try await Programs.succeed(
            python.path, ["-B", "-X", "tracemalloc=100", program, directory.path, "expect"])
        return try JSONDecoder().decode([Site].self, from: Data(text.utf8))
    }

    /// The frames of every site, leaf first, that lie in one of these files: the others are C.
    ///
    /// One stack holds whatever else was allocated at the same line, an integer and the like, so a site is
    /// known by bytes that are hardly more than its own block's.
    private static func stacks(
        of python: PythonInterpreter, _ directory: TemporaryDirectory, recording use: String,
        in files: Set<String>
    ) async throws -> [Int: [Place]] {
        // The native stacks of all that is imported would not find room in a region of the default size.
        let recording = try Recording(["LEAKPROF_PYTHON": use, "LEAKPROF_REGION_SIZE": "64MiB"])
        let (snapshot, status) = try await recording.snapshotWhenReady(
            python.path, ["-B", program, directory.path])
        #expect(status == 0)
        var stacks: [Int: [Place]] = [:]
        for sample in snapshot.samples where sample.counts.inuseSpace > 1_000_000 {
            let (site, rest) = Int(sample.counts.inuseSpace - 1_000_000)
                .quotientAndRemainder(dividingBy: 10_000)
            guard (1...55).contains(site), rest < 3000, sample.counts.inuseObjects < 20 else {
                continue
            }
            let stack = sample.stack.flatMap { snapshot.locations[$0].frames }
                .filter { files.contains($0.file) }
                .map { Place(file: $0.file, function: $0.function, line: $0.line) }
            #expect(
                stacks.updateValue(stack, forKey: site) == nil, "several samples like site \(site)")
        }
        return stacks
    }

    /// With native frames between Python's, the interpreter's own excepted, and without any.
    @Test(arguments: PythonInterpreter.all, ["1", "only"])
    func `a block is from the line that the interpreter says, and so are its callers`(
        python: PythonInterpreter, use: String
    ) async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let sites = try await Self.expected(of: python, directory)
        let stacks = try await Self.stacks(
            of: python, directory, recording: use,
            in: Set(sites.flatMap { $0.stack.map(\.file) }))

        #expect(sites.count > 50)
        for site in sites {
            let stack = try #require(stacks[site.site], "site \(site.site)")
            #expect(stack.first == site.stack.first, "site \(site.site)")
            #expect(stack == site.stack, "site \(site.site)")
        }
    }

    /// What a forked child records from its first allocation on has hardly a frame of the interpreter.
    @Test(arguments: PythonInterpreter.all)
    func `no other file is taken for the interpreter`(python: PythonInterpreter) async throws {
        let text =
            "import os\nif os.fork(): os.wait()\nelse: kept = list('ab'); print(os.getpid(), flush=True); input()"
        let recording = try Recording()
        let (snapshot, status) = try await recording.with(python.path, ["-c", text]) { program in
            let child = try await program.line(startingWith: "")
            let snapshot = try await recording.snapshot(child)
            try await program.send("\n")
            return snapshot
        }
        #expect(status == 0)
        let facts = try #require(snapshot.facts.recording?.python)
        #expect(facts.hasFrames && facts.hasAllocators)
        if let interpreter = facts.interpreter {
            #expect(interpreter.contains("/bin/python") || interpreter.contains("/libpython"))
        }
    }

    /// Debian's python3 is a static program without symbols; pyenv's here are programs of a few lines
    /// and a libpython that has symbols.
    ///
    /// The interpreter's own frames are recorded too.
    @Test(
        arguments: PythonInterpreter.all.indices.dropFirst().filter {
            PythonInterpreter.all[$0].minor == PythonInterpreter.all[$0 - 1].minor
        })
    func `two interpreters of one version give the same lines`(second: Int) async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let pythons = [PythonInterpreter.all[second - 1], PythonInterpreter.all[second]]
        // What is not in their libraries, which lie in different places and are of different releases.
        let files = Set(
            try await Self.expected(of: pythons[0], directory).flatMap { $0.stack.map(\.file) }
                .filter { $0 == Self.program || $0.hasPrefix(directory.path) || $0 == "<executed>" }
        )
        let first = try await Self.stacks(of: pythons[0], directory, recording: "native", in: files)
        let other = try await Self.stacks(of: pythons[1], directory, recording: "native", in: files)

        #expect(first.count { !$0.value.isEmpty } > 50)
        #expect(first == other)
    }
}
