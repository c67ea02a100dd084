import LeakprofAnalysis
import LeakprofModel
import LeakprofReport
import LeakprofTestSupport
import Testing

/// A target chooses its own names: of functions, files, libraries, and of itself.
@Suite(.timeLimit(.minutes(10))) struct HostileNameTests {
    static let names = [
        "</script><svg onload=window.owned=1>", "<img src=x onerror=\"window.owned=1\">",
        "]]></script><script>window.owned=1</script><![CDATA[", "\"' onload='window.owned=1",
        "&lt;b&gt;&amp;&#0;&nbsp;", "javascript:window.owned=1",
        "\u{1b}[2J\u{1b}]0;owned\u{7}", "\u{9b}31mred\u{9d}0;owned\u{9c}", "a\rb\nc\td\u{0}e\u{7f}",
        "\u{202e}desrever\u{2066}\u{200f}\u{61c}", "line\u{2028}paragraph\u{2029}end",
        "zero\u{200b}\u{2060}\u{feff}width\u{e0041}", "no\u{fffe}\u{ffff}\u{1fffe}character",
        "semi;colon;\u{301}and; space", "new\r\n\u{301}line", "\\u003c\\n\\\"", "${x}`y`$(z)",
        String(decoding: [0x66, 0xff, 0xfe, 0xc0, 0xaf, 0xed, 0xa0, 0x80], as: UTF8.self),
        String(repeating: "long", count: 30_000), String(repeating: "e\u{301}", count: 9000), " ",
    ]

    /// A stack for each of `names`, in which every name has it in it; the base has fewer blocks.
    private static func snapshot(_ names: [String], base: Bool = false) -> Snapshot {
        var fixture = SnapshotFixture()
        for (index, _) in names.enumerated() {
            fixture.add(
                ["main m:1", "outer\(index) o:2", "inner\(index) i:3"],
                blocks: Int64(base ? 5 : 10) * Int64(index + 1), size: 100)
        }
        var snapshot = fixture.snapshot
        let all = names.joined()
        snapshot.mappings[0].path = ("/lib/" + all).clipped(toBytes: Frame.nameLimit)
        for location in snapshot.locations.indices.dropFirst() {
            // As they come from a file or from symbols: cut.
            let name = names[(location - 1) / 2].clipped(toBytes: Frame.nameLimit - 32)
            snapshot.locations[location].frames[0].function += name
            // Without a file, it is the function and the module that are shown.
            let file = snapshot.locations[location].frames[0].file
            snapshot.locations[location].frames[0].file = location % 4 < 2 ? "" : file + name
        }
        snapshot.facts.process?.name = all
        snapshot.facts.process?.executable = all
        snapshot.facts.process?.arguments = names
        snapshot.facts.recording?.state = all
        snapshot.facts.recording?.mode = all
        snapshot.facts.notes = names
        return snapshot
    }

    private static let plain = names.indices.map { "x\($0)" }

    /// What must not reach a terminal or a file: what moves a cursor, hides text, or turns it around.
    private static func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0, 0x61c, 0x200b, 0x200e...0x200f, 0x2028...0x202e,
            0x2060...0x206f, 0xfeff, 0xfff9...0xfffb, 0xe0000...0xe007f:
            true
        default: scalar.value & 0xfffe == 0xfffe
        }
    }

    private func expectHarmless(_ text: String) {
        let harmful = text.unicodeScalars.first { $0 != "\n" && Self.isHarmful($0) }
        #expect(harmful.map { String($0.value, radix: 16) } == nil)
    }

    @Test(arguments: GroupBy.allCases)
    func `text`(groupBy: GroupBy) {
        func lines(_ names: [String]) -> [String] {
            let (base, current) = (Self.snapshot(names, base: true), Self.snapshot(names))
            let grouping = Grouping(groupBy: groupBy)
            let report = TextReport(limit: 100) { _, _ in names.joined() }
            return report.lines(
                of: TopReport(of: current, grouping: grouping), facts: current.facts)
                + report.lines(
                    of: SnapshotDiff(base: base, current: current, grouping: grouping),
                    base: names.joined())
        }
        let hostile = lines(Self.names)
        for line in hostile {
            expectHarmless(line)
            #expect(!line.contains("\n"))
            #expect(line.utf8.count < 1 << 16)
        }
        #expect(hostile.count == lines(Self.plain).count)
    }

    @Test func `folded stacks`() {
        let (base, current) = (Self.snapshot(Self.names, base: true), Self.snapshot(Self.names))
        for lines in [
            FoldedReport.lines(of: current), FoldedReport.lines(base: base, current: current),
        ] {
            #expect(lines.count == Self.names.count)
            for line in lines {
                expectHarmless(line)
                #expect(!line.contains("\n"))
                #expect(line.utf8.count { $0 == UInt8(ascii: ";") } == 2)
            }
        }
    }

    @Test func `JSON`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let (base, current) = (Self.snapshot(Self.names, base: true), Self.snapshot(Self.names))
        let report = TopReport(of: current, grouping: Grouping(groupBy: .stack))
        for (index, name) in Self.names.enumerated() {
            try Files.write(Array(name.utf8), to: "\(directory.path)/name\(index)")
        }
        for bytes in [
            try JSONReport.bytes(of: report, facts: current.facts),
            try JSONReport.bytes(of: SnapshotDiff(base: base, current: current)),
        ] {
            expectHarmless(String(decoding: bytes, as: UTF8.self))
            try Files.write(bytes, to: directory.path + "/report.json")
            // Another reader finds the very names in it.
            try await Programs.succeed(
                "python3",
                [
                    "-c",
                    """
                    import json
                    names = [open(f"name{n}", encoding="utf-8", newline="").read() for n in range(\(Self.names.count))]
                    report = json.load(open("report.json", encoding="utf-8"))
                    side = report.get("snapshot") or report["current"]
                    assert side["notes"] == names and side["process"]["name"] == "".join(names)
                    """,
                ], directory: directory.path)
        }
    }

    @Test func `SVG`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        /// What elements and attributes there are, as another reader sees them.
        func structure(_ bytes: [UInt8]) async throws -> [Substring] {
            expectHarmless(String(decoding: bytes, as: UTF8.self))
            try Files.write(bytes, to: directory.path + "/graph.svg")
            // What is not well-formed is an error.
            let tree = try await Programs.succeed(
                "xmllint", ["--nonet", "--huge", "--debug", directory.path + "/graph.svg"])
            return tree.split(separator: "\n").map { $0.drop { $0 == " " } }.filter {
                $0.hasPrefix("ELEMENT ") || $0.hasPrefix("ATTRIBUTE ")
            }
        }
        func graphs(_ names: [String]) -> [[UInt8]] {
            let all = names.joined()
            return [
                FlameGraph(of: Self.snapshot(names), name: all).svg(),
                FlameGraph(
                    base: Self.snapshot(names, base: true), current: Self.snapshot(names),
                    names: (all, all)
                ).svg(),
            ]
        }
        for (hostile, plain) in zip(graphs(Self.names), graphs(Self.plain)) {
            let expected = try await structure(plain)
            #expect(expected.count { $0 == "ELEMENT script" } == 1)
            #expect(try await structure(hostile) == expected)
        }
    }

    private func story(_ names: [String]) -> GrowthStory {
        let all = names.joined()
        return GrowthStory([
            (all, Self.snapshot(names, base: true)), (all, Self.snapshot(names)),
        ]) { file, line in
            GrowthStory.Excerpt(place: "\(file):\(line)", lines: [(line, all)], line: line)
        }
    }

    /// The tags and names of attributes of an HTML file, and of what is in its frames.
    private func structure(ofHTML bytes: [UInt8], in directory: TemporaryDirectory) async throws
        -> [Substring]
    {
        expectHarmless(String(decoding: bytes, as: UTF8.self))
        try Files.write(bytes, to: directory.path + "/page.html")
        return try await Programs.succeed(
            "python3",
            [
                "-c",
                """
                from html.parser import HTMLParser
                class Reader(HTMLParser):
                    def handle_starttag(self, tag, attributes):
                        print(tag, *(name for name, _ in attributes))
                        for name, value in attributes:
                            if name == "srcdoc": Reader().feed(value)
                            if name.startswith("on") or "javascript:" in (value or "") and name in ("href", "src"):
                                print("runs", name, value)
                Reader().feed(open("page.html", encoding="utf-8").read())
                """,
            ], directory: directory.path
        ).split(separator: "\n")
    }

    @Test func `HTML`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let expected = try await structure(
            ofHTML: HTMLReport.bytes(of: story(Self.plain)), in: directory)
        #expect(expected.count { $0 == "script" } == 2)
        #expect(expected.count { $0.hasPrefix("td") } > Self.names.count)
        #expect(
            try await structure(ofHTML: HTMLReport.bytes(of: story(Self.names)), in: directory)
                == expected)
    }

    /// As GitHub shows it.
    @Test func `Markdown`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        func structure(_ names: [String]) async throws -> [Substring] {
            let bytes = MarkdownReport.bytes(of: story(names))
            expectHarmless(String(decoding: bytes, as: UTF8.self))
            try Files.write(bytes, to: directory.path + "/report.md")
            let page = try await Programs.succeed(
                "cmark-gfm",
                [
                    "--unsafe", "-e", "table", "-e", "autolink", "-e", "strikethrough",
                    directory.path + "/report.md",
                ])
            return try await self.structure(ofHTML: Array(page.utf8), in: directory)
        }
        let expected = try await structure(Self.plain)
        #expect(expected.count { $0 == "td" } > 10)
        #expect(!expected.contains { $0.hasPrefix("a ") })
        #expect(try await structure(Self.names) == expected)
    }

    /// The script puts names into the page again, when something is searched or pointed at.
    @Test func `the script of a graph shows names and does not run them`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        var fixture = SnapshotFixture()
        fixture.add(["main app.c:1", "leaf l.c:4"], blocks: 5, size: 70)
        var snapshot = fixture.snapshot
        let dangerous = Self.names.filter { $0.contains("owned") }
        snapshot.locations = dangerous.map {
            Location(address: 1, mapping: 0, frames: [Frame(function: $0, file: $0, line: 3)])
        }
        snapshot.samples[0].stack = Array(dangerous.indices)
        let graph = FlameGraph(of: snapshot, name: dangerous.joined())
        try Files.write(graph.svg(), to: directory.path + "/graph.svg")
        for fragment in [
            "", "#path=%3Csvg&lens=sites&q=%3Csvg%20onload=window.owned=1%3E", "#q=.*",
        ] {
            let document = try await Programs.succeed(
                "chromium",
                [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                    "--user-data-dir=\(directory.path)/profile", "--dump-dom",
                    "file://\(directory.path)/graph.svg\(fragment)",
                ], environment: ["HOME": directory.path])
            #expect(document.contains("class=\"leakprof-graph auto active\""))
            #expect(document.split(separator: "<script").count == 2)
            #expect(document.split(separator: "<svg").count == 1)
            #expect(!document.contains("<img"))
        }
    }
}
