import LeakprofTestSupport
import Testing

/// The stacks that the recorder finds by its rules and by replaying the last one, against libgcc's.
///
/// In real programs, every one of them. A stack that differs ends the program with status 99.
@Suite(.serialized, .timeLimit(.minutes(3))) struct StackOracleTests {
    private static let folders = ["Layout", "Recorder", "Interpose"]
        .map { "\(BuiltProducts.root)/CShim/\($0)" }

    /// A shim whose lp_call_stack is checked by Samples/stack-oracle.c.
    ///
    /// On an old glibc, the shim has to find modules and its next allocator by itself.
    private func oracle(onOldGlibc: Bool) async throws -> String {
        let sources = Self.folders.flatMap { folder in
            Files.names(in: folder).filter { $0.hasSuffix(".c") }.map { "\(folder)/\($0)" }
        }
        let flags =
            ["-std=c17", "-D_GNU_SOURCE", "-O2", "-g", "-fPIC", "-shared", "-fvisibility=hidden"]
            + ["-ftls-model=initial-exec"]
            + Self.folders.map { "-I\($0)/include" }
            + ["-Wl,--wrap=lp_call_stack", "-l:libgcc_eh.a", "-Wl,-z,now"]
            + (onOldGlibc ? ["\(BuiltProducts.root)/Samples/without-dlsym.c"] : [])
            + (onOldGlibc ? ["-Wl,--wrap=lp_loader_symbol"] : [])
            + ["-Wl,--version-script=\(BuiltProducts.root)/CShim/Interpose/exports.map"]
        return try await SampleProgram.build(
            "stack-oracle.c", flags: sources + flags, suffix: ".so"
        ).path
    }

    /// Runs a program under the oracle and returns how many stacks were compared, how many of them were found
    /// by rules, and how many had a frame in no module or were cut.
    private func compare(
        _ program: String, _ arguments: [String] = [], onOldGlibc: Bool = false,
        while body: (RunningProgram) async throws -> Void = { program in
            while (try? await program.line()) != nil {}
        }
    ) async throws -> (compared: Int, byRules: Int, outside: Int, status: Int32) {
        let directory = try TemporaryDirectory()
        let (_, status) = try await Programs.with(
            program, arguments,
            environment: [
                "LD_PRELOAD": try await oracle(onOldGlibc: onOldGlibc),
                "LEAKPROF_DIR": directory.path,
                "LEAKPROF_MODE": "exact", "LEAKPROF_REGION_SIZE": "128MiB",
                "STACK_ORACLE": "\(directory.path)/compared",
            ], body: body)
        let lines = try Files.text(of: "\(directory.path)/compared").split(separator: "\n")
            .map { line in line.split(separator: " ").compactMap { Int($0) } }
        let sums = (0..<3).map { column in lines.reduce(0) { $0 + $1[column] } }
        return (sums[0], sums[1], sums[2], status)
    }

    @Test(arguments: [false, true])
    func `stacks that exceptions and longjmp end`(onOldGlibc: Bool) async throws {
        let sample = try await SampleProgram.build("throwing.cpp")
        let (compared, byRules, outside, status) = try await compare(
            sample.path, ["5000"], onOldGlibc: onOldGlibc)
        #expect(status == 0)
        #expect(compared > 400_000)
        #expect(byRules == compared)
        #expect(outside == 0)
    }

    @Test func `Swift tasks`() async throws {
        let sample = try await SampleProgram.build(
            "swift-async.swift", flags: ["-O", "-parse-as-library"])
        let (compared, byRules, _, status) = try await compare(sample.path)
        #expect(status == 0)
        #expect(compared > 10_000)
        #expect(byRules == compared)
    }

    @Test(arguments: [
        ["c++", "-O1", "-S", "-o", "/dev/null", "\(BuiltProducts.root)/Samples/cache-service.cpp"],
        ["python3", "-c", "import json, re; [json.dumps([{'a': [i]}] * 30) for i in range(2000)]"],
        ["bash", "-c", "for i in 1 2 3; do x=$(ls /); done"],
        ["perl", "-e", "my %h; $h{$_} = 'x' x $_ for 1..3000"],
    ])
    func `real programs`(command: [String]) async throws {
        let (compared, byRules, _, status) = try await compare(
            command[0], Array(command.dropFirst()))
        #expect(status == 0)
        #expect(compared > 1000)
        #expect(byRules == compared)
    }

    /// A signal frame is beyond the rules: the general unwinder is asked.
    @Test func `signal handlers`() async throws {
        let sample = try await SampleProgram.build("signal-in-vdso.c")
        let (compared, byRules, outside, status) = try await compare(sample.path) { program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
        }
        #expect(status == 0)
        #expect(compared >= 300)
        #expect(byRules < compared)
        #expect(outside == 0)
    }

    @Test(arguments: [false, true])
    func `libraries that take turns at one address`(onOldGlibc: Bool) async throws {
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
        let sample = try await SampleProgram.build("dlopen-leak.c")
        let (compared, byRules, outside, status) = try await compare(
            sample.path, (0..<60).map { plugins[$0 % plugins.count] }, onOldGlibc: onOldGlibc
        ) { program in
            while try await program.line() != "ready" {}
            try await program.send("\n")
        }
        #expect(status == 0)
        #expect(compared > 60 * 40)
        #expect(byRules == compared)
        #expect(outside == 0)
    }
}
