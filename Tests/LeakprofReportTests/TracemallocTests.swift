import Foundation
import LeakprofAnalysis
import LeakprofModel
import LeakprofReport
import LeakprofTestSupport
import Testing

/// The same blocks in our reports and in tracemalloc's, which says what it prints itself.
@Suite struct TracemallocTests {
    /// Live blocks with one stack trace: the places, leaf first, and the sizes of the blocks.
    private struct Site: Encodable {
        var stack: [Place]
        var sizes: [Int64]
    }

    private struct Place: Encodable, Hashable {
        var file: String
        var line: Int64
    }

    private struct Question: Encodable {
        var base: [Site]
        var current: [Site]
        var groupBy: String
        var isCumulative: Bool
        /// Patterns, and whether they are of any frame.
        var include: [String]
        var exclude: [String]
        var allFrames: Bool
        var compares: Bool
    }

    /// Answers on stdout what is asked on stdin.
    private static let oracle = """
        import json, sys, tracemalloc
        asked = json.load(sys.stdin)
        filters = [tracemalloc.Filter(included, pattern, all_frames=asked["allFrames"])
                   for included, key in ((True, "include"), (False, "exclude")) for pattern in asked[key]]
        def snapshot(sites):
            traces = [(0, size, tuple((place["file"], place["line"]) for place in site["stack"]), len(site["stack"]))
                      for site in sites for size in site["sizes"]]
            return tracemalloc.Snapshot(traces, 64).filter_traces(filters)
        base, current = snapshot(asked["base"]), snapshot(asked["current"])
        if asked["compares"]:
            rows = current.compare_to(base, asked["groupBy"], asked["isCumulative"])
            # It prints what did not change too.
            rows = [row for row in rows if row.size_diff or row.count_diff]
        else:
            rows = current.statistics(asked["groupBy"], asked["isCumulative"])
        for row in rows:
            print(row)
        """

    /// Sites with few files, lines and sizes, so that rows have the same sums and sums lie between two roundings.
    private func sites(_ random: inout SeededGenerator, count: Int) -> [Site] {
        let sizes: [Int64] = [1, 7, 48, 100, 512, 1024, 2304, 12_544, 102_400, 1 << 20, 37 << 20]
        let files = ["/srv/cache.py", "/srv/load.py", "/lib/parse-1.py", "/lib/parse2.py"]
        return (0..<count).map { _ in
            // Each file once: what is on a stack twice, we count once and tracemalloc twice.
            let places = files.shuffled(using: &random).prefix(
                Int.random(in: 1...4, using: &random)
            ).map { Place(file: $0, line: Int64.random(in: 1...12, using: &random)) }
            return Site(
                stack: places,
                sizes: (0..<Int.random(in: 1...9, using: &random)).map { _ in
                    sizes.randomElement(using: &random) ?? 1
                })
        }
    }

    private func snapshot(_ sites: [Site]) -> Snapshot {
        var fixture = SnapshotFixture()
        for site in sites {
            // One function per place: names tell frames apart too, and tracemalloc has none.
            let stack = site.stack.reversed().map {
                "f\($0.line)of\($0.file.utf8.count) \($0.file):\($0.line)"
            }
            for size in site.sizes { fixture.add(stack, blocks: 1, size: size) }
        }
        return fixture.snapshot
    }

    /// Our lines without what tracemalloc has no place for: functions, callers and what is around the rows.
    private func rows(_ lines: [String]) -> [String] {
        lines.filter { $0.contains(": size=") }.map { line in
            let end = [line.range(of: "     "), line.range(of: "  < ")]
                .compactMap { $0?.lowerBound }.min()
            return String(line[..<(end ?? line.endIndex)])
        }
    }

    private static let filters: [(include: [String], exclude: [String])] = [
        ([], []), (["/srv/*"], []), (["/srv/load.py", "*/parse?.py"], []), ([], ["*/cache.py"]),
        (["/lib/*"], ["*-[0-9].py"]), (["/*/[!cl]*.py"], []),
    ]

    @Test(arguments: [false, true], [GroupBy.line, GroupBy.file])
    func `rows are tracemalloc's to the letter`(compares: Bool, groupBy: GroupBy) async throws {
        var random = SeededGenerator(seed: compares ? 3 : 4)
        var seen = 0
        for isCumulative in [false, true] {
            for allFrames in [false, true] {
                for (include, exclude) in Self.filters {
                    let question = Question(
                        base: sites(&random, count: 30), current: sites(&random, count: 40),
                        groupBy: groupBy == .line ? "lineno" : "filename",
                        isCumulative: isCumulative, include: include, exclude: exclude,
                        allFrames: allFrames, compares: compares)
                    let input = String(decoding: try JSONEncoder().encode(question), as: UTF8.self)
                    let finished = try await Programs.run(
                        "python3", ["-c", Self.oracle], input: input)
                    try #require(finished.errors == "")
                    var expected = finished.output.split(separator: "\n").map(String.init)
                    if groupBy == .file {
                        // It prints line 0 of the file.
                        expected = expected.map { $0.replacing(".py:0: ", with: ".py: ") }
                    }
                    let grouping = Grouping(
                        groupBy: groupBy, cumulative: isCumulative,
                        filters: Filters(include: include, exclude: exclude, allFrames: allFrames))
                    let report = TextReport(limit: 1000, showsAllChanges: true)
                    let (base, current) = (snapshot(question.base), snapshot(question.current))
                    let lines =
                        compares
                        ? report.lines(
                            of: SnapshotDiff(base: base, current: current, grouping: grouping),
                            base: "base")
                        : report.lines(
                            of: TopReport(of: current, grouping: grouping), facts: current.facts)
                    #expect(rows(lines) == expected)
                    seen += expected.count
                }
            }
        }
        // Otherwise this compares nothing.
        #expect(seen > 50)
    }
}
