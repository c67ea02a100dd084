import Glibc
import LeakprofModel
import LeakprofTestSupport
import Testing

/// Programs and libraries whose files were made, or made into something else, to do harm to what reads them.
@Suite(.serialized, .timeLimit(.minutes(10))) struct HostileFileTests {
    /// A region of a killed program, and a copy of the program that may be changed.
    private func region() async throws -> (region: String, program: String, recording: Recording) {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording()
        let program = recording.directory.path + "/steady-growth"
        try await Programs.succeed("cp", [sample.path, program])
        _ = try await recording.with(program) { running in
            try await running.line(startingWith: "ready")
            try await running.send("\n")
            try await running.line(startingWith: "grown")
            running.signal(SIGKILL)
            while (try? await running.line()) != nil {}
        }
        return (try #require(recording.regions.first), program, recording)
    }

    enum Trap: String, CaseIterable {
        case pipe, device, directory, gzip, kernelImage, empty, headerAlone, cutShort, noise
    }

    @Test(arguments: Trap.allCases)
    func `a file that became something else is not read`(trap: Trap) async throws {
        let (region, program, recording) = try await region()
        let original = try Files.bytes(of: program)
        unlink(program)
        switch trap {
        case .pipe: mkfifo(program, 0o600)
        case .device: symlink("/dev/zero", program)
        case .directory: mkdir(program, 0o700)
        case .gzip:
            // libdw unpacks compressed files, whatever they come to.
            try Files.write(original, to: program + "-plain")
            try await Programs.succeed("sh", ["-c", "gzip -c \(program)-plain >\(program)"])
        case .kernelImage:
            // ... and what has the mark of a Linux boot image, from where that says.
            var image = [UInt8](repeating: 0, count: 1024)
            image.replaceSubrange(0x1fe..<0x200, with: [0x55, 0xaa])
            image.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
            try Files.write(image + original, to: program)
        case .empty: try Files.write([], to: program)
        case .headerAlone: try Files.write(Array(original.prefix(64)), to: program)
        case .cutShort: try Files.write(Array(original.prefix(original.count / 3)), to: program)
        case .noise:
            var random = SeededGenerator(seed: 11)
            try Files.write(
                Array(original.prefix(64))
                    + original.dropFirst(64).map { _ in UInt8(truncatingIfNeeded: random.next()) },
                to: program)
        }
        let snapshot = try await recording.snapshot(region)
        #expect(snapshot.blocksBySize[1234] == 1000)
        #expect(snapshot.counts(below: "grow") == .zero)
        #expect(snapshot.facts.notes.contains { $0.hasPrefix("\(program): no ") })
        // The others are not to blame.
        let names = snapshot.locations.flatMap { $0.frames.map(\.function) }
        #expect(
            names.contains("__libc_start_main") || names.contains { $0.hasPrefix("__libc_start") })
    }

    @Test func `what ends the process that reads a file costs the names of that file`() async throws
    {
        let (region, program, recording) = try await region()
        let fault = try await SampleProgram.build(
            "faulty-libdw.c", flags: ["-O2", "-shared", "-fPIC"], suffix: ".so")
        let snapshot = recording.directory.path + "/snapshot"
        try await Programs.succeed(
            BuiltProducts.leakprof, ["snapshot", region, "-o", snapshot],
            environment: [
                "LD_PRELOAD": fault.path, "FAULTY_FILE": "steady-growth", "FAULTY_HOW": "crash",
            ])
        let top = try await Programs.succeed(BuiltProducts.leakprof, ["top", snapshot, "--json"])
        #expect(top.contains("\(program): no symbols: reading it ended with Segmentation fault"))
        #expect(top.contains("steady-growth+0x"))
        let folded = try await Programs.succeed(
            BuiltProducts.leakprof, ["export", snapshot, "--format", "folded"])
        #expect(folded.contains("__libc_start"))
    }

    /// A target may name any file, and whoever serves debug files learns what runs here.
    @Test func `no server is asked unless the user says so`() async throws {
        let (region, program, recording) = try await region()
        // With debug information in the file, there is nothing to ask for.
        try await Programs.succeed("strip", [program])
        let server = Listener()
        defer { server.close() }
        let environment = [
            "DEBUGINFOD_URLS": "http://127.0.0.1:\(server.port)",
            "DEBUGINFOD_CACHE_PATH": recording.directory.path + "/cache", "DEBUGINFOD_TIMEOUT": "1",
        ]
        try await Programs.succeed(
            BuiltProducts.leakprof, ["top", region], environment: environment)
        #expect(!server.wasAsked)
        try await Programs.succeed(
            BuiltProducts.leakprof, ["top", region, "--debuginfod"], environment: environment)
        #expect(server.wasAsked)
        let unset = try await Programs.run(
            BuiltProducts.leakprof, ["top", region, "--debuginfod"],
            environment: ["DEBUGINFOD_URLS": nil])
        #expect(unset.errors.contains("DEBUGINFOD_URLS names no server to ask"))
    }

    @Test func `a file that keeps its reader busy for ever is given up`() async throws {
        let (region, _, recording) = try await region()
        let fault = try await SampleProgram.build(
            "faulty-libdw.c", flags: ["-O2", "-shared", "-fPIC"], suffix: ".so")
        let directory = recording.directory.path
        _ = try await recording.snapshot(region)
        let finished = try await Programs.run(
            "sh",
            [
                "-c", "exec \"$0\" symbolize --patience 1 <snapshot >answer",
                BuiltProducts.leakprof,
            ],
            environment: [
                "LD_PRELOAD": fault.path, "FAULTY_FILE": "steady-growth", "FAULTY_HOW": "hang",
            ], directory: directory)
        #expect(finished.status == 128 + SIGALRM)
        // The first mapping is what it was about.
        #expect(try Files.bytes(of: directory + "/answer") == [0, 0, 0, 0, 0, 0, 0, 0])
    }
}

/// A port on loopback that says no to whoever connects.
private final class Listener {
    private let descriptor: Int32
    let port: UInt16

    init() {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let port = withUnsafeMutableBytes(of: &address) { bytes -> UInt16 in
            let pointer = bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
            guard bind(descriptor, pointer, length) == 0, listen(descriptor, 8) == 0,
                getsockname(descriptor, pointer, &length) == 0
            else { return 0 }
            return bytes.load(as: sockaddr_in.self).sin_port.bigEndian
        }
        #expect(port != 0)
        self.port = port
    }

    /// Whether anybody has connected since this was asked last.
    var wasAsked: Bool {
        let connection = accept(descriptor, nil, nil)
        guard connection >= 0 else { return false }
        Glibc.close(connection)
        return true
    }

    func close() { Glibc.close(descriptor) }
}
