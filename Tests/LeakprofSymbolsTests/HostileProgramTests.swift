import Glibc
import LeakprofModel
import LeakprofTestSupport
import Testing

@testable import LeakprofSymbols

/// Programs with some bytes changed.
@Suite(.timeLimit(.minutes(10))) struct HostileProgramTests {
    /// Runs in a process of its own, so that a trap fails this test and not the run.
    @Test(arguments: [
        ["-O2", "-g"], ["-O2", "-gdwarf-4"], ["-O2", "-g", "-gz"], ["-O0", "-g0"],
    ])
    func `no damage makes the symbolizer crash`(flags: [String]) async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let path = directory.path + "/program"
        try await Programs.succeed(
            "cc",
            ["\(BuiltProducts.root)/Samples/exits.c", "-o", path, "-Wl,--build-id=none"] + flags)

        await #expect(processExitsWith: .success) { [path = path as String] in
            let original = try Files.bytes(of: path)
            var random = SeededGenerator(seed: 20_261_122)
            for round in 0..<150 {
                var bytes = original
                for _ in 0..<(1 << (round % 8)) {
                    // Some of it in the headers, where it does most.
                    let end = round % 3 == 0 ? 1024 : bytes.count
                    bytes[random.next(below: end)] = UInt8(truncatingIfNeeded: random.next())
                }
                try Files.write(bytes, to: path)
                var snapshot = Snapshot(
                    mappings: [Mapping(start: 0x10000, limit: 0x20000, path: path)],
                    locations: stride(from: 0x10fff, to: 0x11fff, by: 0x40).map {
                        Location(address: $0, mapping: 0)
                    })
                Symbolizer(pid: nil).symbolize(&snapshot)
                guard snapshot.locations.allSatisfy({ !$0.frames.isEmpty }) else { exit(9) }
                _ = ExecutableFile(path: path)
            }
        }
    }

    /// What the target says of a mapping is a number like any other.
    @Test func `mappings at the ends of the address space`() async {
        await #expect(processExitsWith: .success) {
            for (start, limit): (UInt64, UInt64) in [
                (0, .max), (1, .max), (.max - 1, .max), (1 << 63, .max), (1 << 47, 1 << 48),
            ] {
                for path in ["linux-vdso.so.1", "/proc/self/exe", "/lib", "", "\u{0}"] {
                    var snapshot = Snapshot(
                        mappings: [Mapping(start: start, limit: limit, path: path)],
                        locations: [
                            Location(address: 0, mapping: 0), Location(address: .max, mapping: 0),
                            Location(address: start, mapping: 0),
                        ])
                    Symbolizer(pid: nil).symbolize(&snapshot)
                    guard snapshot.locations.allSatisfy({ !$0.frames.isEmpty }) else { exit(9) }
                }
            }
        }
    }
}
