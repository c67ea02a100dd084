import Glibc
import LeakprofModel
import LeakprofTestSupport
import Testing

/// Where control goes other ways than by call and return, and stacks that are not what they seem.
@Suite(.serialized, .timeLimit(.minutes(10))) struct SignalTests {
    // MARK: Signals

    /// Runs Samples/signals.c on an allocator that handlers may call.
    private func signals(_ how: String) async throws -> (arrived: String, snapshot: Snapshot) {
        let allocator = try await SampleProgram.build(
            "signal-allocator.c", flags: ["-O2", "-g", "-fno-builtin", "-shared", "-fPIC"],
            suffix: ".so")
        let sample = try await SampleProgram.build(
            "signals.c", flags: SampleProgram.defaultFlags + ["-pthread"])
        let run = try await SideBySide(sample.path, [how], preloading: [allocator.path])
        let snapshot = try run.expectSame()
        return (String(run.bare.output.prefix { !$0.isNewline }), snapshot)
    }

    /// Blocks taken inside the next allocator can't be told from its own, and are counted as such.
    @Test func `what handlers allocate is recorded or counted`() async throws {
        let (arrived, snapshot) = try await signals("storm")
        #expect(arrived == "2000 arrived")
        #expect(snapshot.blocksBySize[777] == 500)
        let taken = snapshot.counts(below: "take_in_handler")
        let nested = snapshot.statistics["nested_allocations", default: 0]
        #expect(taken.allocObjects + nested == 2000)
        // Every other one was given back.
        let freedUnseen = snapshot.statistics["unknown_frees", default: 0]
        #expect(taken.allocObjects - taken.inuseObjects + freedUnseen == 1000)
        let churn = snapshot.counts(in: ["churn_once"])
        #expect(churn.inuseObjects == 0)
        #expect(churn.allocObjects > 2000)
        #expect(snapshot.statistics["replaced_blocks"] == nil)
    }

    @Test func `a handler may leave malloc by longjmp`() async throws {
        let (arrived, snapshot) = try await signals("jump")
        #expect(arrived == "1000 arrived")
        #expect(snapshot.blocksBySize[777] == 500)
    }

    /// The mark of the call that was left lies on the alternate stack, above everything that comes later.
    @Test func `a handler may leave malloc on an alternate stack`() async throws {
        let (arrived, snapshot) = try await signals("jump-twice")
        #expect(arrived == "1000 arrived")
        #expect(snapshot.blocksBySize[778] == 500)
        #expect(snapshot.blocksBySize[777] == 500)
        #expect(snapshot.statistics["nested_allocations"] == nil)
    }

    @Test func `a handler may end the thread in malloc`() async throws {
        let (arrived, snapshot) = try await signals("exit")
        #expect(arrived == "100 arrived")
        #expect(snapshot.blocksBySize[777] == 500)
    }

    @Test(arguments: ["exact", "sampled"])
    func `a stack overflow is the program's own affair`(mode: String) async throws {
        let sample = try await SampleProgram.build(
            "signals.c", flags: SampleProgram.defaultFlags + ["-pthread"])
        let run = try await SideBySide(
            sample.path, ["overflow"], variables: ["LEAKPROF_MODE": mode])
        let snapshot = try run.expectSame(status: 42)
        #expect(run.bare.output == "overflow\n")
        #expect(snapshot.counts(below: "report").inuseObjects == 0)
        #expect(snapshot.counts(below: "recurse").inuseObjects > 10_000)
    }

    // MARK: Exceptions

    @Test func `operator new fails as it does without`() async throws {
        let sample = try await SampleProgram.build("new-handler.cpp")
        let run = try await SideBySide(sample.path)
        let snapshot = try run.expectSame()
        #expect(run.bare.output == "1000 1000 1000 1000, 3000 calls\nready\n")
        #expect(snapshot.blocksBySize[18001] == 100)
        #expect(snapshot.blocksBySize[18048] == 100)
        #expect(snapshot.blocksBySize[18100] == nil)
    }

    @Test func `threads may throw while others load and list libraries`() async throws {
        let plugin = try await SampleProgram.build(
            "namespaces-plugin.c", flags: ["-O2", "-shared", "-fPIC"], suffix: ".so")
        let sample = try await SampleProgram.build(
            "throwing-threads.cpp", flags: SampleProgram.defaultFlags + ["-pthread"])
        let run = try await SideBySide(sample.path, ["5000", plugin.path])
        let snapshot = try run.expectSame()
        #expect(run.bare.output == "20000 caught\nready\n")
        #expect(snapshot.blocksBySize[19001] == 300)
        #expect(snapshot.counts(below: "count_module").inuseObjects == 0)
    }

    // MARK: Stacks

    @Test func `coroutines have their own stacks`() async throws {
        let sample = try await SampleProgram.build("coroutines.c")
        let run = try await SideBySide(sample.path)
        let snapshot = try run.expectSame()
        #expect(run.bare.output == "160 finished\nready\n")
        #expect(snapshot.blocksBySize[20001] == 320)
        #expect(snapshot.blocksBySize[20002] == 320)
        for sample in snapshot.samples {
            let functions = Set(snapshot.functions(of: sample))
            #expect(!functions.isSuperset(of: ["odd_coroutine", "even_coroutine"]))
            if functions.contains("dive") {
                #expect(functions.contains("odd_coroutine") || functions.contains("even_coroutine"))
            }
        }
    }

    /// What unwinding would read is not there, or leads in a circle.
    @Test(arguments: [("generated", 12), ("misleading", 12), ("expression", 12), ("edge", 1)])
    func `frame pointers may point anywhere`(how: String, blocks: Int64) async throws {
        let sample = try await SampleProgram.build("poisoned-frames.c")
        let snapshot = try await SideBySide(sample.path, [how]).expectSame()
        #expect(snapshot.blocksBySize[21001] == blocks)
        let cut =
            snapshot.statistics["stacks_cut_at_unwind", default: 0]
            + snapshot.statistics["stacks_cut_at_depth", default: 0]
        #expect(cut >= blocks)
    }

    /// The program itself never unwinds.
    ///
    /// Up to 24 bytes are changed in each of the two sections; the seed
    /// says which.
    @Test(arguments: 1...16)
    func `unwind information may be damaged`(seed: UInt64) async throws {
        let hasSignals = seed % 2 == 0
        let sample = try await SampleProgram.build(
            hasSignals ? "signal-in-vdso.c" : "exact-sites.c",
            flags: SampleProgram.defaultFlags + ["-pthread"])
        let directory = try TemporaryDirectory(in: "/tmp")
        let program = directory.path + "/damaged"
        try await Programs.succeed("cp", [sample.path, program])
        var bytes = try Files.bytes(of: program)
        var random = SeededGenerator(seed: seed)
        for section in try await sections(of: program, named: [".eh_frame", ".eh_frame_hdr"]) {
            for _ in 0..<Int.random(in: 1...24, using: &random) {
                bytes[Int.random(in: section, using: &random)] = .random(
                    in: 0...255, using: &random)
            }
        }
        try Files.write(bytes, to: program)

        let arguments = hasSignals ? [] : ["20", "2", "300", "40"]
        let snapshot = try await SideBySide(program, arguments).expectSame()

        #expect(snapshot.blocksBySize[hasSignals ? 9001 : 42] == (hasSignals ? 300 : 20))
    }

    /// Where the sections lie in the file.
    private func sections(of path: String, named names: [String]) async throws -> [Range<Int>] {
        // "  [17] .eh_frame_hdr     PROGBITS        0000000000002024 002024 000054 00   A  0   0  4"
        let lines = try await Programs.succeed("readelf", ["-SW", path]).split(separator: "\n")
        return try names.map { name in
            let fields = lines.map { $0.split(separator: " ") }
                .compactMap { $0.firstIndex { $0 == name }.map($0.dropFirst) }
                .first
            let line = try #require(fields)
            let numbers = line.dropFirst(3).prefix(2).compactMap { Int($0, radix: 16) }
            try #require(numbers.count == 2)
            return numbers[0]..<numbers[0] + numbers[1]
        }
    }
}
