import LeakprofModel
import Testing

@Suite struct AllocationCountsTests {
    @Test func `sums saturate instead of trapping`() {
        let large = AllocationCounts(
            allocObjects: .max, allocSpace: .max, inuseObjects: .min, inuseSpace: .min)
        let one = AllocationCounts(allocObjects: 1, allocSpace: 1, inuseObjects: -1, inuseSpace: -1)

        #expect(large + one == large)
        #expect((one - large).inuseSpace == .max)
        #expect(SampleType.allCases.map { large[$0] } == [.max, .max, .min, .min])
    }

    @Test func `saturation goes to the nearer end`() {
        #expect(Int64.max.saturatingAdd(1) == .max)
        #expect(Int64.min.saturatingAdd(-1) == .min)
        #expect(Int64.min.saturatingSubtract(1) == .min)
        #expect(Int64.max.saturatingSubtract(-1) == .max)
        #expect(UInt64(3).saturatingSubtract(5) == 0)
    }
}

@Suite struct FrameTests {
    @Test func `an unknown address is told by file and offset`() {
        let mapping = Mapping(start: 0x1000, limit: 0x5000, path: "/usr/lib/libx.so.1")
        #expect(Frame.unsymbolized(address: 0x1234, in: mapping).function == "libx.so.1+0x234")
        #expect(Frame.unsymbolized(address: 0x1234, in: nil).function == "0x1234")
        #expect(Frame.unsymbolized(address: 0x10, in: mapping).function == "0x10")
    }
}

@Suite struct SnapshotTests {
    @Test func `indices that lead nowhere are noticed`() {
        var snapshot = Snapshot(
            locations: [Location(address: 1)], samples: [Sample(stack: [0], counts: .zero)])
        #expect(snapshot.isConsistent)
        snapshot.samples[0].stack = [1]
        #expect(!snapshot.isConsistent)
        snapshot.samples[0].stack = [0]
        snapshot.locations[0].mapping = 0
        #expect(!snapshot.isConsistent)
    }

    @Test func `two runs are told apart by more than the process ID`() {
        let first = ProcessFacts(pid: 1, startTicks: 5, image: "a")
        #expect(first.isSameRun(as: first))
        #expect(!first.isSameRun(as: ProcessFacts(pid: 1, startTicks: 6, image: "a")))
        #expect(!first.isSameRun(as: ProcessFacts(pid: 1, startTicks: 5, image: "b")))
        let unknown = ProcessFacts(pid: 1)
        #expect(!unknown.isSameRun(as: unknown))
    }
}
