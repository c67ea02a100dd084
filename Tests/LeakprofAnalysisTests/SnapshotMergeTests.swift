import LeakprofAnalysis
import LeakprofModel
import LeakprofTestSupport
import Testing

@Suite struct SnapshotMergeTests {
    /// A worker that handles requests, and one other thing that only it does.
    private func worker(_ number: Int64) -> Snapshot {
        var fixture = SnapshotFixture()
        fixture.add(["main a.c:1", "only a.c:\(number)"], blocks: 1, size: 7)
        fixture.add(["main a.c:1", "handle a.c:20"], blocks: 10 * number, size: 100, freed: 3)
        fixture.add(
            ["main a.c:1", "handle a.c:20"], blocks: 1, size: 100, epoch: 2,
            variance: SamplingVariance(inuseObjects: number, inuseSpace: 5))
        fixture.snapshot.facts.process?.pid = 100 + number
        fixture.snapshot.facts.recording?.statistics = ["stacks_lost": number, "lost_\(number)": 1]
        fixture.snapshot.facts.notes = ["both", "worker \(number)"]
        fixture.snapshot.facts.capturedAt += number
        return fixture.snapshot
    }

    @Test func `blocks are added up by stack`() {
        let merged = Snapshot.merged([worker(1), worker(2)])

        #expect(merged.isConsistent)
        #expect(merged.totals == worker(1).totals + worker(2).totals)
        #expect(merged.variance == worker(1).variance + worker(2).variance)
        #expect(merged.mappings == worker(1).mappings)
        // In the order in which they were met.
        #expect(merged.samples.map { merged.functions(of: $0)[0] } == ["only", "handle", "only"])
        #expect(merged.samples.map(\.counts.inuseObjects) == [1, 32, 1])
        #expect(merged.samples.map(\.counts.allocObjects) == [1, 38, 1])
        #expect(merged.samples.allSatisfy { $0.epoch == 0 })
    }

    /// The same program twice, at different addresses: the frames are equal all the same.
    @Test func `processes that lie elsewhere keep their addresses`() {
        var second = worker(2)
        second.mappings[0].start += 4096
        second.mappings[0].limit += 4096
        for index in second.locations.indices { second.locations[index].address += 4096 }

        let merged = Snapshot.merged([worker(1), second])

        #expect(merged.isConsistent)
        #expect(merged.mappings.count == 2)
        #expect(merged.locations.count == worker(1).locations.count + second.locations.count)
        let rows = TopReport(of: merged).rows
        #expect(rows.first?.counts.inuseObjects == 32)
    }

    @Test func `what holds of one process is left out, what is uncertain is kept`() throws {
        var (first, second) = (worker(1), worker(2))
        second.facts.recording?.mode = "exact"
        second.facts.recording?.intervalBytes = 4096
        second.facts.recording?.state = "killed"
        first.facts.recording?.otherMalloc = "libx.so"

        let facts = Snapshot.merged([first, second]).facts

        #expect(facts.process == nil)
        #expect(facts.notes == ["both", "worker 1", "worker 2"])
        #expect(facts.capturedAt == second.facts.capturedAt)
        let recording = try #require(facts.recording)
        #expect(recording.epochs.isEmpty && recording.cutEpoch == 0)
        #expect(recording.mode == "mixed")
        #expect(recording.state == "killed")
        #expect(recording.intervalBytes == 4096)
        #expect(recording.otherMalloc == "libx.so")
        #expect(recording.statistics == ["stacks_lost": 3, "lost_1": 1, "lost_2": 1])
        // One alone, or a profile of another tool, which has no recording.
        #expect(Snapshot.merged([first]).facts.recording?.mode == "auto")
        first.facts.recording = nil
        #expect(Snapshot.merged([first, second]).facts.recording?.mode == "exact")
        #expect(Snapshot.merged([second, first]).facts.recording?.mode == "exact")
        #expect(Snapshot.merged([]).samples.isEmpty)
    }
}
