import LeakprofAnalysis
import LeakprofModel
import LeakprofTestSupport
import Testing

@testable import LeakprofReport

@Suite struct FlameGraphTests {
    private var comparison: FlameGraph {
        FlameGraph(
            base: ReportFixture.base, current: ReportFixture.current, names: ("early", "late"))
    }

    /// The file without style and script, which have files of their own.
    private func text(_ graph: FlameGraph) -> String {
        var text = String(decoding: graph.svg(), as: UTF8.self)
        for (start, end) in [("<style>", "</style>"), ("<script>", "</script>")] {
            guard let from = text.range(of: start)?.upperBound,
                let to = text.range(of: end, in: from)?.lowerBound
            else {
                Issue.record("there is no \(start)")
                continue
            }
            text.replaceSubrange(from..<to, with: "")
        }
        return text
    }

    @Test func `two snapshots`() {
        #expect(Golden.difference(text(comparison), "comparison.svg") == nil)
    }

    @Test func `one snapshot`() {
        #expect(
            Golden.difference(text(FlameGraph(of: ReportFixture.base, name: "early")), "single.svg")
                == nil)
    }

    @Test func `the same input gives the same bytes`() {
        #expect(comparison.svg() == comparison.svg())
    }

    @Test func `children lie within their parents, on one scale`() {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<30 {
            var base = SnapshotFixture()
            var current = SnapshotFixture()
            for site in 0..<30 {
                let stack = (0...random.next(below: 6)).map { "f\(random.next(below: 4) + $0)" }
                base.add(stack + ["leaf\(site)"], blocks: 1, size: Int64(random.next(below: 9000)))
                current.add(
                    stack + ["leaf\(site)"], blocks: 1, size: Int64(random.next(below: 9000)))
            }
            let layout = FlameGraphLayout(
                ComparisonTree(base: base.snapshot, current: current.snapshot), threshold: 0)
            for frames in [layout.base, layout.current] {
                var open: [FlameGraphLayout.Frame] = []
                for frame in frames {
                    // Frames come outermost first, so the last one of a lower depth is the parent.
                    while let last = open.last, last.depth >= frame.depth { open.removeLast() }
                    if let parent = open.last {
                        #expect(frame.depth == parent.depth + 1)
                        #expect(frame.offset >= parent.offset)
                        #expect(frame.offset + frame.width <= parent.offset + parent.width)
                    }
                    open.append(frame)
                }
            }
            #expect(layout.base.first?.width == base.snapshot.totals.inuseSpace)
            #expect(layout.current.first?.width == current.snapshot.totals.inuseSpace)
            #expect(layout.omitted == 0)
        }
    }

    @Test func `what is too small to see is left out and counted`() {
        var fixture = SnapshotFixture()
        fixture.add(["main m.c:1", "large l.c:1"], blocks: 1, size: 1_000_000)
        for site in 0..<50 {
            fixture.add(["main m.c:1", "tiny\(site) t.c:1"], blocks: 1, size: 10)
        }
        let layout = FlameGraphLayout(ComparisonTree(base: nil, current: fixture.snapshot))
        #expect(layout.omitted == 50)
        #expect(layout.nodes.map(\.frame.function) == ["", "main", "large"])
    }

    @Test func `allocator frames are part of their caller`() {
        let graph = text(comparison)
        #expect(graph.contains("load load.c:5"))
        #expect(!graph.contains("xmalloc"))
    }
}

extension String {
    fileprivate func range(of other: String, in start: Index? = nil) -> Range<Index>? {
        self[(start ?? startIndex)...].firstRange(of: other)
    }
}
