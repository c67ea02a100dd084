import LeakprofAnalysis
import LeakprofModel
import LeakprofTestSupport
import Testing

/// A snapshot of up to 40 sites with sums that a seed decides.
private func randomSnapshot(_ random: inout SeededGenerator, cut: UInt32) -> Snapshot {
    var fixture = SnapshotFixture()
    for _ in 0..<random.next(below: 60) {
        let site = random.next(below: 40)
        fixture.add(
            ["main m.c:1", "middle\(site % 7) m.c:\(site % 7)", "site\(site) s.c:\(site + 1)"],
            blocks: Int64(random.next(below: 100)), size: Int64(random.next(below: 5000)),
            epoch: UInt32(random.next(below: Int(cut)) + 1))
    }
    fixture.snapshot.facts.recording?.cutEpoch = cut
    return fixture.snapshot
}

@Suite struct SnapshotDiffTests {
    @Test func `rows are in tracemalloc's order`() {
        var base = SnapshotFixture()
        base.add(["shrank s.c:1"], blocks: 30, size: 100)
        base.add(["same m.c:1"], blocks: 5, size: 100)
        base.add(["gone g.c:1"], blocks: 1, size: 700)
        var current = SnapshotFixture()
        current.add(["shrank s.c:1"], blocks: 10, size: 100)
        current.add(["same m.c:1"], blocks: 5, size: 100)
        current.add(["grew w.c:1"], blocks: 50, size: 100)
        current.add(["new n.c:1"], blocks: 7, size: 100)

        let diff = SnapshotDiff(base: base.snapshot, current: current.snapshot)

        #expect(diff.rows.map(\.key.label) == ["w.c:1", "s.c:1", "n.c:1", "g.c:1"])
        #expect(diff.rows.map(\.change.inuseSpace) == [5000, -2000, 700, -700])
        #expect(diff.current.inuseSpace - diff.base.inuseSpace == 3000)
    }

    @Test func `a snapshot compared with itself has not changed`() {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<50 {
            let snapshot = randomSnapshot(&random, cut: 3)
            let diff = SnapshotDiff(base: snapshot, current: snapshot)
            #expect(diff.rows.isEmpty)
            #expect(diff.base == diff.current)
        }
    }

    @Test func `comparing the other way round changes the signs`() {
        var random = SeededGenerator(seed: 2)
        for _ in 0..<50 {
            let first = randomSnapshot(&random, cut: 3)
            let second = randomSnapshot(&random, cut: 4)
            let there = SnapshotDiff(base: first, current: second)
            let back = SnapshotDiff(base: second, current: first)
            let changes = there.rows.reduce(into: [:]) { $0[$1.key] = $1.change.inuseSpace }
            #expect(back.rows.reduce(into: [:]) { $0[$1.key] = -$1.change.inuseSpace } == changes)
        }
    }

    @Test func `base and change add up to current`() {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<50 {
            let first = randomSnapshot(&random, cut: 3)
            let second = randomSnapshot(&random, cut: 4)
            let diff = SnapshotDiff(base: first, current: second)
            for row in diff.rows { #expect(row.base + row.change == row.current) }
            #expect(
                diff.rows.reduce(0) { $0 + $1.change.inuseSpace }
                    == second.totals.inuseSpace - first.totals.inuseSpace)
        }
    }

    @Test func `survivors are those born after the base was taken`() throws {
        var base = SnapshotFixture()
        base.add(["put c.c:3"], blocks: 10, size: 100, epoch: 1)
        base.snapshot.facts.recording?.cutEpoch = 1
        var current = SnapshotFixture()
        current.add(["put c.c:3"], blocks: 4, size: 100, freed: 6, epoch: 1)
        current.add(["put c.c:3"], blocks: 20, size: 100, freed: 5, epoch: 2)
        current.snapshot.facts.recording?.cutEpoch = 2

        let row = try #require(
            SnapshotDiff(base: base.snapshot, current: current.snapshot).rows.first)
        #expect(row.survivors?.allocObjects == 25)
        #expect(row.survivors?.inuseObjects == 20)
        #expect(row.change.inuseObjects == 14)

        let reversed = SnapshotDiff(base: current.snapshot, current: base.snapshot)
        #expect(!reversed.isSameRun)
        #expect(reversed.rows.first?.survivors == nil)
        current.snapshot.facts.process?.startTicks = 7
        #expect(!SnapshotDiff(base: base.snapshot, current: current.snapshot).isSameRun)
    }

    @Test func `what is in both snapshots adds no uncertainty to the change`() throws {
        func variance(_ value: Int64) -> SamplingVariance {
            SamplingVariance(inuseObjects: value, inuseSpace: value * 100)
        }
        var base = SnapshotFixture()
        base.add(["put c.c:3"], blocks: 10, size: 100, epoch: 1, variance: variance(50))
        var current = SnapshotFixture()
        current.add(["put c.c:3"], blocks: 8, size: 100, epoch: 1, variance: variance(40))
        current.add(["put c.c:3"], blocks: 5, size: 100, epoch: 2, variance: variance(30))
        current.snapshot.facts.recording?.cutEpoch = 2

        let diff = SnapshotDiff(base: base.snapshot, current: current.snapshot)
        #expect(try #require(diff.rows.first).variance == variance(40))
        #expect(diff.variance == variance(40))

        // Nothing is known to be in both of two different runs.
        current.snapshot.facts.process?.pid = 1
        let unrelated = SnapshotDiff(base: base.snapshot, current: current.snapshot)
        #expect(try #require(unrelated.rows.first).variance == variance(120))
    }
}

@Suite struct ComparisonTreeTests {
    /// Checks a node and everything below it: sums are not negative, and no less than the children's.
    private func check(_ node: ComparisonTree.Node) {
        #expect(node.kept >= 0 && node.grown >= 0 && node.shrunk >= 0)
        #expect(node.kept >= node.children.reduce(0) { $0 + $1.kept })
        #expect(node.grown >= node.children.reduce(0) { $0 + $1.grown })
        #expect(node.shrunk >= node.children.reduce(0) { $0 + $1.shrunk })
        for child in node.children { check(child) }
    }

    @Test func `the root has the totals, and every frame what it called`() {
        var random = SeededGenerator(seed: 4)
        for _ in 0..<50 {
            let first = randomSnapshot(&random, cut: 3)
            let second = randomSnapshot(&random, cut: 4)
            let tree = ComparisonTree(base: first, current: second)
            #expect(tree.root.base == first.totals.inuseSpace)
            #expect(tree.root.current == second.totals.inuseSpace)
            #expect(
                tree.root.change == second.totals.inuseSpace - first.totals.inuseSpace)
            check(tree.root)
        }
    }

    @Test func `growth of one stack does not cancel against another's shrinkage`() throws {
        var base = SnapshotFixture()
        base.add(["main m.c:1", "handle h.c:1", "a a.c:1"], blocks: 1, size: 1000)
        base.add(["main m.c:1", "handle h.c:1", "b b.c:1"], blocks: 1, size: 300)
        var current = SnapshotFixture()
        current.add(["main m.c:1", "handle h.c:1", "a a.c:1"], blocks: 1, size: 200)
        current.add(["main m.c:1", "handle h.c:1", "b b.c:1"], blocks: 1, size: 1100)

        let tree = ComparisonTree(base: base.snapshot, current: current.snapshot)

        let handle = try #require(tree.root.children.first?.children.first)
        #expect(handle.frame.function == "handle")
        #expect([handle.kept, handle.grown, handle.shrunk] == [500, 800, 800])
        #expect(handle.change == 0)
        #expect(handle.children.map(\.frame.function) == ["b", "a"])
    }

    @Test func `lines of one function are one frame, the most grown first`() throws {
        var base = SnapshotFixture()
        base.add(["main m.c:1", "put p.c:7"], blocks: 1, size: 10)
        var current = SnapshotFixture()
        current.add(["main m.c:1", "put p.c:7"], blocks: 1, size: 10)
        current.add(["main m.c:2", "put p.c:9"], blocks: 1, size: 500)

        let tree = ComparisonTree(base: base.snapshot, current: current.snapshot)

        let main = try #require(tree.root.children.first)
        #expect(tree.root.children.count == 1)
        #expect(main.lines == [2, 1])
        let put = try #require(main.children.first)
        #expect(put.lines == [9, 7])
        #expect(put.frame.line == 9)
        #expect(put.grown == 500)
    }

    @Test func `stacks of any depth are drawn to a limit`() {
        var fixture = SnapshotFixture()
        fixture.add((0..<5000).map { "f\($0)" }, blocks: 1, size: 1)
        var node = ComparisonTree(base: nil, current: fixture.snapshot).root
        var depth = 0
        while let child = node.children.first {
            node = child
            depth += 1
        }
        #expect(depth == ComparisonTree.depthLimit)
    }
}
