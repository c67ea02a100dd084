import Glibc
import LeakprofModel
import LeakprofPprof
import LeakprofTestSupport
import Testing

@Suite struct ProfileTests {
    /// Everything a snapshot can hold.
    private var full: Snapshot {
        var fixture = SnapshotFixture()
        fixture.add(["main a.c:1", "handle a.c:20", "put c.c:3"], blocks: 10, size: 100)
        fixture.add(
            ["main a.c:1", "handle a.c:21", "get c.c:9"], blocks: 3, size: 7, freed: 5, epoch: 2,
            variance: SamplingVariance(inuseObjects: 12, inuseSpace: .max))
        var snapshot = fixture.snapshot
        snapshot.locations[0].frames.append(
            Frame(
                function: "outer(int)", systemName: "_Z5outeri", file: "o.cpp", line: 8,
                startLine: 2))
        snapshot.locations.append(Placeholder.cutAtDepth.location)
        snapshot.samples[0].stack.append(snapshot.locations.count - 1)
        snapshot.facts.notes = ["libx.so: no symbols: the file is gone"]
        snapshot.facts.recording?.statistics = ["stacks_cut_at_depth": 3]
        snapshot.facts.process?.memoryLimitBytes = 1 << 30
        return snapshot
    }

    @Test func `reading back gives an equal snapshot`() throws {
        let bytes = try ProfileEncoder.encode(full, tool: "test")
        #expect(try ProfileDecoder.decode(bytes) == full)
    }

    @Test func `goroutines read back are equal, and no heap`() throws {
        let creator = Location(
            address: 0x40_1000, mapping: 0,
            frames: [
                Frame(function: "main.begin", file: "main.go", line: 7, startLine: 3),
                Frame(function: "main.main", file: "main.go", line: 20, startLine: 15),
            ])
        let main = Location(address: 0, frames: [Frame(function: "[main goroutine]")])
        var facts = full.facts
        facts.recording?.go = GoFacts(
            version: "go1.26.6", hasCollected: true, pendingObjects: -3, pendingBytes: -48,
            goroutines: 302)
        let snapshot = GoroutineSnapshot(
            facts: facts, mappings: full.mappings,
            groups: [
                GoroutineGroup(creator: creator, state: "chan receive", count: 300),
                GoroutineGroup(creator: creator, state: "select", count: 1),
                GoroutineGroup(creator: main, state: "running", count: 1),
            ])
        let bytes = try ProfileEncoder.encode(snapshot, tool: "test")
        #expect(try ProfileDecoder.decodeGoroutines(bytes) == snapshot)
        #expect(throws: ProfileError.notAHeapProfile(sampleTypes: ["goroutine/count"])) {
            try ProfileDecoder.decode(bytes)
        }
        let heap = try ProfileEncoder.encode(full, tool: "test")
        #expect(throws: ProfileError.noGoroutines) { try ProfileDecoder.decodeGoroutines(heap) }
    }

    /// Lengths take one byte, two and three.
    @Test(arguments: [1, 100, 300, 20_000])
    func `stacks of any length are read back`(depth: Int) throws {
        let frames = (0..<depth).map { Frame(function: "f\($0)", line: Int64($0)) }
        let snapshot = Snapshot(
            locations: frames.map { Location(address: UInt64($0.line) + 1, frames: [$0]) }
                + [Location(address: 0, frames: frames)],
            samples: [
                Sample(stack: Array(0...depth), counts: AllocationCounts(inuseObjects: .max))
            ])

        let bytes = try ProfileEncoder.encode(snapshot, tool: "test")

        #expect(try ProfileDecoder.decode(bytes) == snapshot)
    }

    @Test func `the same snapshot gives the same bytes`() throws {
        #expect(
            try ProfileEncoder.encode(full, tool: "test")
                == ProfileEncoder.encode(full, tool: "test"))
    }

    @Test func `an empty snapshot is a profile too`() throws {
        let bytes = try ProfileEncoder.encode(Snapshot(), tool: "test")
        #expect(try ProfileDecoder.decode(bytes) == Snapshot())
    }

    @Test func `profiles without gzip are read`() throws {
        let plain = try Gzip.decompress(
            try ProfileEncoder.encode(full, tool: "test"), limit: ProfileDecoder.sizeLimit)
        #expect(try ProfileDecoder.decode(plain) == full)
    }

    @Test func `a bomb is refused before it has unfolded`() throws {
        let bomb = try Gzip.compress([UInt8](repeating: 0, count: 50 << 20))
        #expect(bomb.count < 1 << 20)

        #expect(throws: ProfileError.self) { try Gzip.decompress(bomb, limit: 1 << 20) }
        #expect(throws: ProfileError.self) {
            try Gzip.decompress(bomb + bomb, limit: (50 << 20) + 1)
        }
        #expect(try Gzip.decompress(bomb + bomb, limit: 100 << 20).count == 100 << 20)
    }

    @Test func `what is cut short is an error`() throws {
        let bytes = try ProfileEncoder.encode(full, tool: "test")
        for length in 0..<bytes.count
        where (try? ProfileDecoder.decode(Array(bytes[..<length]))) != nil {
            Issue.record("\(length) of \(bytes.count) bytes were taken for a profile")
        }
    }

    /// Runs in a process of its own, so that a trap fails this test and not the run.
    @Test func `no damage makes the reader crash`() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/profile"
        try Files.write(
            try Gzip.decompress(
                try ProfileEncoder.encode(full, tool: "test"), limit: ProfileDecoder.sizeLimit),
            to: path)

        await #expect(processExitsWith: .success) { [path = path as String] in
            let original = try Files.bytes(of: path)
            var random = SeededGenerator(seed: 7)
            for round in 0..<20_000 {
                var bytes = original
                for _ in 0...(round % 5) {
                    bytes[random.next(below: bytes.count)] = UInt8(
                        truncatingIfNeeded: random.next())
                }
                if let snapshot = try? ProfileDecoder.decode(bytes), !snapshot.isConsistent {
                    exit(9)
                }
            }
        }
    }

    @Test func `a profile of something else says what it is`() async throws {
        // A CPU profile: one sample type, samples/count.
        let bytes: [UInt8] =
            [
                0x0a, 0x04, 0x08, 0x01, 0x10, 0x02, 0x32, 0x00, 0x32, 0x07,
            ] + Array("samples".utf8) + [0x32, 0x05] + Array("count".utf8)

        #expect(throws: ProfileError.notAHeapProfile(sampleTypes: ["samples/count"])) {
            try ProfileDecoder.decode(bytes)
        }
    }
}
