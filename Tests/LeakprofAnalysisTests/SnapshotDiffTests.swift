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

    /// As in Go's own profile: who is in both can't be told, but no more can have changed than were freed.
    @Test func `without birth epochs, as many blocks may be new ones as were freed`() throws {
        func snapshot(blocks: Int64, freed: Int64, variance: Int64) -> Snapshot {
            var fixture = SnapshotFixture()
            fixture.snapshot.facts.recording?.cutEpoch = 0
            fixture.add(
                ["main", "grow"], blocks: blocks, size: 10, freed: freed, epoch: 0,
                variance: SamplingVariance(inuseObjects: variance, inuseSpace: variance * 100))
            return fixture.snapshot
        }
        func variance(_ base: Snapshot, _ current: Snapshot) throws -> SamplingVariance {
            let diff = SnapshotDiff(base: base, current: current)
            #expect(diff.isSameRun)
            let row = try #require(diff.rows.first)
            #expect(row.survivors == nil)
            #expect(row.variance == diff.variance)
            return row.variance
        }
        let base = snapshot(blocks: 100, freed: 50, variance: 1000)
        // Nothing was freed: those of the base are all there.
        let grown = snapshot(blocks: 150, freed: 50, variance: 1500)
        #expect(
            try variance(base, grown) == SamplingVariance(inuseObjects: 500, inuseSpace: 50_000))
        // A third may have been exchanged for others.
        let busy = snapshot(blocks: 150, freed: 100, variance: 1500)
        #expect(
            try variance(base, busy)
                == SamplingVariance(inuseObjects: 1167, inuseSpace: 116_667))
        // All of them: then the two have nothing in common.
        let other = snapshot(blocks: 150, freed: 10_000, variance: 1500)
        #expect(
            try variance(base, other) == SamplingVariance(inuseObjects: 2500, inuseSpace: 250_000))
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

        // Recorded blocks were given up in between, so that those left stand for them.
        var thinned = SnapshotFixture()
        thinned.add(["put c.c:3"], blocks: 16, size: 100, epoch: 1, variance: variance(250))
        thinned.snapshot.facts.recording?.cutEpoch = 2
        let estimate = SnapshotDiff(base: base.snapshot, current: thinned.snapshot)
        #expect(try #require(estimate.rows.first).variance == variance(200))

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

    /// The example every other tool's picture gets wrong: `cache_put` comes out white, or what did not change
    /// green, or what is gone not at all.
    @Test func `a growing cache and all its callers carry the growth`() throws {
        let mebibyte: Int64 = 1 << 20
        func snapshot(_ sizes: KeyValuePairs<String, Int64>) -> Snapshot {
            var fixture = SnapshotFixture()
            for (name, size) in sizes {
                fixture.add(
                    ["main m.c:1", "handle h.c:1", "\(name) \(name).c:1", "malloc"], blocks: size,
                    size: mebibyte)
            }
            return fixture.snapshot
        }

        let tree = ComparisonTree(
            base: snapshot(["parse": 100, "cache_put": 10, "load": 500, "gone": 50]),
            current: snapshot(["parse": 100, "cache_put": 910, "load": 500]))

        let main = try #require(tree.root.children.first)
        let handle = try #require(main.children.first)
        for node in [tree.root, main, handle] {
            #expect(node.kept == 610 * mebibyte)
            #expect(node.grown == 900 * mebibyte)
            #expect(node.shrunk == 50 * mebibyte)
            #expect(node.hasNotableGrowth && node.hasNotableShrinkage)
        }
        #expect(
            handle.children.map(\.frame.function) == ["cache_put", "gone", "load", "parse"])
        #expect(handle.children.map { $0.grown / mebibyte } == [900, 0, 0, 0])
        #expect(handle.children.map { $0.kept / mebibyte } == [10, 0, 500, 100])
        #expect(handle.children.map { $0.shrunk / mebibyte } == [0, 50, 0, 0])
        #expect(handle.children.map(\.hasNotableGrowth) == [true, false, false, false])
        #expect(handle.children.map(\.hasNotableShrinkage) == [false, true, false, false])
        // The same by site: malloc is nobody's line.
        #expect(
            tree.sites.children.map(\.frame.function) == ["cache_put", "gone", "load", "parse"])
        #expect(tree.sites.children.map { $0.change / mebibyte } == [900, -50, 0, 0])
        #expect(tree.sites.children.first?.children.first?.frame.function == "handle")
    }

    @Test func `sites merge what many paths reach`() throws {
        var random = SeededGenerator(seed: 12)
        for _ in 0..<30 {
            let first = randomSnapshot(&random, cut: 3)
            let second = randomSnapshot(&random, cut: 4)
            let tree = ComparisonTree(base: first, current: second)
            check(tree.sites)
            #expect(tree.sites.kept == tree.root.kept && tree.sites.grown == tree.root.grown)
            #expect(tree.sites.children.reduce(0) { $0 + $1.current } == tree.root.current)
            let names = tree.sites.children.map(\.frame.function)
            #expect(Set(names).count == names.count)
        }
    }

    @Test func `limits leave out what is smallest`() {
        var fixture = SnapshotFixture()
        for site in 1...300 {
            fixture.add(["main m.c:1", "f\(site) f.c:1"], blocks: 1, size: Int64(site))
        }
        let tree = ComparisonTree(
            base: nil, current: fixture.snapshot, limits: .init(share: 0, frames: 100))
        let kept = tree.root.children.first?.children ?? []
        #expect(kept.count > 30 && kept.count < 100)
        #expect(tree.omitted == 300 - kept.count)
        #expect(kept.map(\.kept) == (0..<Int64(kept.count)).map { 300 - $0 })
        #expect(tree.root.kept == 300 * 301 / 2)
        #expect(tree.sites.children.count < 100)
    }

    @Test func `as many sites are kept as there may be, whatever order they come in`() {
        /// A line per frame.
        func lines(_ node: ComparisonTree.Node, _ indent: String = "") -> [String] {
            [
                "\(indent)\(node.frame.function) \(node.kept) \(node.grown) \(node.shrunk) \(node.lines)"
            ]
                + node.children.flatMap { lines($0, indent + " ") }
        }
        var random = SeededGenerator(seed: 31)
        for round in 1...20 {
            let first = randomSnapshot(&random, cut: 3)
            let second = randomSnapshot(&random, cut: 4)
            // Each share that is tried, by itself.
            let shares = [0] + (0...20).map { 1e-6 * Double(1 << $0) }
            let trees = shares.map { share in
                lines(
                    ComparisonTree(
                        base: first, current: second, limits: .init(share: share)
                    ).sites)
            }
            let most = round * 6
            let fitting = trees.first { $0.count - 1 <= most }
            let tree = ComparisonTree(
                base: first, current: second, limits: .init(share: 0, frames: most))
            #expect(lines(tree.sites) == fitting)
        }
    }

    @Test func `a function that calls many others has each of them once`() throws {
        var base = SnapshotFixture()
        var current = SnapshotFixture()
        for callee in 1...40 {
            base.add(["main m.c:1", "f\(callee) f.c:1"], blocks: 1, size: Int64(callee))
            current.add(["main m.c:1", "f\(41 - callee) f.c:1"], blocks: 2, size: 50)
            current.add(["main m.c:2", "f\(callee) f.c:2"], blocks: 1, size: 7)
        }
        let tree = ComparisonTree(base: base.snapshot, current: current.snapshot)
        let callees = try #require(tree.root.children.first).children
        #expect(Set(callees.map(\.frame.function)).count == 40)
        #expect(callees.count == 40)
        for callee in callees {
            #expect(callee.current == 107)
            #expect(callee.base == Int64(callee.frame.function.dropFirst()))
            #expect(callee.lines == (callee.base < 43 ? [1, 2] : []))
        }
    }

    @Test func `half of a frame's live blocks are as old as its median epoch or older`() throws {
        var random = SeededGenerator(seed: 77)
        for round in 0..<20 {
            let first = randomSnapshot(&random, cut: 3)
            var second = randomSnapshot(&random, cut: 9)
            for index in second.samples.indices where index % 11 == round % 11 {
                second.samples[index].epoch = 0
            }
            // Of a site, without the tree.
            var epochs: [String: [UInt32]] = [:]
            for sample in second.samples where sample.epoch > 0 && sample.counts.inuseSpace > 0 {
                for location in sample.stack {
                    let name = second.locations[location].frames[0].function
                    epochs[name, default: []] += Array(
                        repeating: sample.epoch, count: Int(sample.counts.inuseObjects))
                }
            }
            func median(_ name: String) -> UInt32 {
                guard let sorted = epochs[name]?.sorted() else { return 0 }
                return sorted[(sorted.count - 1) / 2]
            }
            for limits in [ComparisonTree.Limits(), .init(share: 0.05)] {
                let tree = ComparisonTree(base: first, current: second, limits: limits)
                let main = tree.root.children.first
                #expect(main?.medianEpoch ?? 0 == median("main"))
                #expect(tree.root.medianEpoch == median("main"))
                for site in tree.sites.children + (main?.children.flatMap(\.children) ?? []) {
                    #expect(site.medianEpoch == median(site.frame.function))
                }
            }
            let allocated = ComparisonTree(
                base: first, current: second, sampleType: .allocSpace)
            #expect(allocated.root.medianEpoch == 0)
        }
    }

    @Test func `a change within the sampling error is not worth a look`() {
        func tree(_ variance: Int64) -> ComparisonTree {
            var base = SnapshotFixture()
            var current = SnapshotFixture()
            base.add(["main m.c:1", "put p.c:1"], blocks: 10, size: 1 << 20)
            current.add(["main m.c:1", "put p.c:1"], blocks: 10, size: 1 << 20)
            current.add(
                ["main m.c:1", "put p.c:1"], blocks: 1, size: 1 << 20, epoch: 2,
                variance: SamplingVariance(inuseObjects: 1, inuseSpace: variance))
            current.snapshot.facts.recording?.cutEpoch = 2
            return ComparisonTree(base: base.snapshot, current: current.snapshot)
        }
        #expect(tree((400 << 10) * (400 << 10)).root.hasNotableGrowth)
        #expect(!tree((600 << 10) * (600 << 10)).root.hasNotableGrowth)
        #expect(tree((600 << 10) * (600 << 10)).root.changeError == 600 << 10)
    }
}
