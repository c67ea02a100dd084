import LeakprofCapture
import LeakprofModel
import LeakprofTestSupport
import Testing

@Suite(.serialized, .timeLimit(.minutes(10))) struct ConsistencyTests {
    private let blocks = 5000
    private let threads = 8

    /// Takes snapshots while the sample's threads replace blocks, and one when they have stopped.
    private func snapshots(_ count: Int, startingEpochs: Bool) async throws -> [AllocationCounts] {
        let sample = try await SampleProgram.build(
            "steady-population.c", flags: SampleProgram.defaultFlags + ["-pthread"])
        let recording = try Recording()
        let (snapshots, status) = try await recording.with(
            sample.path, ["\(blocks)", "\(threads)"]
        ) { program in
            try await program.line(startingWith: "ready")
            let region = Region(path: try #require(recording.regions.first))
            var snapshots = try (0..<count).map { _ in
                try region.capture(startsEpoch: startingEpochs)
            }
            try await program.send("\n")
            try await program.line(startingWith: "steady")
            snapshots.append(try region.capture(startsEpoch: false))
            try await program.send("\n")
            return snapshots
        }
        #expect(status == 0)
        let recordings = snapshots.compactMap(\.facts.recording)
        #expect(recordings.allSatisfy { $0.statistics["damaged_records"] == nil })
        // A request is seen with the next allocation; many in a row may be one.
        let epochs = recordings.last?.epochs.count ?? 0
        if startingEpochs { #expect(epochs > count / 20) }
        for snapshot in snapshots {
            #expect(snapshot.samples.allSatisfy { $0.counts.inuseObjects >= 0 })
        }
        return snapshots.map { snapshot in
            let population = snapshot.samples.filter { $0.counts.allocSpace % 2001 == 0 }
            return population.reduce(into: .zero) { $0 += $1.counts }
        }
    }

    @Test func `snapshots under load see what is there`() async throws {
        let counts = try await snapshots(1000, startingEpochs: false)

        for (earlier, later) in zip(counts, counts.dropFirst()) {
            // One block more per thread while it replaces one, and one count half seen.
            #expect(abs(later.inuseObjects - Int64(blocks)) <= Int64(2 * threads))
            #expect(later.allocObjects >= earlier.allocObjects)
        }
        let last = try #require(counts.last)
        #expect(last.inuseObjects == blocks)
        // Otherwise this tests nothing.
        #expect(last.allocObjects > 10 * blocks)
    }

    /// Each snapshot starts an epoch, so counters are taken over all the time while they are counted in.
    @Test func `nothing is lost when epochs change under load`() async throws {
        let counts = try await snapshots(300, startingEpochs: true)

        let last = try #require(counts.last)
        #expect(last.inuseObjects == blocks)
        #expect(last.inuseSpace == blocks * 2001)
        #expect(last.allocSpace == last.allocObjects * 2001)
        #expect(last.allocObjects > 10 * blocks)
    }
}
