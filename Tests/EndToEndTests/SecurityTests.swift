import Glibc
import LeakprofModel
import LeakprofTestSupport
import Testing

/// What users may do to each other by way of leakprof.
///
/// Needs root, which alone can act as somebody else.
@Suite(.serialized, .timeLimit(.minutes(10))) struct SecurityTests {
    /// A user with whom nobody has anything to do.
    private static let stranger: UInt32 = 54_321

    /// leakprof and a program where every user may run them, and a place for their files.
    private struct Stage {
        let directory: TemporaryDirectory
        let leakprof: String
        let shim: String
        let program: String

        init(_ source: String = "steady-growth.c", flags: [String] = SampleProgram.defaultFlags)
            async throws
        {
            #expect(geteuid() == 0)
            directory = try TemporaryDirectory(in: "/tmp")
            chmod(directory.path, 0o755)
            let sample = try await SampleProgram.build(source, flags: flags)
            try await Programs.succeed(
                "cp", [BuiltProducts.leakprof, BuiltProducts.shim, sample.path, directory.path])
            leakprof = directory.path + "/leakprof"
            shim = directory.path + "/libleakshim.so"
            program = directory.path + "/" + String(sample.path.split(separator: "/").last ?? "")
        }

        /// Makes a folder; `owner` is its user and its group.
        func folder(_ name: String, owner: UInt32 = 0, mode: mode_t = 0o700) -> String {
            let path = directory.path + "/" + name
            mkdir(path, mode)
            chmod(path, mode)
            chown(path, owner, owner)
            return path
        }
    }

    /// The command that runs `command` as a user without any rights.
    private static func asStranger(_ command: [String]) -> [String] {
        let id = "\(stranger)"
        return ["--reuid", id, "--regid", id, "--clear-groups", "--"] + command
    }

    /// The command that records `command`; not the program that starts it.
    private static func recorded(
        _ stage: Stage, in directory: String?, _ command: [String]
    ) -> [String] {
        ["env"] + (directory.map { ["LEAKPROF_DIR=\($0)"] } ?? ["-u", "LEAKPROF_DIR"])
            + ["LD_PRELOAD=\(stage.shim)", "LEAKPROF_MODE=exact", "LEAKPROF_REGION_SIZE=256KiB"]
            + command
    }

    private func mode(_ path: String) -> mode_t {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : 0
    }

    /// The region that a run of the program leaves when it is killed.
    private func leaveRegion(_ stage: Stage, in directory: String, asStranger: Bool) async throws {
        let command = Self.recorded(stage, in: directory, [stage.program])
        _ = try await Programs.with(
            asStranger ? "setpriv" : "env",
            asStranger ? Self.asStranger(command) : Array(command.dropFirst())
        ) { program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
            try await program.line(startingWith: "grown")
            program.signal(SIGKILL)
            while (try? await program.line()) != nil {}
        }
    }

    // MARK: What is written

    @Test func `what is written is for its user alone, whatever the umask`() async throws {
        let stage = try await Stage()
        let recordings = stage.directory.path + "/recordings"
        let files = stage.folder("files")
        let script =
            "umask 0; exec \"$@\""
        _ = try await Programs.with(
            "sh",
            ["-c", script, "sh"] + Self.recorded(stage, in: recordings, [stage.program])
        ) { program in
            try await program.line(startingWith: "ready")
            program.signal(__libc_current_sigrtmin() + 7)
            try await program.send("\n")
            try await program.line(startingWith: "grown")
            for arguments in [
                ["snapshot", "\(program.pid)", "-o", "s"], ["flamegraph", "s"],
                ["snapshot", "\(program.pid)"],
            ] {
                try await Programs.succeed(
                    "sh", ["-c", script, "sh", stage.leakprof] + arguments,
                    environment: ["LEAKPROF_DIR": recordings], directory: files)
            }
            #expect(mode(recordings) == 0o700)
            let regions = Files.names(in: recordings)
            #expect(regions.count == 2)
            for name in regions { #expect(mode("\(recordings)/\(name)") == 0o600) }
            let written = Files.names(in: files)
            #expect(written.count == 3)
            for name in written { #expect(mode("\(files)/\(name)") == 0o600) }
        }
    }

    @Test func `no file holds what was in memory`() async throws {
        let stage = try await Stage("secrets.c")
        let recordings = stage.folder("recordings")
        let word = "correct-horse-battery-staple"
        _ = try await Programs.with(
            "env",
            ["SECRET_WORD=\(word)"]
                + Self.recorded(stage, in: recordings, [stage.program]).dropFirst()
        ) { program in
            try await program.line(startingWith: "ready 0")
            try await Programs.succeed(
                stage.leakprof, ["snapshot", "\(program.pid)", "-o", recordings + "/snapshot"],
                environment: ["LEAKPROF_DIR": recordings])
            try await Programs.succeed(
                "sh", ["-c", "gzip -dc <snapshot >profile"], directory: recordings)
            // It looks where a secret is found if there is one.
            let memory = try await Programs.run(
                "sh", ["-c", "tr '\\0' '\\n' </proc/\(program.pid)/environ"])
            #expect(memory.output.contains(word))
            let files = Files.names(in: recordings)
            #expect(files.count == 3)
            for name in files {
                let bytes = try Files.bytes(of: "\(recordings)/\(name)")
                #expect(bytes.firstRange(of: Array(word.utf8)) == nil)
            }
            try await program.send("\n")
        }
    }

    // MARK: What others planted

    enum Trap: String, CaseIterable {
        case link, danglingLink, pipe, file, writableForAll, writableForGroup, ofSomebodyElse
    }

    /// Runs the program, which must not notice anything.
    @Test(arguments: Trap.allCases)
    func `the shim writes nothing into what is not its user's own directory`(trap: Trap)
        async throws
    {
        let stage = try await Stage()
        let target = stage.folder("target")
        let path = stage.directory.path + "/recordings"
        switch trap {
        case .link: symlink(target, path)
        case .danglingLink: symlink(target + "/none", path)
        case .pipe: mkfifo(path, 0o600)
        case .file: try Files.write([1], to: path)
        case .writableForAll: _ = stage.folder("recordings", mode: 0o1777)
        case .writableForGroup: _ = stage.folder("recordings", mode: 0o770)
        case .ofSomebodyElse: _ = stage.folder("recordings", owner: Self.stranger)
        }
        let (_, status) = try await Programs.with(
            "env", Array(Self.recorded(stage, in: path, [stage.program]).dropFirst())
        ) { program in
            try await program.line(startingWith: "ready")
            let refused = try await Programs.run(stage.leakprof, ["snapshot", "\(program.pid)"])
            #expect(refused.status == 1)
            #expect(refused.errors.contains("the recording directory is missing, belongs to"))
            try await program.send("\n")
            try await program.line(startingWith: "grown")
        }
        #expect(status == 0)
        #expect(Files.names(in: target) == [])
        #expect(trap == .file || Files.names(in: path) == [])
        if trap == .file { #expect(try Files.bytes(of: path) == [1]) }
    }

    /// Anybody may make anything in /dev/shm.
    @Test func `a planted default directory is not used`() async throws {
        let stage = try await Stage()
        let target = stage.folder("target", owner: Self.stranger)
        let planted = "/dev/shm/leakprof-\(Self.stranger)"
        symlink(target, planted)
        defer { unlink(planted) }
        let (_, status) = try await Programs.with(
            "setpriv", Self.asStranger(Self.recorded(stage, in: nil, [stage.program]))
        ) { program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
            try await program.line(startingWith: "grown")
        }
        #expect(status == 0)
        #expect(Files.names(in: target) == [])
    }

    /// The name of a default directory says whose it is, and root looks into all of them.
    @Test func `root believes no directory that is not its user's`() async throws {
        let stage = try await Stage()
        let own = "/dev/shm/leakprof-\(Self.stranger)"
        let false1 = "/dev/shm/leakprof-\(Self.stranger + 1)"
        let false2 = "/dev/shm/leakprof-\(Self.stranger)x"
        defer {
            for directory in [own, false1, false2] {
                for name in Files.names(in: directory) { unlink("\(directory)/\(name)") }
                rmdir(directory)
            }
        }
        for directory in [own, false1, false2] {
            mkdir(directory, 0o700)
            chown(directory, Self.stranger, Self.stranger)
        }
        try await leaveRegion(stage, in: own, asStranger: true)
        let region = try #require(Files.names(in: own).first)
        // No process has such a number.
        let name = "999999998." + region.split(separator: ".").dropFirst().joined(separator: ".")
        rename("\(own)/\(region)", "\(false1)/\(name)")
        try await Programs.succeed("cp", ["-p", "\(false1)/\(name)", "\(false2)/\(name)"])

        let refused = try await Programs.run(stage.leakprof, ["top", "999999998"])
        #expect(refused.status == 1)
        #expect(refused.errors.contains("left no region behind"))

        rename("\(false1)/\(name)", "\(own)/\(name)")
        let found = try await Programs.run(stage.leakprof, ["top", "999999998"])
        #expect(found.status == 0)
        #expect(found.output.contains("count=1000"))

        // Two users say it was theirs.
        chown(false1, Self.stranger + 1, Self.stranger + 1)
        try await Programs.succeed("cp", ["\(own)/\(name)", "\(false1)/\(name)"])
        let ambiguous = try await Programs.run(stage.leakprof, ["top", "999999998"])
        #expect(ambiguous.status == 1)
        #expect(ambiguous.errors.contains("may be any of: \(own)/\(name), \(false1)/\(name)"))
    }

    @Test func `a program with more rights than its caller is not recorded`() async throws {
        let stage = try await Stage("exits.c")
        let linked = stage.directory.path + "/linked"
        // The loader does not preload into such a program; one that brings the shim has it all the same.
        try await Programs.succeed(
            "cc",
            [
                "\(BuiltProducts.root)/Samples/exits.c", "-o", linked, "-Wl,--no-as-needed",
                stage.shim, "-Wl,-rpath,\(stage.directory.path)",
            ])
        let recordings = stage.folder("recordings")
        let variables = [
            "env", "LEAKPROF_DIR=\(recordings)", "LEAKPROF_KEEP=1", linked, "return",
        ]
        let plain = try await Programs.run("env", Array(variables.dropFirst()))
        #expect(plain.status == 6)
        // Otherwise this tests nothing.
        #expect(Files.names(in: recordings).count == 1)

        chmod(linked, 0o4755)
        let privileged = try await Programs.run("setpriv", Self.asStranger(variables))
        #expect(privileged == Finished(status: 6, output: "", errors: ""))
        #expect(Files.names(in: recordings).count == 1)
    }

    // MARK: Who reads

    /// The loader looks at what is gained, and so does run.
    @Test func `a program with capabilities gives them to users, and nothing to root`() async throws
    {
        let stage = try await Stage("exits.c")
        try await Programs.succeed("setcap", ["cap_net_raw+ep", stage.program])
        let words = [
            "env", "LEAKPROF_SHIM=\(stage.shim)", stage.leakprof, "run", "--", stage.program,
        ]

        let own = stage.folder("own")
        let asRoot = try await Programs.run(
            "env", ["LEAKPROF_DIR=\(own)"] + words, directory: stage.directory.path)
        let theirs = stage.folder("theirs", owner: Self.stranger)
        let asStranger = try await Programs.run(
            "setpriv", Self.asStranger(["env", "LEAKPROF_DIR=\(theirs)"] + words))

        #expect(asRoot.errors.contains("recording pid"))
        #expect(!asStranger.errors.contains("recording pid"))
        #expect(asStranger.errors.contains("runs with more rights than you have"))
        #expect(asRoot.status == asStranger.status)
    }

    @Test func `a region of another user is refused by name`() async throws {
        let stage = try await Stage()
        let recordings = stage.folder("recordings", mode: 0o755)
        try await leaveRegion(stage, in: recordings, asStranger: false)
        let region = try #require(Files.names(in: recordings).first)
        for mode: mode_t in [0o600, 0o644] {
            chmod("\(recordings)/\(region)", mode)
            for command in ["top", "inspect", "snapshot"] {
                let refused = try await Programs.run(
                    "setpriv",
                    Self.asStranger([stage.leakprof, command, "\(recordings)/\(region)"]))
                #expect(refused.status == 1)
                #expect(refused.output == "")
                #expect(
                    refused.errors.contains("belongs to user 0; only that user and root may read"))
            }
        }
    }

    @Test func `links and pipes in another user's directory lead root nowhere`() async throws {
        let stage = try await Stage()
        let recordings = stage.folder("recordings", mode: 0o700)
        let strangers = stage.folder("strangers", owner: Self.stranger)
        try await leaveRegion(stage, in: recordings, asStranger: false)
        let region = try #require(Files.names(in: recordings).first)
        symlink("\(recordings)/\(region)", "\(strangers)/999999997.1.region")
        mkfifo("\(strangers)/999999996.1.region", 0o600)
        mknod("\(strangers)/999999995.1.region", S_IFCHR | 0o666, 1 << 8 | 5)
        for (process, why) in [
            ("999999997", "symbolic link"), ("999999996", "not a file"),
            ("999999995", "not a file"),
        ] {
            let refused = try await Programs.run(
                stage.leakprof, ["top", process], environment: ["LEAKPROF_DIR": strangers])
            #expect(refused.status == 1)
            #expect(refused.errors.contains(why))
        }
    }

    /// Programs and debug information are the target's.
    ///
    /// What reads them has the rights of the target's user, so that it can't be made to tell, or to do, what that
    /// user could not.
    @Test func `root reads a user's programs with that user's rights`() async throws {
        let stage = try await Stage()
        let recordings = stage.folder("recordings", owner: Self.stranger)
        let debug = stage.folder("debug")
        let notes = try await Programs.succeed("readelf", ["-n", stage.program])
        let line = notes.split(separator: "\n").first { $0.contains("Build ID: ") }
        let id = try #require(line?.split(separator: " ").last)
        let folder = "\(debug)/.build-id/\(id.prefix(2))"
        try await Programs.succeed("mkdir", ["-p", folder])
        try await Programs.succeed(
            "objcopy",
            ["--only-keep-debug", stage.program, "\(folder)/\(id.dropFirst(2)).debug"])
        try await Programs.succeed("strip", [stage.program])

        func function(of source: String) async throws -> Bool {
            let top = try await Programs.succeed(
                stage.leakprof, ["top", source, "--debug-dir", debug],
                environment: ["LEAKPROF_DIR": recordings])
            #expect(top.contains("count=1000"))
            return top.contains("steady-growth.c:8: size=1.18 MiB")
                || top.contains("steady-growth.c:7") || top.contains("steady-growth.c:8")
        }
        let command = Self.recorded(stage, in: recordings, [stage.program])
        _ = try await Programs.with("setpriv", Self.asStranger(command)) { program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
            try await program.line(startingWith: "grown")
            #expect(try await !function(of: "\(program.pid)"))
            chmod(debug, 0o755)
            #expect(try await function(of: "\(program.pid)"))
            chmod(debug, 0o700)
            program.signal(SIGKILL)
            while (try? await program.line()) != nil {}
        }
        // And when only the file tells whose it was.
        let region = try #require(Files.names(in: recordings).first)
        #expect(try await !function(of: "\(recordings)/\(region)"))
    }

    // MARK: What targets call themselves

    @Test(arguments: [") R 1 1 1", "a\u{600}", "x\r", "\u{1b}]0;x\u{7}", " ", "(", "\u{9b}2J"])
    func `a process may be called anything`(name: String) async throws {
        let sample = try await SampleProgram.build("odd-name.c")
        let recording = try Recording()
        let (_, status) = try await recording.with(sample.path, [name]) { program in
            try await program.line(startingWith: "ready")
            let snapshot = try await recording.snapshot(of: program)
            #expect(snapshot.blocksBySize[6001] == 10)
            #expect(snapshot.facts.process?.pid == Int64(program.pid))
            for arguments in [
                ["top", "\(program.pid)"], ["inspect", "\(program.pid)"],
                ["doctor", "\(program.pid)"], ["top", "snapshot"],
            ] {
                let said = try await Programs.run(
                    BuiltProducts.leakprof, arguments,
                    environment: ["LEAKPROF_DIR": recording.directory.path],
                    directory: recording.directory.path)
                #expect(said.status == 0)
                let all = (said.output + said.errors).unicodeScalars
                #expect(!all.contains { $0.value < 0x20 && $0 != "\n" || $0.value == 0x9b })
            }
            try await program.send("\n")
        }
        #expect(status == 0)
    }

    @Test func `messages about processes are safe to show`() async throws {
        let sample = try await SampleProgram.build("odd-name.c")
        let recording = try Recording()
        let name = "\u{1b}[2Jx"
        _ = try await recording.with(sample.path, [name]) { first in
            try await first.line(startingWith: "ready")
            _ = try await recording.with(sample.path, [name]) { second in
                try await second.line(startingWith: "ready")
                let ambiguous = try await Programs.run(BuiltProducts.leakprof, ["top", name])
                #expect(ambiguous.status == 1)
                #expect(ambiguous.errors.contains("may be any of: "))
                #expect(ambiguous.errors.contains("\(first.pid) ("))
                #expect(!ambiguous.errors.contains("\u{1b}"))
                try await second.send("\n")
            }
            try await first.send("\n")
        }
    }
}
