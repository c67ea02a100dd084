import FoundationEssentials
import LeakprofModel
import LeakprofTestSupport
import Testing

/// Samples/python-blocks.py: blocks and bytes by line and memory domain, whatever CPython's allocators are made of.
@Suite(.serialized, .timeLimit(.minutes(20))) struct PythonBlockTests {
    private static let program = "\(BuiltProducts.root)/Samples/python-blocks.py"

    /// A way to choose the allocators.
    ///
    /// The debug hooks add to a block behind the wrappers, so that sizes stay as requested.
    struct Choice: Sendable, CustomStringConvertible {
        var options: [String] = []
        var allocators: String?

        var description: String {
            (options + (allocators.map { ["PYTHONMALLOC=\($0)"] } ?? [])).joined(separator: " ")
        }
    }

    static let choices =
        [Choice(), Choice(options: ["-X", "dev"])]
        + ["malloc", "debug", "malloc_debug", "pymalloc", "pymalloc_debug"].map {
            Choice(allocators: $0)
        }

    private func check(
        _ python: PythonInterpreter, _ choice: Choice, domains: Set<MemoryDomain>
    ) async throws {
        let recording = try Recording(["PYTHONMALLOC": choice.allocators])
        let (snapshot, expected, status) = try await recording.pythonSnapshot(
            python.path, ["-B"] + choice.options + [Self.program], saying: [ExpectedLine].self)
        #expect(status == 0)
        #expect(expected.count > 30)
        for line in expected {
            let of = line.allDomains
            guard of.isSubset(of: domains) else { continue }
            let found = snapshot.pythonLines(in: of)[line.place]
            #expect(found == Amount(blocks: line.blocks, bytes: line.bytes), "\(line.place)")
        }
        #expect(snapshot.statistic("replaced_blocks") == 0)
        #expect(snapshot.facts.recording?.python?.hasAllocators == true)
    }

    @Test(arguments: PythonInterpreter.all, choices)
    func `every block is counted once, at its line and in its domain`(
        python: PythonInterpreter, choice: Choice
    ) async throws {
        try await check(python, choice, domains: Set(MemoryDomain.allCases))
    }

    /// Compares the domains that tracemalloc takes nothing from.
    ///
    /// What it keeps for itself is in use too, at the lines it keeps it for: from the raw domain and from malloc.
    @Test(
        arguments: PythonInterpreter.all,
        [["-X", "tracemalloc"], ["-X", "dev", "-X", "tracemalloc"]])
    func `every block is counted once under tracemalloc`(
        python: PythonInterpreter, options: [String]
    ) async throws {
        try await check(python, Choice(options: options), domains: [.mem, .object])
    }

    /// 64 MiB of small objects, which are pymalloc's own, then of large ones, which it has from malloc: 128 samples of
    /// each at 512 KiB.
    ///
    /// The interpreter throws the wrappers away while it starts when it is told which allocators to use.
    @Test(
        arguments: PythonInterpreter.all,
        [Choice(), Choice(options: ["-X", "dev"]), Choice(allocators: "debug")])
    func `objects are sampled from the start, and once`(python: PythonInterpreter, choice: Choice)
        async throws
    {
        let recording = try Recording([
            "LEAKPROF_MODE": "sampled", "PYTHONMALLOC": choice.allocators,
        ])
        let program = """
            small, large = [None] * (1 << 20), [None] * (1 << 12)
            for number in range(1 << 20): small[number] = bytes(64 - 33)
            for number in range(1 << 12): large[number] = bytes((1 << 14) - 33)
            print("ready\\n0", flush=True)
            input()
            """
        let (snapshot, _, status) = try await recording.pythonSnapshot(
            python.path, choice.options + ["-c", program], saying: Int.self)
        #expect(status == 0)
        let objects = snapshot.pythonLines(in: [.object])
        let others = snapshot.pythonLines(in: [.malloc, .mem, .raw])
        for line in [2, 3] as [Int64] {
            let place = PythonPlace(file: "<string>", line: line)
            let bytes = Double(objects[place]?.bytes ?? 0)
            let expected = Double(64 << 20)
            let standardError = expected / 128.0.squareRoot()
            #expect(abs(bytes - expected) < 5 * standardError, "\(place): \(bytes) bytes")
            #expect(others[place] == nil, "\(place)")
        }
    }

    @Test func `top can be asked for the blocks of one domain`() async throws {
        let python = try #require(PythonInterpreter.all.first)
        let recording = try Recording()
        let path = recording.directory.path + "/snapshot"
        let (_, status) = try await recording.with(python.path, ["-B", Self.program]) { program in
            try await program.line(startingWith: "ready")
            _ = try await recording.snapshot(of: program)
            try await program.send("\n")
        }
        #expect(status == 0)
        for domain in MemoryDomain.allCases {
            let text = try await Programs.succeed(
                BuiltProducts.leakprof,
                ["top", path, "--domain", "\(domain)", "--group-by", "line", "--limit", "100000"])
            for other in MemoryDomain.allCases {
                // Those lines may have left an object or two.
                let isThere = text.split(separator: "\n").contains {
                    $0.hasPrefix("<\(other)>:3: ") && $0.contains(", count=1000, ")
                }
                #expect(isThere == (domain == other), "\(other) in \(domain)")
            }
        }
    }
}
