import LeakprofTestSupport
import Testing

/// The stacks that the recorder finds by its rules and by replaying the last one, against libgcc's.
///
/// In real programs, every one of them. A stack that differs ends the program with status 99.
@Suite(.serialized, .timeLimit(.minutes(10))) struct StackOracleTests {
    /// Shims that compare (script/build-stack-oracle), built once; on an old glibc, the shim has to find modules
    /// and its next allocator by itself.
    private static let directory = Result { try TemporaryDirectory(in: "/tmp") }
    private static let current = Task { try await build("current.so", []) }
    private static let onOldGlibc = Task { try await build("old.so", ["--old-glibc"]) }

    private static func build(_ name: String, _ arguments: [String]) async throws -> String {
        let path = "\(try directory.get().path)/\(name)"
        let script = "\(BuiltProducts.root)/script/build-stack-oracle"
        try await Programs.succeed(script, [path] + arguments)
        return path
    }

    /// The oracle's `struct counts`.
    private struct Comparison {
        var compared = 0
        var byRules = 0
        var cut = 0
        var outside = 0
        var lost = 0
        var unowned = 0
        var guessed = 0
        var differences = 0
        var status: Int32

        /// The program ended well, and all its stacks were compared and were the same.
        var isComplete: Bool { status == 0 && differences == 0 && lost == 0 && unowned == 0 }

        init(counts: [UInt8], status: Int32) {
            self.status = status
            let fields: [WritableKeyPath<Self, Int>] = [
                \.compared, \.byRules, \.cut, \.outside, \.lost, \.unowned, \.guessed,
                \.differences,
            ]
            for (index, field) in fields.enumerated() {
                self[keyPath: field] = counts[index * 8..<index * 8 + 8].reversed()
                    .reduce(0) { $0 << 8 | Int($1) }
            }
        }
    }

    /// Runs a program under the oracle.
    private func compare(
        _ program: String, _ arguments: [String] = [], onOldGlibc: Bool = false, depth: Int = 128,
        while body: (RunningProgram) async throws -> Void = { program in
            while (try? await program.line()) != nil {}
        }
    ) async throws -> Comparison {
        let directory = try TemporaryDirectory()
        let counts = "\(directory.path)/counts"
        try Files.write([UInt8](repeating: 0, count: 4096), to: counts)
        let (_, status) = try await Programs.with(
            program, arguments,
            environment: [
                "LD_PRELOAD": try await (onOldGlibc ? Self.onOldGlibc : Self.current).value,
                "LEAKPROF_DIR": directory.path,
                "LEAKPROF_MODE": "exact", "LEAKPROF_REGION_SIZE": "128MiB",
                "LEAKPROF_DEPTH": "\(depth)",
                // The oracle knows native frames alone.
                "LEAKPROF_PYTHON": "0",
                "STACK_ORACLE": counts,
            ], body: body)
        let comparison = Comparison(counts: try Files.bytes(of: counts), status: status)
        if comparison.differences > 0 {
            Issue.record(Comment(rawValue: try Files.text(of: "\(counts).log")))
        }
        return comparison
    }

    @Test(arguments: [false, true])
    func `stacks that exceptions and longjmp end`(onOldGlibc: Bool) async throws {
        let sample = try await SampleProgram.build("throwing.cpp")
        let stacks = try await compare(sample.path, ["5000"], onOldGlibc: onOldGlibc)
        #expect(stacks.isComplete)
        #expect(stacks.compared > 400_000)
        #expect(stacks.byRules == stacks.compared)
        #expect(stacks.outside == 0)
    }

    @Test func `Swift tasks`() async throws {
        let sample = try await SampleProgram.build(
            "swift-async.swift", flags: ["-O", "-parse-as-library"])
        let stacks = try await compare(sample.path)
        #expect(stacks.isComplete)
        #expect(stacks.compared > 10_000)
        #expect(stacks.byRules == stacks.compared)
        // Some functions that the compiler makes have no unwind information.
        #expect(stacks.guessed > 0)
        #expect(stacks.cut == 0)
    }

    @Test(arguments: [
        ["c++", "-O1", "-S", "-o", "/dev/null", "\(BuiltProducts.root)/Samples/cache-service.cpp"],
        ["python3", "-c", "import json, re; [json.dumps([{'a': [i]}] * 30) for i in range(2000)]"],
        ["bash", "-c", "for i in 1 2 3; do x=$(ls /); done"],
        ["perl", "-e", "my %h; $h{$_} = 'x' x $_ for 1..3000"],
    ])
    func `real programs`(command: [String]) async throws {
        let stacks = try await compare(command[0], Array(command.dropFirst()))
        #expect(stacks.isComplete)
        #expect(stacks.compared > 1000)
        #expect(stacks.byRules == stacks.compared)
    }

    @Test(arguments: ["-fomit-frame-pointer", "-fno-omit-frame-pointer"])
    func `all that unwind information can say`(flag: String) async throws {
        let sample = try await SampleProgram.build(
            "odd-unwind-information.c", flags: SampleProgram.defaultFlags + [flag])
        let stacks = try await compare(sample.path)
        #expect(stacks.isComplete)
        #expect(stacks.compared == 4000)
        #expect(stacks.byRules > 2000)
        #expect(stacks.cut == 0)
    }

    private func compareWithoutUnwindInformation(
        flag: String = "-fomit-frame-pointer", depth: Int = 128
    ) async throws -> Comparison {
        let sample = try await SampleProgram.build(
            "without-unwind-information.c", flags: SampleProgram.defaultFlags + [flag])
        return try await compare(sample.path, depth: depth) { program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
        }
    }

    /// As far as libgcc gets, it is the same; whatever is in rbp.
    @Test(arguments: ["-fomit-frame-pointer", "-fno-omit-frame-pointer"])
    func `code without unwind information`(flag: String) async throws {
        let stacks = try await compareWithoutUnwindInformation(flag: flag)
        #expect(stacks.isComplete)
        #expect(stacks.compared > 300)
        #expect(stacks.byRules == stacks.compared)
        #expect(stacks.guessed >= 50)
        #expect(stacks.outside >= 20)
    }

    @Test func `the depth limit, also next to code without unwind information`() async throws {
        for depth in 1...6 {
            let stacks = try await compareWithoutUnwindInformation(depth: depth)
            #expect(stacks.isComplete)
            #expect(stacks.compared > 300)
            #expect(stacks.byRules == stacks.compared)
        }
    }

    /// Unwinders know a signal frame that has no unwind information by its instructions.
    @Test func `handlers that do not return through libc`() async throws {
        let sample = try await SampleProgram.build("signal-own-return.c")
        let stacks = try await compare(sample.path)
        #expect(stacks.isComplete)
        #expect(stacks.compared == 51)
        #expect(stacks.cut == 0)
    }

    /// A signal frame is beyond the rules: the general unwinder is asked.
    @Test func `signal handlers`() async throws {
        let sample = try await SampleProgram.build("signal-in-vdso.c")
        let stacks = try await compare(sample.path) { program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
        }
        #expect(stacks.isComplete)
        #expect(stacks.compared >= 300)
        #expect(stacks.byRules < stacks.compared)
        #expect(stacks.outside == 0)
    }

    /// Three builds of one library.
    private func plugins() async throws -> [String] {
        var plugins: [String] = []
        for (name, flag) in [("one", "-O0"), ("two", "-O2"), ("three", "-Os")] {
            plugins.append(
                try await SampleProgram.build(
                    "plugin.c",
                    flags: [
                        flag, "-fno-builtin", "-shared", "-fPIC", "-DNAME=\(name)", "-DCOUNT=40",
                        "-DSIZE=64",
                    ], suffix: "-\(name).so"
                ).path)
        }
        return plugins
    }

    @Test(arguments: [false, true])
    func `libraries that take turns at one address`(onOldGlibc: Bool) async throws {
        let plugins = try await plugins()
        let sample = try await SampleProgram.build("dlopen-leak.c")
        let stacks = try await compare(
            sample.path, (0..<60).map { plugins[$0 % plugins.count] }, onOldGlibc: onOldGlibc
        ) { program in
            while try await program.line() != "ready" {}
            try await program.send("\n")
        }
        #expect(stacks.isComplete)
        #expect(stacks.compared > 60 * 40)
        #expect(stacks.byRules == stacks.compared)
        #expect(stacks.outside == 0)
    }

    /// No call of dlclose says that they are gone.
    @Test(arguments: [false, true])
    func `libraries that libc closes for itself`(onOldGlibc: Bool) async throws {
        let sample = try await SampleProgram.build("charsets.c")
        let stacks = try await compare(sample.path, try await plugins(), onOldGlibc: onOldGlibc)
        #expect(stacks.isComplete)
        #expect(stacks.compared > 1000 * 10)
        #expect(stacks.byRules == stacks.compared)
        #expect(stacks.outside == 0)
        #expect(stacks.cut == 0)
    }

    /// What was a stack a moment ago may be gone.
    @Test func `stacks that take turns at one address`() async throws {
        let sample = try await SampleProgram.build("stacks-in-turn.c")
        let stacks = try await compare(sample.path)
        #expect(stacks.isComplete)
        #expect(stacks.compared > 10_000)
        #expect(stacks.byRules == stacks.compared)
    }
}
