import LeakprofAnalysis
import LeakprofModel
import LeakprofTestSupport
import Testing

@Suite struct SiteTests {
    private func site(_ stack: [String]) -> Site? {
        var fixture = SnapshotFixture()
        fixture.add(stack, blocks: 1, size: 1)
        let frames = StackFrames(fixture.snapshot)
        let sample = fixture.snapshot.samples[0]
        return frames.sites(of: sample).dropFirst(frames.machineryDepth(of: sample)).first
    }

    @Test(arguments: [
        // C and C++: allocator wrappers, operator new, and what is inlined from the library's headers.
        (["main a.c:1", "store a.c:9", "xmalloc util.c:3"], "store"),
        (["main a.c:1", "store a.c:9", "zmalloc", "ztrymalloc_usable_internal"], "store"),
        (
            [
                "main a.cpp:1", "put a.cpp:4",
                "std::vector<int>::push_back /usr/include/c++/12/v:8",
                "std::__new_allocator<int>::allocate /usr/include/c++/12/n:9",
                "operator new(unsigned long)",
            ], "put"
        ),
        // Swift and Rust.
        (
            ["main m.swift:1", "App.open m.swift:7", "swift_allocObject", "swift_slowAlloc"],
            "App.open"
        ),
        (
            [
                "main m.rs:1", "app::push m.rs:3",
                "alloc::raw_vec::finish_grow /rustc/abc/library/a:1",
            ], "app::push"
        ),
        // A function whose name only contains an allocator's is the user's own.
        (["main a.c:1", "handle_malloc_failure a.c:3"], "handle_malloc_failure"),
        (["main a.c:1", "reallocate_table a.c:3"], "reallocate_table"),
        // Nothing but machinery: the innermost frame with a line, or the leaf.
        (
            ["std::thread::run /usr/include/c++/12/t:2", "operator new(unsigned long)"],
            "std::thread::run"
        ),
        (["malloc"], "malloc"),
    ])
    func `the site is the innermost frame that is not machinery`(stack: [String], expected: String)
    {
        let names = stack.map { $0.replacing("operator new(unsigned long)", with: "operator_new") }
        #expect(
            site(names.map { $0 == "operator_new" ? "malloc" : $0 })?.frame.function == expected)
    }
}

@Suite struct GroupingTests {
    private var snapshot: Snapshot {
        var fixture = SnapshotFixture()
        fixture.add(["main a.c:1", "handle a.c:20", "put c.c:3"], blocks: 10, size: 100)
        fixture.add(["main a.c:2", "put c.c:3"], blocks: 5, size: 100, epoch: 2)
        fixture.add(["main a.c:1", "handle a.c:21", "get c.c:9"], blocks: 1, size: 5000, freed: 4)
        fixture.add(["main a.c:1", "recursive r.c:5", "recursive r.c:5"], blocks: 2, size: 8)
        fixture.add(["main a.c:1", "nolines"], blocks: 3, size: 3)
        return fixture.snapshot
    }

    private func rows(_ groupBy: GroupBy, cumulative: Bool = false, filters: Filters = Filters())
        -> [String: Int64]
    {
        let grouping = Grouping(groupBy: groupBy, cumulative: cumulative, filters: filters)
        return grouping.statistics(of: snapshot).reduce(into: [:]) {
            $0[$1.key.label] = $1.value.counts.inuseSpace
        }
    }

    @Test func `blocks are counted by each kind of group`() {
        #expect(
            rows(.line) == ["c.c:3": 1500, "c.c:9": 5000, "r.c:5": 16, "nolines (server)": 9])
        #expect(
            rows(.function) == [
                "put (server)": 1500, "get (server)": 5000, "recursive (server)": 16,
                "nolines (server)": 9,
            ])
        #expect(rows(.file) == ["c.c": 6500, "r.c": 16, "server": 9])
        #expect(rows(.module) == ["server": 6525])
        #expect(Grouping(groupBy: .stack).statistics(of: snapshot).count == 5)
    }

    @Test func `cumulative counts each frame once per stack`() {
        let cumulative = rows(.function, cumulative: true)
        #expect(cumulative["main (server)"] == 6525)
        #expect(cumulative["handle (server)"] == 6000)
        #expect(cumulative["recursive (server)"] == 16)
    }

    @Test func `a row has the callers that all its blocks have, and those of its largest stack`()
        throws
    {
        var fixture = SnapshotFixture()
        fixture.add(
            ["main a.c:1", "far a.c:2", "near a.c:3", "put c.c:3", "malloc"], blocks: 1, size: 100)
        fixture.add(["main a.c:1", "other a.c:7", "near a.c:4", "put c.c:3"], blocks: 1, size: 900)
        fixture.add(["main a.c:1", "other a.c:7", "near a.c:5", "put c.c:3"], blocks: 1, size: 200)
        for cumulative in [false, true] {
            let groups = Grouping(cumulative: cumulative).statistics(of: fixture.snapshot)
            let row = try #require(groups.values.first { $0.key.label == "c.c:3" })
            #expect(row.counts.inuseSpace == 1200)
            #expect(row.callers.shared.map(\.frame.function) == ["near"])
            #expect(row.callers.ofLargest.map(\.frame.function) == ["near", "other", "main"])
            #expect(row.callers.ofLargest.first?.frame.line == 4)
            #expect(groups.count == (cumulative ? 7 : 1))
        }
        #expect(Grouping(groupBy: .stack).statistics(of: fixture.snapshot).count == 3)
    }

    @Test func `filters follow tracemalloc's rule`() {
        #expect(rows(.line, filters: Filters(include: ["c.c"])) == ["c.c:3": 1500, "c.c:9": 5000])
        #expect(
            rows(.line, filters: Filters(include: ["put", "r*"])) == ["c.c:3": 1500, "r.c:5": 16])
        #expect(
            rows(.line, filters: Filters(include: ["c.c"], exclude: ["get"])) == ["c.c:3": 1500])
        #expect(rows(.line, filters: Filters(exclude: ["server"])).isEmpty)
        #expect(rows(.line, filters: Filters(include: ["handle"])).isEmpty)
        #expect(
            rows(.line, filters: Filters(include: ["handle"], allFrames: true)) == [
                "c.c:3": 1000, "c.c:9": 5000,
            ])
        #expect(rows(.line, filters: Filters(bornAfterEpoch: 1)) == ["c.c:3": 500])
    }

    @Test func `top is ordered as tracemalloc does: size, count, the last name first`() {
        var fixture = SnapshotFixture()
        fixture.add(["b b.c:1"], blocks: 2, size: 50)
        fixture.add(["c c.c:1"], blocks: 4, size: 25)
        fixture.add(["a a.c:1"], blocks: 2, size: 50)
        fixture.add(["z z.c:1"], blocks: 1, size: 500)
        fixture.add(["gone g.c:1"], blocks: 0, size: 70, freed: 9)
        func labels(_ sort: SortKey) -> [String] {
            TopReport(of: fixture.snapshot, sort: sort).rows.map(\.key.label)
        }
        #expect(labels(.size) == ["z.c:1", "c.c:1", "b.c:1", "a.c:1"])
        #expect(labels(.count) == ["c.c:1", "b.c:1", "a.c:1", "z.c:1"])
        #expect(labels(.average) == ["z.c:1", "b.c:1", "a.c:1", "c.c:1"])
        #expect(labels(.name) == ["a.c:1", "b.c:1", "c.c:1", "z.c:1"])
        let allocated = TopReport(of: fixture.snapshot, sampleType: .allocSpace)
        #expect(allocated.rows.map(\.key.label).prefix(2) == ["g.c:1", "z.c:1"])
    }

    @Test func `the sum of all rows is the total`() {
        for groupBy in GroupBy.allCases {
            let report = TopReport(of: snapshot, grouping: Grouping(groupBy: groupBy))
            #expect(report.rows.reduce(0) { $0 + $1.counts.inuseSpace } == 6525)
            #expect(report.totals == snapshot.totals)
        }
    }
}
