import Glibc
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
        for (start, end) in [
            ("<style>", "</style>"), ("<script>", "</script>"),
        ] {
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

    @Test func `a profile of bytes alone is not said to have no blocks`() {
        func bytesAlone(_ snapshot: Snapshot) -> Snapshot {
            var snapshot = snapshot
            for index in snapshot.samples.indices {
                snapshot.samples[index].counts.inuseObjects = 0
                snapshot.samples[index].counts.allocObjects = 0
            }
            return snapshot
        }
        let (base, current) = (bytesAlone(ReportFixture.base), bytesAlone(ReportFixture.current))
        #expect(text(comparison).contains(" blocks"))
        #expect(
            !text(FlameGraph(base: base, current: current, names: ("early", "late"))).contains(
                " blocks"))
        #expect(!text(FlameGraph(of: current, name: "late")).contains(" blocks"))
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
            let tree = ComparisonTree(base: base.snapshot, current: current.snapshot)
            let contents: [FlameGraphLayout.Content] = [
                .beforeOfTwo, .afterOfTwo, .growth, .union, .before, .after,
            ]
            for root in [tree.root, tree.sites] {
                let layout = FlameGraphLayout(root, contents)
                for frames in layout.graphs { checkNesting(frames) }
                #expect(
                    layout.graphs.map { $0.first?.part.width } == [
                        tree.root.base, tree.root.current, tree.root.grown,
                        tree.root.current + tree.root.shrunk, tree.root.base, tree.root.current,
                    ])
            }
            #expect(tree.omitted == 0)
        }
    }

    private func checkNesting(_ frames: [FlameGraphLayout.Frame]) {
        var open: [FlameGraphLayout.Frame] = []
        for frame in frames {
            // Frames come outermost first, so the last one of a lower depth is the parent.
            while let last = open.last, last.depth >= frame.depth { open.removeLast() }
            if let parent = open.last {
                #expect(frame.depth == parent.depth + 1)
                #expect(frame.offset >= parent.offset)
                #expect(frame.offset + frame.part.width <= parent.offset + parent.part.width)
            }
            open.append(frame)
        }
    }

    @Test func `what is too small to see is left out and counted`() {
        var fixture = SnapshotFixture()
        fixture.add(["main m.c:1", "large l.c:1"], blocks: 1, size: 1_000_000)
        for site in 0..<50 {
            fixture.add(["main m.c:1", "tiny\(site) t.c:1"], blocks: 1, size: 10)
        }
        let graph = FlameGraph(of: fixture.snapshot, name: "early")
        #expect(graph.tree.omitted == 50)
        #expect(text(graph).contains("50 frames too small to see are left out"))
        #expect(!text(graph).contains("<title>tiny"))
    }

    /// cache_put grows 10 → 910, parse and load stay, gone goes.
    static var growingCache: FlameGraph { growingCache(lens: .union) }

    static func growingCache(lens: FlameGraph.Lens, isFlame: Bool = false) -> FlameGraph {
        func snapshot(_ sizes: KeyValuePairs<String, Int64>) -> Snapshot {
            var fixture = SnapshotFixture()
            for (name, size) in sizes {
                fixture.add(
                    ["main m.c:1", "handle h.c:1", "\(name) \(name).c:1"], blocks: size,
                    size: 1 << 20)
            }
            return fixture.snapshot
        }
        return FlameGraph(
            base: snapshot(["parse": 100, "cache_put": 10, "load": 500, "gone": 50]),
            current: snapshot(["parse": 100, "cache_put": 910, "load": 500]),
            names: ("early", "late"),
            style: .init(lens: lens, isFlame: isFlame))
    }

    /// Class and width of the rectangles of the frame whose name is `name`.
    private func segments(_ name: String, in graph: String) -> [String] {
        let lines = graph.split(separator: "\n")
        // The frame's line begins with its name, as the first line of its title; it ends with its shapes.
        guard
            let start = lines.firstIndex(where: {
                $0.hasPrefix("<g class=\"f") && $0.hasSuffix("<title>\(name)")
            }), let end = lines[start...].firstIndex(where: { $0.hasSuffix("</g>") })
        else { return [] }
        return lines[end].split(separator: "<rect class=\"").dropFirst().compactMap { rect in
            let width = rect.firstRange(of: "width=\"").map { rect[$0.upperBound...] }
            return "\(rect.prefix { $0 != "\"" }) \(width?.prefix { $0 != "\"" } ?? "")"
        }
    }

    @Test func `a growing cache and its callers carry the growth to scale`() {
        let graph = text(Self.growingCache)
        // 1560 MiB of kept, grown and shrunk are 1176 pixels wide.
        let all = ["k 459.85", "g4 678.46", "s4 37.69", "e 1176.00"]
        for caller in ["all stacks", "main", "handle"] {
            #expect(segments(caller, in: graph) == all)
        }
        #expect(segments("cache_put", in: graph) == ["k 7.54", "g4 678.46", "e 686.00"])
        #expect(segments("parse", in: graph) == ["k 75.38", "e 75.38"])
        #expect(segments("load", in: graph) == ["k 376.92", "e 376.92"])
        #expect(segments("gone", in: graph) == ["s4 37.69", "e 37.69"])
        #expect(graph.contains("class=\"f gone\"><title>gone\n"))
    }

    @Test(arguments: FlameGraph.Lens.allCases)
    func `every lens can be the one that is drawn`(lens: FlameGraph.Lens) {
        let icicle = text(Self.growingCache(lens: lens))
        #expect(icicle.contains("data-lens=\"\(lens.rawValue)\""))
        let isThere = ["cache_put": true, "gone": lens != .after && lens != .growth]
        for (name, expected) in isThere {
            #expect(segments(name, in: icicle).isEmpty != expected)
        }
        #expect(segments("load", in: icicle).isEmpty == (lens == .growth))
        let flame = text(Self.growingCache(lens: lens, isFlame: true))
        #expect(flame != icicle)
        #expect(segments("cache_put", in: flame) == segments("cache_put", in: icicle))
    }

    @Test func `ten thousand frames are less than a megabyte and a half`() {
        func snapshot(_ blocks: Int64) -> Snapshot {
            var fixture = SnapshotFixture()
            for site in 0..<500 {
                let callers = (0..<18).map {
                    "service_function_\(site)_\($0) source\(site % 40).cpp:\($0 + 10)"
                }
                fixture.add(
                    ["main main.cpp:10"] + callers + ["allocate_\(site) heap.cpp:\(site + 1)"],
                    blocks: blocks, size: 4000 + Int64(site))
            }
            return fixture.snapshot
        }
        let graph = FlameGraph(
            base: snapshot(100), current: snapshot(250), names: ("early", "late"))
        func frames(_ node: ComparisonTree.Node) -> Int {
            node.children.reduce(1) { $0 + frames($1) }
        }
        #expect(frames(graph.tree.root) > 9500)
        #expect(graph.tree.omitted == 0)
        #expect(graph.svg().count < 1_500_000)
    }

    @Test func `what makes two snapshots doubtful to compare is said`() {
        var other = ReportFixture.current
        other.mappings[0].buildID = "99887766554433221100"
        other.facts.process?.pid = 5000
        other.facts.duration = 600_000_000_000
        let graph = text(
            FlameGraph(base: ReportFixture.base, current: other, names: ("early", "late")))
        for words in [
            "warning: the binary differs between A and B (build 00112233 and 99887766)",
            "warning: A was recorded for 1 m 0 s and B for 10 m 0 s",
            "warning: the load differs: 108 blocks were allocated in A, 2,109 in B",
        ] {
            #expect(graph.contains(words))
        }
        #expect(!text(comparison).contains("warning:"))
    }

    @Test func `times are those of the calendar`() {
        let second: Int64 = 1_000_000_000
        #expect(SnapshotWords.time(1) == "1970-01-01 00:00:00 UTC")
        #expect(SnapshotWords.time(951_782_399 * second) == "2000-02-28 23:59:59 UTC")
        #expect(SnapshotWords.time(951_782_400 * second) == "2000-02-29 00:00:00 UTC")
        #expect(SnapshotWords.time(1_790_000_000 * second) == "2026-09-21 14:13:20 UTC")
        #expect(SnapshotWords.time(4_107_542_400 * second) == "2100-03-01 00:00:00 UTC")
    }

    /// Contrast of text and what it is on, by WCAG 2: of every fill that labels stand on, in both themes.
    @Test func `labels can be read on every fill`() throws {
        let style = String(
            decoding: FlameGraph(of: ReportFixture.base, name: "a").svg(), as: UTF8.self)
        let themes = [".leakprof-graph {", ".leakprof-graph.dark {", ".leakprof-graph.auto {"]
        let blocks = try themes.map { theme in
            let start = try #require(style.range(of: theme)?.upperBound)
            return style[start...].prefix { $0 != "}" }
        }
        #expect(blocks[1] == blocks[2])
        for block in blocks {
            func color(_ name: String) throws -> [Double] {
                let start = try #require(block.firstRange(of: "--\(name): #")?.upperBound)
                let digits = Array(block[start...].prefix(6))
                return try stride(from: 0, to: 6, by: 2).map { index in
                    Double(try #require(Int(String(digits[index...(index + 1)]), radix: 16))) / 255
                }
            }
            func luminance(_ color: [Double]) -> Double {
                let linear = color.map {
                    $0 <= 0.04045 ? $0 / 12.92 : pow(($0 + 0.055) / 1.055, 2.4)
                }
                return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
            }
            func contrast(_ first: [Double], _ second: [Double]) -> Double {
                let values = [luminance(first), luminance(second)].sorted()
                return (values[1] + 0.05) / (values[0] + 0.05)
            }
            var pairs = [
                ("kept", "on-kept", ""), ("page", "ink", ""), ("page", "soft", ""),
                ("page", "alarm", ""), ("page", "accent", ""),
            ]
            for (ramp, stripes) in [("g", false), ("s", true)] {
                for step in 1...4 {
                    let half = step < 3 ? "12" : "34"
                    let stripe = stripes ? (step < 3 ? "stripe-a" : "stripe-b") : ""
                    pairs.append(("\(ramp)\(step)", "on-\(ramp)\(half)", stripe))
                }
            }
            for (fill, text, stripe) in pairs {
                #expect(contrast(try color(fill), try color(text)) >= 4.5, "\(text) on \(fill)")
                guard !stripe.isEmpty else { continue }
                let mixed = zip(try color(fill), try color(stripe)).map { $0 * 0.7 + $1 * 0.3 }
                #expect(contrast(mixed, try color(text)) >= 4.5, "\(text) on striped \(fill)")
            }
        }
    }

    /// Stacks of which nothing is left count for the frames that are still there.
    @Test func `frames say how many of the blocks allocated since are left`() throws {
        var base = SnapshotFixture()
        base.add(["main m.c:1", "put c.c:3"], blocks: 10, size: 4096)
        var current = SnapshotFixture()
        current.snapshot.facts.recording?.cutEpoch = 2
        current.add(["main m.c:1", "put c.c:3"], blocks: 10, size: 4096, freed: 90)
        current.add(["main m.c:1", "put c.c:3"], blocks: 40, size: 4096, freed: 2, epoch: 2)
        current.add(["main m.c:1", "put c.c:3"], blocks: 0, size: 4096, freed: 8, epoch: 3)
        current.add(["main m.c:1", "parse p.c:3"], blocks: 0, size: 10, freed: 500, epoch: 2)
        func titles(_ current: Snapshot, _ lens: FlameGraph.Lens = .union) -> String {
            text(
                FlameGraph(
                    base: base.snapshot, current: current, names: ("early", "late"),
                    style: .init(lens: lens)))
        }
        let graph = titles(current.snapshot)
        let rest = "blocks allocated since early are still live"
        #expect(graph.contains("<title>put\nc.c:3\n"))
        #expect(graph.components(of: "\n40 of 50 \(rest)") == 1)
        // All stacks and main.
        #expect(graph.components(of: "\n40 of 550 \(rest)") == 2)
        #expect(!graph.contains("parse"))
        var sampled = current.snapshot
        sampled.samples[1].variance = SamplingVariance(inuseObjects: 4, inuseSpace: 4 << 20)
        #expect(titles(sampled).contains("\nabout 40 of 50 \(rest)"))
        // Of another run, epochs say nothing.
        var other = current.snapshot
        other.facts.process?.pid = 5000
        #expect(!titles(other).contains("still live"))
    }

    @Test func `allocator frames are part of their caller`() {
        let graph = text(comparison)
        #expect(graph.contains("<title>load\nload.c:5\n"))
        #expect(graph.contains("\nallocator frames in it: xmalloc</title>"))
        #expect(!graph.contains("<title>xmalloc"))
    }
}

extension String {
    /// How often `other` is in it.
    fileprivate func components(of other: String) -> Int { ranges(of: other).count }

    fileprivate func range(of other: String, in start: Index? = nil) -> Range<Index>? {
        self[(start ?? startIndex)...].firstRange(of: other)
    }
}
