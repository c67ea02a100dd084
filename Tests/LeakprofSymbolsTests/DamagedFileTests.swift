import Glibc
import LeakprofModel
import LeakprofSymbols
import LeakprofTestSupport
import Testing

@Suite struct DamagedFileTests {
    /// A stretch of a file.
    struct Section: Codable {
        var name: String
        var offset: Int
        var count: Int
    }

    private static func sections(of path: String) async throws -> [Section] {
        let listing = try await Programs.succeed("readelf", ["--sections", "--wide", path])
        return listing.split(separator: "\n").compactMap { line in
            // "  [28] .debug_info  PROGBITS  0000000000000000 003041 0014a5 00 ..."
            let fields = line.drop { $0 != "]" }.dropFirst().split(separator: " ")
            guard fields.count > 4, let offset = Int(fields[3], radix: 16),
                let count = Int(fields[4], radix: 16)
            else { return nil }
            return Section(name: String(fields[0]), offset: offset, count: count)
        }
    }

    /// Runs in a process of its own, so that a crash fails this test and not the run.
    @Test(arguments: [
        ["c++", "-gdwarf-5"], ["c++", "-gdwarf-4"], ["clang++", "-gdwarf-5"],
        ["clang++", "-gdwarf-4"],
    ])
    func `no damage makes the symbolizer crash`(command: [String]) async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let path = "\(directory.path)/sample"
        try await Programs.succeed(
            command[0],
            [
                "\(BuiltProducts.root)/Samples/inlined-calls.cpp", "-o", path, "-O2", command[1],
                "-Wl,--build-id=none",
            ])
        let sections = try await Self.sections(of: path)
        let damaged = sections.filter {
            [".debug_info", ".debug_abbrev", ".debug_addr", ".debug_line"].contains($0.name)
        }
        try #require(damaged.count >= 3)
        let code = try #require(sections.first { $0.name == ".text" })

        await #expect(processExitsWith: .success) {
            [path = path as String, damaged = damaged as [Section], code = code as Section] in
            let original = try Files.bytes(of: path)
            let start: UInt64 = 0x7f00_0000_0000
            func symbolized() -> [Location] {
                let addresses = stride(from: code.offset, to: code.offset + code.count, by: 5)
                var snapshot = Snapshot(
                    mappings: [
                        Mapping(start: start, limit: start + 0x10_0000, path: path)
                    ],
                    locations: addresses.map { Location(address: start + UInt64($0), mapping: 0) })
                Symbolizer(pid: nil).symbolize(&snapshot)
                return snapshot.locations
            }
            guard symbolized().contains(where: { $0.frames.count > 1 }) else { exit(8) }
            var random = SeededGenerator(seed: 20_261_121)
            for _ in 0..<500 {
                var bytes = original
                let section = damaged[random.next(below: damaged.count)]
                for _ in 0...random.next(below: 20) {
                    let offset = section.offset + random.next(below: section.count)
                    bytes[offset] = UInt8(truncatingIfNeeded: random.next())
                }
                try Files.write(bytes, to: path)
                guard symbolized().allSatisfy({ !$0.frames.isEmpty }) else { exit(9) }
            }
        }
    }
}
