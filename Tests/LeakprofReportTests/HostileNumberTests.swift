import Glibc
import LeakprofAnalysis
import LeakprofModel
import LeakprofReport
import LeakprofTestSupport
import Testing

/// Sums, times and depths that no recording has and a profile from elsewhere may have.
///
/// In processes of their own, so that a trap fails one test and not the run.
@Suite(.timeLimit(.minutes(10))) struct HostileNumberTests {
    private static let extremes: [Int64] = [.min, .min + 1, -1, 0, 1, .max - 1, .max]

    @Sendable private static func reportAll(_ base: Snapshot, _ current: Snapshot) throws {
        for groupBy in GroupBy.allCases {
            for sort in SortKey.allCases {
                let grouping = Grouping(groupBy: groupBy, cumulative: true)
                let top = TopReport(
                    of: current, grouping: grouping, sort: sort, sampleType: .allocSpace)
                _ = TextReport().lines(of: top, facts: current.facts)
                _ = try JSONReport.bytes(of: top, facts: current.facts)
                let diff = SnapshotDiff(
                    base: base, current: current, grouping: grouping, sort: sort)
                _ = TextReport(showsAllChanges: true).lines(of: diff, base: "base")
                _ = try JSONReport.bytes(of: diff)
            }
        }
        for type in SampleType.allCases {
            _ = FoldedReport.lines(base: base, current: current, sampleType: type)
            _ = FlameGraph(base: base, current: current, names: ("a", "b"), sampleType: type).svg()
            _ = FlameGraph(of: current, name: "a", sampleType: type).svg()
            let story = GrowthStory(
                [("a", base), ("b", current), ("c", base), ("d", current)], sampleType: type)
            _ = HTMLReport.bytes(of: story)
            _ = MarkdownReport.bytes(of: story)
        }
    }

    @Test func `numbers at the ends of their type`() async {
        await #expect(processExitsWith: .success) {
            for first in HostileNumberTests.extremes {
                for second in HostileNumberTests.extremes {
                    var fixture = SnapshotFixture()
                    fixture.add(["main m.c:1", "leaf l.c:2"], blocks: 1, size: 1)
                    fixture.add(["main m.c:1", "other l.c:3"], blocks: 1, size: 1)
                    var base = fixture.snapshot
                    base.samples[0].counts = AllocationCounts(
                        allocObjects: first, allocSpace: second, inuseObjects: first,
                        inuseSpace: second)
                    base.samples[0].variance = SamplingVariance(
                        inuseObjects: max(0, first), inuseSpace: max(0, second))
                    base.locations[1].frames[0].line = first
                    base.facts.capturedAt = first
                    base.facts.duration = second
                    base.facts.period = first
                    base.facts.process?.residentBytes = first
                    base.facts.process?.memoryLimitBytes = second
                    base.facts.process?.peakResidentBytes = first
                    base.facts.process?.pid = first
                    base.facts.recording?.intervalBytes = second
                    base.facts.recording?.statistics = [
                        "dropped_no_memory": first, "dropped_no_memory_bytes": second,
                    ]
                    var current = fixture.snapshot
                    current.samples[1].counts = AllocationCounts(
                        allocObjects: second, allocSpace: first, inuseObjects: second,
                        inuseSpace: first)
                    current.facts.capturedAt = second
                    current.facts.duration = first
                    current.facts.process?.residentBytes = second
                    current.facts.process?.memoryLimitBytes = first
                    current.facts.process?.peakResidentBytes = first
                    current.facts.process?.pid = first
                    try HostileNumberTests.reportAll(base, current)
                }
            }
        }
    }

    /// An elapsed nanosecond makes the rate of a change larger than any number.
    @Test func `a rate that is too large for a number`() async {
        await #expect(processExitsWith: .success) {
            var base = SnapshotFixture().snapshot
            var fixture = SnapshotFixture()
            fixture.add(["main m.c:1"], blocks: 1, size: .max)
            base.facts.capturedAt = fixture.snapshot.facts.capturedAt - 1
            let diff = SnapshotDiff(base: base, current: fixture.snapshot)
            _ = TextReport().lines(of: diff, base: "base")
        }
    }

    @Test func `deep stacks`() async {
        await #expect(processExitsWith: .success) {
            var fixture = SnapshotFixture()
            fixture.add(["main m.c:1", "leaf l.c:2"], blocks: 1, size: 1000)
            var snapshot = fixture.snapshot
            snapshot.samples[0].stack = (0..<100_000).map { $0 % 2 }
            let grouping = Grouping(groupBy: .function, cumulative: true)
            let top = TopReport(of: snapshot, grouping: grouping)
            guard TextReport().lines(of: top, facts: snapshot.facts).count > 2 else { exit(3) }
            let graph = FlameGraph(of: snapshot, name: "deep").svg()
            // The frames that are drawn, and little else.
            guard graph.count < 1 << 20, FoldedReport.lines(of: snapshot).count == 1 else {
                exit(4)
            }
        }
    }
}
