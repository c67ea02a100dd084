import CLeakprofLayout
import Glibc
import LeakprofCapture
import LeakprofModel
import LeakprofTestSupport
import Testing

@Suite(.serialized) struct RegionTests {
    private func write(_ bytes: [UInt8], _ name: String, in directory: TemporaryDirectory) throws
        -> Region
    {
        let path = "\(directory.path)/\(name)"
        try Files.write(bytes, to: path)
        return Region(path: path)
    }

    @Test func `a region of a dead process is read`() async throws {
        let fixture = try await RegionFixture.make()
        let directory = try TemporaryDirectory()
        let region = try write(fixture.bytes, fixture.name, in: directory)

        let snapshot = try region.capture(startsEpoch: true)

        #expect(snapshot.blocksBySize[1234] == 1000)
        #expect(snapshot.isConsistent)
        #expect(snapshot.facts.process?.name == "steady-growth")
        #expect(snapshot.facts.recording?.state == "ended")
        #expect(snapshot.mappings.first?.name == "steady-growth")
        #expect(snapshot.mappings.first?.buildID.count == 40)
        let header = fixture.bytes.withUnsafeBytes { $0.loadUnaligned(as: lp_header.self) }
        let duration = header.ended_monotonic_ns - header.started_monotonic_ns
        #expect(snapshot.facts.duration == Int64(duration))
        #expect(try region.capture(startsEpoch: false) == snapshot)
    }

    @Test func `what is no region is refused by name`() async throws {
        let fixture = try await RegionFixture.make()
        let directory = try TemporaryDirectory()
        func failure(_ bytes: [UInt8]) throws -> CaptureError? {
            let region = try write(bytes, fixture.name, in: directory)
            return #expect(throws: CaptureError.self) { try region.capture(startsEpoch: false) }
        }

        #expect(try failure([])?.description.contains("not yet set up") == true)
        #expect(try failure([1])?.description.contains("too short") == true)
        #expect(
            try failure(fixture.withHeader { $0.magic = 0 })?.description.contains("set up") == true
        )
        #expect(
            try failure(fixture.withHeader { $0.magic = 1 })?.description.contains(
                "not a recording")
                == true)
        #expect(
            try failure(fixture.withHeader { $0.layout_version = 99 })?.description.contains(
                "another version") == true)
        #expect(
            try failure(fixture.withHeader { $0.layout_signature ^= 1 })?.description.contains(
                "another version") == true)
        #expect(
            try failure(Array(fixture.bytes.dropLast(4096)))?.description.contains("damaged")
                == true)
        #expect(
            try failure(fixture.withHeader { $0.counters_off = .max - 7 })?.description.contains(
                "counters lie outside") == true)
        #expect(
            try failure(fixture.withHeader { $0.nodes_capacity = .max })?.description.contains(
                "stack nodes lie outside") == true)
    }

    @Test func `other users' files, links and pipes are refused`() async throws {
        let fixture = try await RegionFixture.make()
        let directory = try TemporaryDirectory()
        let region = try write(fixture.bytes, fixture.name, in: directory)
        let link = "\(directory.path)/1.2.region"
        symlink(region.path, link)
        let pipe = "\(directory.path)/1.3.region"
        mkfifo(pipe, 0o600)

        #expect(throws: CaptureError.self) { try Region(path: link).capture(startsEpoch: false) }
        #expect(throws: CaptureError.self) { try Region(path: pipe).capture(startsEpoch: false) }
    }

    /// Runs in a process of its own, so that a trap fails this test and not the run.
    @Test func `no damage makes the reader crash`() async throws {
        let fixture = try await RegionFixture.make()
        let directory = try TemporaryDirectory()
        let region = try write(fixture.bytes, fixture.name, in: directory)

        await #expect(processExitsWith: .success) { [path = region.path as String] in
            let original = try Files.bytes(of: path)
            func tryReading(_ bytes: [UInt8]) throws {
                try Files.write(bytes, to: path)
                guard let snapshot = try? Region(path: path).capture(startsEpoch: false) else {
                    return
                }
                guard snapshot.isConsistent else { exit(9) }
                _ = try? Region(path: path).inspect()
            }
            // Every word of the header, set to what hurts most.
            for offset in stride(from: 0, to: Int(LP_HEADER_BYTES), by: 4) {
                for value: UInt32 in [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
                    var bytes = original
                    bytes.withUnsafeMutableBytes {
                        $0.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
                    }
                    try tryReading(bytes)
                }
            }
            for length in stride(from: 0, to: original.count, by: 4096) {
                try tryReading(Array(original[..<length]))
            }
            // Tables full of noise, behind a sound header.
            var random = SeededGenerator(seed: 20_261_121)
            for _ in 0..<300 {
                var bytes = original
                for _ in 0..<2000 {
                    let offset = 4096 + random.next(below: bytes.count - 4096)
                    bytes[offset] = UInt8(truncatingIfNeeded: random.next())
                }
                try tryReading(bytes)
            }
        }
    }

    @Test func `a stack whose parents go in a circle ends`() async throws {
        let fixture = try await RegionFixture.make()
        let directory = try TemporaryDirectory()
        let header = fixture.bytes.withUnsafeBytes { $0.loadUnaligned(as: lp_header.self) }
        var bytes = fixture.bytes
        bytes.withUnsafeMutableBytes { raw in
            for index in 1..<Int(header.nodes_used) {
                let offset = Int(header.nodes_off) + index * MemoryLayout<lp_node>.stride
                var node = raw.loadUnaligned(fromByteOffset: offset, as: lp_node.self)
                node.parent = UInt32(index)
                raw.storeBytes(of: node, toByteOffset: offset, as: lp_node.self)
            }
        }

        let snapshot = try write(bytes, fixture.name, in: directory).capture(startsEpoch: false)

        #expect(snapshot.isConsistent)
        let damaged = snapshot.locations.firstIndex(of: Placeholder.damaged.location)
        #expect(damaged != nil)
        #expect(snapshot.samples.allSatisfy { $0.stack.last == damaged })
        #expect((snapshot.facts.recording?.statistics["damaged_records"] ?? 0) > 0)
    }

    @Test func `records of one stack trace are summed by epoch`() async throws {
        let fixture = try await RegionFixture.make()
        let directory = try TemporaryDirectory()
        let header = fixture.bytes.withUnsafeBytes { $0.loadUnaligned(as: lp_header.self) }
        var bytes = fixture.withHeader { $0.counters_used += 2 }
        func offset(_ index: UInt32) -> Int {
            Int(header.counters_off) + Int(index) * MemoryLayout<lp_counter>.stride
        }
        let counters = fixture.bytes.withUnsafeBytes { raw in
            (0..<header.counters_used).map {
                raw.loadUnaligned(fromByteOffset: offset($0), as: lp_counter.self)
            }
        }
        // The last record once more as it is, and once in another epoch.
        var counter = try #require(counters.last { $0.epoch != 0 })
        bytes.withUnsafeMutableBytes { raw in
            for index in header.counters_used..<header.counters_used + 2 {
                raw.storeBytes(of: counter, toByteOffset: offset(index), as: lp_counter.self)
                counter.epoch += 1
            }
        }

        let before = try write(fixture.bytes, fixture.name, in: directory)
            .capture(startsEpoch: false).samples
        let after = try write(bytes, fixture.name, in: directory)
            .capture(startsEpoch: false).samples

        let last = try #require(before.last)
        #expect(after.dropLast(2) == before.dropLast())
        #expect(
            Array(after.suffix(2)) == [
                Sample(stack: last.stack, epoch: last.epoch, counts: last.counts + last.counts),
                Sample(stack: last.stack, epoch: last.epoch + 1, counts: last.counts),
            ])
    }

    @Test func `more freed than allocated is no negative number`() async throws {
        let fixture = try await RegionFixture.make()
        let directory = try TemporaryDirectory()
        let header = fixture.bytes.withUnsafeBytes { $0.loadUnaligned(as: lp_header.self) }
        var bytes = fixture.bytes
        bytes.withUnsafeMutableBytes { raw in
            for index in 1..<Int(header.counters_used) {
                let offset = Int(header.counters_off) + index * MemoryLayout<lp_counter>.stride
                raw.storeBytes(of: UInt64.max, toByteOffset: offset, as: UInt64.self)
            }
        }

        let snapshot = try write(bytes, fixture.name, in: directory).capture(startsEpoch: false)

        #expect(snapshot.samples.allSatisfy { $0.counts.inuseObjects == 0 })
        #expect((snapshot.facts.recording?.statistics["damaged_records"] ?? 0) > 0)
    }
}
