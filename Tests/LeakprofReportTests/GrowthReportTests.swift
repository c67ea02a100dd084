import LeakprofAnalysis
import LeakprofModel
import LeakprofReport
import LeakprofTestSupport
import Testing

/// Reports on growth over several snapshots, as HTML and Markdown.
@Suite(.timeLimit(.minutes(10))) struct GrowthReportTests {
    private static let source = [
        (41, "void put(int key) {"), (42, "    entries[key] = strdup(\"<value>\");"), (43, "}"),
    ]

    private func story(_ snapshots: [(name: String, snapshot: Snapshot)]? = nil) -> GrowthStory {
        var current = ReportFixture.current
        current.facts.process?.residentBytes = 40 << 20
        current.facts.process?.memoryLimitBytes = 64 << 20
        let given = snapshots ?? [("early", ReportFixture.base), ("late", current)]
        return GrowthStory(given) { file, line in
            guard file == "cache.cpp" else { return nil }
            return GrowthStory.Excerpt(
                place: "\(file):\(line)",
                lines: Self.source.map { (number: Int64($0.0), text: $0.1) }, line: line)
        }
    }

    @Test func `Markdown tells what is known, and leaves out what is not`() {
        let text = String(decoding: MarkdownReport.bytes(of: story()), as: UTF8.self)
        #expect(Golden.difference(text, "report.md") == nil)
    }

    @Test func `without anything known, nothing is made up`() {
        var nothing = Snapshot()
        nothing.facts.capturedAt = 0
        let story = GrowthStory([("a", nothing), ("b", nothing)])
        let text = String(decoding: MarkdownReport.bytes(of: story), as: UTF8.self)
        #expect(text.contains("there is no root cause in the data"))
        #expect(text.contains("Neither resident memory nor a memory limit is in the data."))
        #expect(!HTMLReport.bytes(of: story).isEmpty)
    }

    @Test func `growth over several snapshots is called steady only if it is`() {
        let (base, current) = (ReportFixture.base, ReportFixture.current)
        #expect(
            text(of: [("a", base), ("b", current)]).contains("snapshots and the next") == false)
        #expect(
            text(of: [("a", base), ("b", current), ("c", current)]).contains(
                "It grew in 1 of the 2 intervals between snapshots."))
        #expect(
            text(of: [("a", Snapshot()), ("b", base), ("c", current)]).contains(
                "It grew between each of the 3 snapshots and the next."))
    }

    private func text(of snapshots: [(name: String, snapshot: Snapshot)]) -> String {
        String(decoding: MarkdownReport.bytes(of: story(snapshots)), as: UTF8.self)
    }

    @Test func `the same input gives the same page`() {
        #expect(HTMLReport.bytes(of: story()) == HTMLReport.bytes(of: story()))
    }

    @Test func `everything can be read with scripts off`() {
        let page = String(decoding: HTMLReport.bytes(of: story()), as: UTF8.self)
        for words in [
            "+7.6 MiB grew", "Cache::put", "cache.cpp:42", "reaches it", "by function", "resident",
            "entries[key] = strdup(&quot;&lt;value&gt;&quot;);",
        ] { #expect(page.contains(words), "\(words)") }
        #expect(!page.contains("--port"))
        for reference in ["http://", "https://"] {
            // Names of namespaces are no references.
            let found = page.replacing("http://www.w3.org/", with: "").contains(reference)
            #expect(!found)
        }
    }

    /// What the browser makes of the page after `actions`, a script, has run in it.
    private func dump(_ actions: String) async throws -> String {
        let directory = try TemporaryDirectory(in: "/tmp")
        let page = String(decoding: HTMLReport.bytes(of: story()), as: UTF8.self)
        let listener =
            "<script>window.onerror = function (text) { document.title = 'error: ' + text; };</script>"
        let changed = page.replacing("<body>", with: "<body>" + listener)
            .replacing("</body>", with: "<script>\(actions)</script></body>")
        try Files.write(Array(changed.utf8), to: directory.path + "/report.html")
        return try await Programs.succeed(
            "chromium",
            [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--user-data-dir=\(directory.path)/profile", "--dump-dom",
                "file://\(directory.path)/report.html",
            ], environment: ["HOME": directory.path])
    }

    /// The first cells of the rows of the first table of sites that are shown.
    private func shownSites(_ document: String) throws -> [Substring] {
        let start = try #require(document.firstRange(of: "class=\"sites\"")).upperBound
        let end = try #require(document[start...].firstRange(of: "</table>")).lowerBound
        return document[start..<end].split(separator: "<tr").dropFirst(2).compactMap { row in
            guard !row.hasPrefix(" hidden"), let open = row.firstRange(of: "<td>") else {
                return nil
            }
            return row[open.upperBound...].prefix { $0 != "<" }
        }
    }

    @Test func `tables are sorted and filtered`() async throws {
        let plain = try await dump("")
        #expect(plain.contains("<title>Memory growth of server (pid 4711)</title>"))
        let all = try shownSites(plain)
        #expect(all.first == "cache.cpp:42")
        #expect(all.count >= 3)
        let byName = try await dump("document.querySelector('th button').click();")
        #expect(byName.contains("aria-sort=\"ascending\""))
        #expect(try shownSites(byName) == all.sorted())
        let filtered = try await dump(
            """
            var field = document.getElementById('filter'); field.value = 'BUF';
            field.dispatchEvent(new Event('input'));
            """)
        #expect(try shownSites(filtered) == ["buf.c:1"])
        for document in [byName, filtered] { #expect(!document.contains("<title>error")) }
    }

    @Test func `the graph is in the page, and its script runs`() async throws {
        let document = try await dump(
            """
            addEventListener('load', function () {
              document.title = 'graph: ' + document.querySelector('iframe').contentDocument.querySelector('svg').classList;
            });
            """)
        #expect(document.contains(" active</title>"))
    }
}
