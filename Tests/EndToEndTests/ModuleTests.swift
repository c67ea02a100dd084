import Glibc
import LeakprofModel
import LeakprofTestSupport
import Testing

/// Where code comes from, when that is not simply a file that is still there.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ModuleTests {
    @Test func `stacks go through signal frames and the vDSO`() async throws {
        let sample = try await SampleProgram.build("signal-in-vdso.c")
        let recording = try Recording()
        let (snapshot, status) = try await recording.snapshotWhenReady(sample.path)

        #expect(status == 0)
        let taken = snapshot.samples.filter { snapshot.functions(of: $0).first == "take" }
        #expect(taken.reduce(0) { $0 + $1.counts.inuseObjects } == 300)
        for sample in taken { #expect(snapshot.functions(of: sample).contains("main")) }
        #expect(snapshot.facts.recording?.statistics["stacks_cut_at_unwind"] == nil)
        // Where the signal came, to the instruction.
        let vdso = try #require(snapshot.mappings.firstIndex { $0.path.hasPrefix("linux-vdso") })
        let inVdso = snapshot.locations.filter { $0.mapping == vdso }
        #expect(inVdso.contains { $0.frames[0].function.contains("clock_gettime") })
        #expect(!snapshot.mappings[vdso].buildID.isEmpty)
    }

    /// A return address is looked up one byte lower; the address that a signal interrupted is not.
    @Test(.timeLimit(.minutes(10))) func `a signal at a function's entry is in that function`()
        async throws
    {
        let sample = try await SampleProgram.build("signal-at-entry.c")
        let recording = try Recording()
        let (snapshot, status) = try await recording.snapshotWhenReady(sample.path)

        #expect(status == 0)
        let taken = try #require(
            snapshot.samples.first { snapshot.functions(of: $0).first == "take" })
        let functions = snapshot.functions(of: taken)
        #expect(functions.contains("stop_here"))
        #expect(!functions.contains("neighbour"))
        #expect(functions.contains("main"))
    }

    /// Found by frame pointers.
    ///
    /// Where a function keeps none, its caller is missed out. Either way the stack says so.
    @Test func `callers of code without unwind information are found`() async throws {
        let sample = try await SampleProgram.build(
            "without-unwind-information.c",
            flags: SampleProgram.defaultFlags + ["-fno-omit-frame-pointer"])
        let recording = try Recording()
        let (snapshot, status) = try await recording.snapshotWhenReady(sample.path)
        #expect(status == 0)
        let gap = Placeholder.guessed.rawValue
        /// The stacks of all blocks of one size, without addresses and without what is outside of main.
        func stacks(_ size: Int64) -> [[String]] {
            snapshot.samples.filter {
                $0.counts.inuseObjects > 0
                    && $0.counts.inuseSpace == $0.counts.inuseObjects * size
            }.map { sample in
                let names = snapshot.functions(of: sample)
                let inner = names.prefix { $0 != "main" } + (names.contains("main") ? ["main"] : [])
                return inner.map { $0.hasPrefix("0x") ? "JIT" : $0 }
            }
        }

        let once = ["allocate", "keep_frame_pointer", gap, "call_once", "main"]
        #expect(stacks(1001) == [once, once])
        #expect(
            stacks(1002) == [
                [
                    "allocate", "keep_frame_pointer", gap, "allocate_twice_removed",
                    "keep_frame_pointer", gap, "call_twice", "main",
                ]
            ])
        #expect(stacks(1003) == [["allocate", "JIT", gap, "call_once", "main"]])
        #expect(
            stacks(1004) == [
                [
                    "allocate", "keep_frame_pointer", gap, "allocate_twice_removed", "JIT", gap,
                    "call_twice", "main",
                ]
            ])
        // The frame pointer is call_once's.
        #expect(stacks(2001) == [["allocate", "keep_none", gap, "main"]])
        // What is in rbp there leads nowhere, but once: what was followed in vain is tried again.
        let cut = Placeholder.cutAtUnwind.rawValue
        let astray = Set(stacks(4001))
        #expect(astray.contains(["allocate", "use_rbp", cut]))
        #expect(astray.contains(["allocate", "use_rbp", gap, "main"]))
        #expect(
            astray.allSatisfy { stack in
                stack.last == "main" || stack.last == cut && !stack.contains(gap)
            })
        // Pointers to functions and to data are not return addresses.
        #expect(
            astray.joined().allSatisfy {
                ["allocate", "use_rbp", "JIT", gap, cut, "main"].contains($0)
            })
        let statistics = try #require(snapshot.facts.recording?.statistics)
        #expect((statistics["stacks_cut_at_unwind"] ?? 0) >= 10 * (5 + 2 + 25 + 1))
    }

    /// As node is: the loader then knows the program's segments, not the program, as one piece.
    @Test func `a program with gaps between its segments is named`() async throws {
        let sample = try await SampleProgram.build(
            "exits.c",
            flags: SampleProgram.defaultFlags + ["-no-pie", "-Wl,--section-start=.text=0x900000"])
        let recording = try Recording(["LEAKPROF_KEEP": "1"])
        #expect(try await recording.run(sample.path).status == 6)
        let snapshot = try await recording.snapshot(try #require(recording.regions.first))

        let program = try #require(snapshot.mappings.first)
        #expect(program.path == sample.path)
        #expect(!program.buildID.isEmpty)
        #expect(snapshot.counts(below: "main").inuseSpace == 50 * 3001)
    }

    /// Two builds of one sample whose functions lie at the same places under other names.
    private func plugins() async throws -> (original: String, other: String) {
        func build(_ name: String) async throws -> String {
            try await SampleProgram.build(
                "plugin.c",
                flags: [
                    "-O2", "-g", "-fno-builtin", "-shared", "-fPIC", "-DNAME=\(name)", "-DCOUNT=10",
                    "-DSIZE=8100",
                ], suffix: "-\(name).so"
            ).path
        }
        return (try await build("true_name"), try await build("false_name"))
    }

    /// Loads a plugin, does something to its file, and takes a snapshot, while the program runs or after it
    /// was killed.
    private func snapshot(
        afterwards: (_ plugin: String, _ other: String) async throws -> Void, killed: Bool
    ) async throws -> Snapshot {
        let (original, other) = try await plugins()
        let sample = try await SampleProgram.build("dlopen-leak.c")
        let recording = try Recording(["KEEP_LOADED": "1"])
        let plugin = recording.directory.path + "/plugin.so"
        try await Programs.succeed("cp", [original, plugin])
        return try await recording.with(sample.path, [plugin]) { program in
            try await program.line(startingWith: "ready")
            try await afterwards(plugin, other)
            if killed {
                program.signal(SIGKILL)
                // The end of its output is the end of the process.
                while (try? await program.line()) != nil {}
            }
            return try await recording.snapshot(of: program)
        }.result
    }

    private func replace(_ plugin: String, by other: String) async throws {
        // As package managers do it: the old file loses its name.
        try await Programs.succeed("cp", [other, plugin + ".new"])
        try await Programs.succeed("mv", [plugin + ".new", plugin])
    }

    @Test func `a deleted file is read from the process that has it`() async throws {
        let snapshot = try await snapshot(
            afterwards: { plugin, _ in unlink(plugin) }, killed: false)
        #expect(snapshot.counts(below: "true_name").inuseObjects == 10)
    }

    @Test func `a replaced file is read from the process that has the old one`() async throws {
        let snapshot = try await snapshot(
            afterwards: { try await replace($0, by: $1) }, killed: false)
        #expect(snapshot.counts(below: "true_name").inuseObjects == 10)
        #expect(snapshot.counts(below: "false_name") == .zero)
    }

    @Test func `when the process is gone, a replaced file is not believed`() async throws {
        let snapshot = try await snapshot(
            afterwards: { try await replace($0, by: $1) }, killed: true)
        #expect(snapshot.counts(below: "true_name") == .zero)
        #expect(snapshot.counts(below: "false_name") == .zero)
        #expect(snapshot.facts.notes.contains { $0.contains("replaced since by another build") })
        let leak = try #require(snapshot.samples.first { $0.counts.inuseSpace == 81_000 })
        #expect(snapshot.functions(of: leak)[0].hasPrefix("plugin.so+0x"))
    }

    /// A tree with its own root, as containers have: paths mean what they mean in there.
    @Test func `files of a process with another root are found in that root`() async throws {
        let recording = try Recording()
        let root = recording.directory.path + "/root"
        let sample = try await SampleProgram.build("steady-growth.c")
        let listing = try await Programs.succeed("ldd", [sample.path])
        let words = listing.split { $0 == " " || $0 == "\n" || $0 == "\t" }
        let libraries = words.filter { $0.hasPrefix("/") }.map { String($0) }
        for file in libraries {
            let folder = root + "/" + file.split(separator: "/").dropLast().joined(separator: "/")
            try await Programs.succeed("mkdir", ["-p", folder])
            try await Programs.succeed("cp", ["-L", file, folder])
        }
        try await Programs.succeed("cp", [sample.path, root + "/program-in-container"])
        try await Programs.succeed("cp", [BuiltProducts.shim, root + "/libleakshim.so"])
        for folder in ["recordings", "proc"] {
            try await Programs.succeed("mkdir", ["-m", "700", "\(root)/\(folder)"])
        }

        // A user and mount namespace of its own, so that this needs no root.
        let (snapshot, status) = try await Programs.with(
            "unshare",
            [
                "--map-root-user", "--mount", "sh", "-c",
                """
                mount --rbind /proc "$0/proc" &&
                LEAKPROF_DIR=/recordings LD_PRELOAD=/libleakshim.so exec chroot "$0" /program-in-container
                """, root,
            ]
        ) { program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
            try await program.line(startingWith: "grown")
            return try await recording.snapshot(of: program)
        }

        #expect(status == 0)
        #expect(snapshot.counts(below: "grow").inuseObjects == 1000)
        #expect(snapshot.mappings.first?.path == "/program-in-container")
    }
}
