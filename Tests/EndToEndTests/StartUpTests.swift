import Glibc
import LeakprofModel
import LeakprofTestSupport
import Testing

/// What happens before main, and programs that the shim can't be loaded into or is never called by.
@Suite(.serialized, .timeLimit(.minutes(10))) struct StartUpTests {
    private static let libraryFlags = ["-O2", "-g", "-fno-builtin", "-shared", "-fPIC"]

    private func library(_ source: String) async throws -> String {
        try await SampleProgram.build(source, flags: Self.libraryFlags, suffix: ".so").path
    }

    /// Whose malloc is called in place of the shim's.
    private func bypass(of snapshot: Snapshot) -> String? { snapshot.facts.recording?.otherMalloc }

    private func leakprof(
        _ arguments: [String], environment: [String: String?] = [:], input: String = ""
    ) async throws -> (finished: Finished, directory: TemporaryDirectory) {
        let directory = try TemporaryDirectory()
        var variables = environment
        variables["LEAKPROF_DIR"] = directory.path
        let finished = try await Programs.run(
            BuiltProducts.leakprof, arguments, environment: variables, directory: directory.path,
            input: input)
        return (finished, directory)
    }

    // MARK: Before main

    /// ld.so relocates the library before the shim: its IFUNC resolver calls a shim that can call nothing.
    @Test func `allocations before main work, and are recorded from the first constructor on`()
        async throws
    {
        let library = try await library("start-up-library.c")
        let sample = try await SampleProgram.build(
            "start-up.c", flags: SampleProgram.defaultFlags + [library])

        let snapshot = try await SideBySide(sample.path).expectSame()

        for size: Int64 in [11002, 11003, 1105] { #expect(snapshot.blocksBySize[size] == 20) }
        // IFUNC resolvers run before any constructor can; what they allocate is counted, and no more.
        #expect(snapshot.blocksBySize[11001] == nil)
        #expect(snapshot.blocksBySize[1104] == nil)
        #expect(snapshot.statistics["early_allocations", default: 0] >= 60 + 50)
    }

    @Test func `an auditing library does not get in the way`() async throws {
        let audit = try await library("audit.c")
        let plugin = try await library("namespaces-plugin.c")
        let sample = try await SampleProgram.build("namespaces.c")

        let snapshot = try await SideBySide(
            sample.path, ["dlmopen", plugin], variables: ["LD_AUDIT": audit]
        ).expectSame()

        #expect(snapshot.blocksBySize[12001] == 10)
    }

    @Test func `thread-local memory that is made on first use is not asked for`() async throws {
        let library = try await library("no-tls-get-addr.c")
        let sample = try await SampleProgram.build("exits.c")
        for mode in ["exact", "sampled", "auto"] {
            let run = try await SideBySide(
                sample.path, ["exit"], inFront: [library], variables: ["LEAKPROF_MODE": mode])
            let snapshot = try run.expectSame(status: 3)
            if mode == "exact" { #expect(snapshot.blocksBySize[3001] == 50) }
        }
    }

    @Test(arguments: ["rewrite", "huge"])
    func `the environment may be huge, and may be overwritten later`(how: String) async throws {
        let sample = try await SampleProgram.build("environment.c")

        let run = try await SideBySide(sample.path, [how])

        #expect(run.recorded == run.bare)
        #expect(run.bare == Finished(status: 0, output: "0 variables\nready\n", errors: ""))
        // LEAKPROF_MODE and LEAKPROF_KEEP stand behind 1.5 MB of other variables.
        #expect(run.snapshots.count == 2)
        for snapshot in run.snapshots {
            #expect(snapshot.facts.recording?.mode == "exact")
            #expect(snapshot.blocksBySize[14001] == 15)
        }
    }

    // MARK: More rights than the caller has

    @Test func `in a program with more rights than its caller, the shim only forwards`()
        async throws
    {
        let library = try await library("pretend-secure.c")
        let sample = try await SampleProgram.build("exits.c")

        let run = try await SideBySide(sample.path, ["exit"], inFront: [library])

        #expect(run.recorded == run.bare)
        #expect(run.bare.status == 3)
        #expect(run.snapshots.isEmpty)
    }

    @Test func `run says that a setuid program is not recorded`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        var program = "/usr/bin/su"
        var status: Int32 = 0
        if geteuid() == 0 {
            // What belongs to root gives root no more rights.
            program = directory.path + "/set user ID"
            status = 6
            let sample = try await SampleProgram.build("exits.c")
            try await Programs.succeed("cp", [sample.path, program])
            try await Programs.succeed("chown", ["nobody", program])
            try await Programs.succeed("chmod", ["4755", program])
            try await Programs.succeed("chmod", ["755", directory.path])
        }

        let (finished, recordings) = try await leakprof(["run", "--", program, "--version"])

        #expect(finished.status == status)
        #expect(finished.errors.contains("\(program) runs with more rights than you have"))
        #expect(!finished.errors.contains("recording pid"))
        #expect(Files.names(in: recordings.path) == [])
    }

    // MARK: Paths

    @Test func `a shim whose path LD_PRELOAD can't carry is refused`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        for name in ["with space", "with:colon"] {
            let folder = "\(directory.path)/\(name)"
            try await Programs.succeed("mkdir", [folder])
            try await Programs.succeed("cp", [BuiltProducts.shim, folder])
            let shim = folder + "/libleakshim.so"
            let (finished, _) = try await leakprof(
                ["run", "--", "true"], environment: ["LEAKPROF_SHIM": shim])
            #expect(finished.status == 1)
            #expect(finished.errors.contains("\(shim) has a space or a colon in it"))
            #expect(finished.errors.contains("try: install leakprof elsewhere"))
        }
    }

    @Test func `programs and recordings may lie where there are spaces`() async throws {
        let sample = try await SampleProgram.build("exits.c")
        let directory = try TemporaryDirectory(in: "/tmp")
        let program = directory.path + "/the program"
        let recordings = directory.path + "/the recordings"
        try await Programs.succeed("cp", [sample.path, program])
        try await Programs.succeed("mkdir", ["-m", "700", recordings])

        let finished = try await Programs.run(
            BuiltProducts.leakprof,
            ["run", "--dir", recordings, "-o", "-", "--", program, "exit"],
            directory: directory.path)

        #expect(finished.status == 3)
        #expect(finished.errors.contains("size=147 KiB, count=50"))
    }

    // MARK: Where the shim can't be loaded

    /// What `run` says, beside what the program does without it.
    private func runInstead(_ program: String, _ arguments: [String] = [], input: String = "")
        async throws -> (said: String, isSame: Bool, hasRegion: Bool)
    {
        let bare = try await Programs.run(program, arguments, input: input)
        let (finished, directory) = try await leakprof(
            ["run", "--", program] + arguments, input: input)
        // What run says comes first, in one line.
        let lines = finished.errors.split(separator: "\n", omittingEmptySubsequences: false)
        let rest = lines.dropFirst().joined(separator: "\n")
        return (
            String(lines.first ?? ""),
            Finished(status: finished.status, output: finished.output, errors: rest) == bare,
            !Files.names(in: directory.path).isEmpty
        )
    }

    @Test func `a program for another processor runs without the shim`() async throws {
        let sample = try await SampleProgram.build(
            "i386.c",
            flags: ["-O2", "-m32", "-static", "-nostdlib", "-fno-pie", "-no-pie"])
        let (said, isSame, hasRegion) = try await runInstead(sample.path)
        #expect(said.contains("is for another kind of processor than this leakprof"))
        #expect(isSame)
        #expect(!hasRegion)
    }

    @Test func `a Go program without cgo runs, and it is said where its heap is`() async throws {
        let path = try await Programs.succeed("which", ["gofmt"])
        let (said, isSame, hasRegion) = try await runInstead(
            String(path.dropLast()), input: "package  main\nvar x   =  1\n")
        #expect(said.contains("is a Go program without cgo"))
        #expect(isSame)
        #expect(!hasRegion)
    }

    /// musl's loader knows LD_PRELOAD as well: a program that another one starts has the shim loaded.
    @Test func `a program with another C library runs, with the shim and without`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let program = directory.path + "/for-musl"
        try await Programs.succeed(
            "musl-gcc",
            ["-O2", "-fno-builtin", "-o", program, "\(BuiltProducts.root)/Samples/exits.c"])

        let (said, isSame, hasRegion) = try await runInstead(program, ["exit"])
        #expect(said.contains("uses another C library (/lib/ld-musl-"))
        #expect(isSame)
        #expect(!hasRegion)

        let run = try await SideBySide(program, ["exit"])
        #expect(run.recorded == run.bare)
        #expect(run.bare == Finished(status: 3, output: "", errors: ""))
        #expect(run.snapshots.isEmpty)
    }

    @Test(arguments: [
        ["-fsanitize=address"], ["-fsanitize=address", "-static-libasan"], ["-fsanitize=thread"],
        ["-fsanitize=leak"],
    ])
    func `a sanitized program runs without the shim`(flags: [String]) async throws {
        let sample = try await SampleProgram.build(
            "exits.c", flags: SampleProgram.defaultFlags + flags)
        let (said, isSame, hasRegion) = try await runInstead(sample.path, ["_exit"])
        #expect(said.contains("is built with a sanitizer"))
        #expect(isSame)
        #expect(!hasRegion)
    }

    /// A child of a recorded program has the shim loaded, whatever it was built with.
    ///
    /// AddressSanitizer refuses any preloaded library when it is a library itself.
    @Test(arguments: [["-fsanitize=thread"], ["-fsanitize=address", "-static-libasan"]])
    func `a sanitized program survives the shim`(flags: [String]) async throws {
        let sample = try await SampleProgram.build(
            "exits.c", flags: SampleProgram.defaultFlags + flags)
        let snapshot = try await SideBySide(sample.path, ["_exit"]).expectSame(status: 4)
        if flags.count == 2 {
            #expect(bypass(of: snapshot) == sample.path)
        } else {
            #expect(snapshot.blocksBySize[3001] == 50)
        }
    }

    /// valgrind puts a malloc of its own in place of every library's, the shim's included.
    @Test func `valgrind finds nothing wrong with a program that has the shim`() async throws {
        let sample = try await SampleProgram.build("exits.c")
        let run = try await SideBySide(
            "valgrind", ["-q", "--error-exitcode=9", sample.path, "exit"])
        #expect(run.bare.status == 3)
        #expect(run.recorded.status == 3)
        #expect(run.recorded.output == run.bare.output)
    }

    // MARK: Where the shim is not called

    @Test func `it is said that a program has its own malloc`() async throws {
        let sample = try await SampleProgram.build("own-allocator.c")

        let snapshot = try await SideBySide(sample.path).expectSame()
        #expect(bypass(of: snapshot) == sample.path)
        #expect(snapshot.totals.allocObjects == 0)

        let (finished, directory) = try await leakprof(
            ["run", "-o", "final", "--", sample.path], input: "\n")
        #expect(finished.status == 0)
        #expect(finished.output == "ready\n")
        #expect(finished.errors.contains("has an allocator linked into it (malloc)"))
        #expect(finished.errors.contains("\(sample.path) has a malloc of its own"))
        let top = try await Programs.succeed(
            BuiltProducts.leakprof, ["top", directory.path + "/final"])
        #expect(top.contains("note: \(sample.path) has a malloc of its own"))
    }

    @Test func `it is said while the program runs`() async throws {
        let sample = try await SampleProgram.build("own-allocator.c")
        let recording = try Recording()
        _ = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            let finished = try await Programs.run(
                BuiltProducts.leakprof,
                ["snapshot", "\(program.pid)", "-o", recording.directory.path + "/taken"])
            #expect(finished.status == 0)
            #expect(finished.errors.contains("note: \(sample.path) has a malloc of its own"))
            let doctor = try await Programs.run(
                BuiltProducts.leakprof, ["doctor", "\(program.pid)"])
            #expect(doctor.status == 1)
            #expect(doctor.output.contains("has an allocator linked into it"))
        }
    }

    /// Its calloc is the shim's, whose blocks the program's own free takes.
    @Test func `a program may define a part of the family`() async throws {
        let sample = try await SampleProgram.build(
            "own-allocator.c", flags: SampleProgram.defaultFlags + ["-DPARTLY"])
        let snapshot = try await SideBySide(sample.path).expectSame()
        #expect(bypass(of: snapshot) == sample.path)
        #expect(snapshot.blocksBySize[13003] == 25)
    }

    @Test(arguments: ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2.0"])
    func `an allocator in front of the shim is named`(allocator: String) async throws {
        let sample = try await SampleProgram.build("exits.c")
        let snapshot = try await SideBySide(sample.path, ["exit"], inFront: [allocator])
            .expectSame(status: 3)
        let stem = allocator.prefix { $0 != "." }
        #expect(bypass(of: snapshot)?.contains("/\(stem)") == true)
        #expect(snapshot.blocksBySize[3001] == nil)

        let behind = try await SideBySide(sample.path, ["exit"], preloading: [allocator])
            .expectSame(status: 3)
        #expect(bypass(of: behind) == nil)
        #expect(behind.blocksBySize[3001] == 50)
    }

    /// In such a program, the address of malloc is that of its own jump to it.
    @Test func `a program with fixed addresses that takes malloc's calls the shim`() async throws {
        let sample = try await SampleProgram.build(
            "new-handler.cpp", flags: SampleProgram.defaultFlags + ["-no-pie", "-fno-pie"])
        let poisoned = try await SampleProgram.build(
            "poisoned-frames.c", flags: SampleProgram.defaultFlags + ["-no-pie", "-fno-pie"])
        for (program, arguments) in [(sample.path, []), (poisoned.path, ["generated"])] {
            #expect(bypass(of: try await SideBySide(program, arguments).expectSame()) == nil)
        }
    }

    @Test(arguments: ["deepbind", "dlmopen"])
    func `libraries may have another malloc than the program`(how: String) async throws {
        let plugin = try await library("namespaces-plugin.c")
        let sample = try await SampleProgram.build("namespaces.c")

        let snapshot = try await SideBySide(sample.path, [how, plugin]).expectSame()

        #expect(snapshot.blocksBySize[12001] == 10)
        #expect(snapshot.blocksBySize[12002] == nil)
        #expect(snapshot.blocksBySize[12003] == nil)
        let isShared = how == "deepbind"
        // Blocks that the program gave back for the plugin; and the other way round, where all are seen
        // but the last, when their places are used again.
        #expect(snapshot.statistics["unknown_frees"] == (isShared ? 10 : nil))
        #expect(snapshot.statistics["replaced_blocks", default: 0] >= (isShared ? 9 : 0))
    }

    @Test func `functions that other allocators have stay absent`() async throws {
        let sample = try await SampleProgram.build("weak-allocators.c")
        let run = try await SideBySide(sample.path)
        _ = try run.expectSame()
        #expect(run.bare.output == "0 there\n")
    }
}
