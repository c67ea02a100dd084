import FoundationEssentials
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

    @Test func `what makes the snapshots doubtful to compare is said`() {
        var other = ReportFixture.current
        other.mappings[0].buildID = "99887766554433221100"
        let story = story([("a", ReportFixture.base), ("b", other)])
        let words = "The binary differs between A and B (build 00112233 and 99887766)."
        #expect(String(decoding: HTMLReport.bytes(of: story), as: UTF8.self).contains(words))
        #expect(text(of: [("a", ReportFixture.base), ("b", other)]).contains("Note: The binary"))
    }

    @Test func `blocks that are left of those allocated since are in the table, if that is known`()
    {
        let page = String(decoding: HTMLReport.bytes(of: story()), as: UTF8.self)
        #expect(page.contains(">new and live</th>"))
        #expect(page.contains("<td class=\"number\" data-value=\"2000\">2000 of 2000</td>"))
        var other = ReportFixture.current
        other.facts.process?.pid = 5000
        let runs = story([("a", ReportFixture.base), ("b", other)])
        let document = String(decoding: HTMLReport.bytes(of: runs), as: UTF8.self)
        #expect(!document.contains("new and live"))
    }

    @Test func `growth that is spread evenly is not said to be none`() {
        func snapshot(_ blocks: Int64) -> Snapshot {
            var fixture = SnapshotFixture()
            for site in 1...2000 {
                fixture.add(["main m.c:1", "put c.c:\(site)"], blocks: blocks, size: 4096)
            }
            return fixture.snapshot
        }
        let evenly = text(of: [("a", snapshot(1)), ("b", snapshot(2))])
        #expect(
            evenly.contains(
                "None of the 2,000 that grew stands out: each is under 0.1 % of all changes"))
        #expect(text(of: [("a", snapshot(1)), ("b", snapshot(1))]).contains("Nothing grew"))
    }

    @Test func `a profile of bytes alone has no columns of blocks`() {
        func bytesAlone(_ snapshot: Snapshot) -> Snapshot {
            var snapshot = snapshot
            for index in snapshot.samples.indices {
                snapshot.samples[index].counts.inuseObjects = 0
                snapshot.samples[index].counts.allocObjects = 0
            }
            return snapshot
        }
        let known = story()
        let alone = story([
            ("a", bytesAlone(ReportFixture.base)), ("b", bytesAlone(ReportFixture.current)),
        ])
        for (story, isThere) in [(known, true), (alone, false)] {
            let page = String(decoding: HTMLReport.bytes(of: story), as: UTF8.self)
            let markdown = String(decoding: MarkdownReport.bytes(of: story), as: UTF8.self)
            #expect(page.contains(">average</th>") == isThere)
            #expect(page.contains("<td class=\"number\" data-value=\"0\">0 B</td></tr>") == false)
            #expect(markdown.contains("| average |") == isThere)
            #expect(markdown.contains("| 0 |") == false)
        }
    }

    /// Opens the page as a person would; it must be silent and ask for nothing.
    private func open(_ story: GrowthStory, steps: [String]) async throws -> [String] {
        let directory = try TemporaryDirectory(in: "/tmp")
        try Files.write(HTMLReport.bytes(of: story), to: directory.path + "/report.html")
        var results = try await Browser.run(directory.path + "/report.html", steps: steps)
        #expect(results.popLast() == "[]", "nothing is asked from anywhere else")
        #expect(results.popLast() == "[]", "nothing is said on the console")
        return results
    }

    @Test func `nothing of the page is light in the dark`() async throws {
        let backgrounds =
            #"{"eval": "[document.body, document.querySelector('iframe').contentDocument.body].map(b => getComputedStyle(b).backgroundColor).join(' ')"}"#
        let results = try await open(
            story(), steps: [#"{"dark": false}"#, backgrounds, #"{"dark": true}"#, backgrounds])
        #expect(
            results == [
                "rgb(255, 255, 255) rgb(255, 255, 255)", "rgb(22, 25, 29) rgb(28, 31, 36)",
            ])
    }

    @Test func `a narrow page is no wider than its window, and its names are in one piece`()
        async throws
    {
        // What is wider than the window is scrolled where it is.
        let overflow =
            #"{"eval": "document.documentElement.scrollWidth - document.documentElement.clientWidth"}"#
        let lines =
            #"{"eval": "Math.max(...[...document.querySelectorAll('thead th')].map(c => c.offsetHeight))"}"#
        let results = try await open(story(), steps: [#"{"width": 600}"#, overflow, lines])
        #expect(results[0] == "0")
        #expect((Int(results[1]) ?? 999) < 40, "\(results)")
    }

    @Test func `the graph's frame is as high as the graph, also after it grew`() async throws {
        let heights =
            #"{"eval": "(f => [f.clientHeight - f.contentDocument.querySelector('svg').clientHeight, f.contentDocument.querySelector('svg').clientHeight])(document.querySelector('iframe')).join(' ')"}"#
        let settled =
            #"{"eval": "new Promise(done => { const f = document.querySelector('iframe'); let left = 300; const look = () => f.style.height || !left-- ? done() : requestAnimationFrame(look); look(); })", "waits": true}"#
        // Callers above and callees below one function are fewer rows.
        let pivot =
            #"{"eval": "new Promise(done => { const f = document.querySelector('iframe'), seen = f.clientHeight; new ResizeObserver((e, o) => { if (f.clientHeight !== seen) { o.disconnect(); done(); } }).observe(f); let left = 300; const look = () => left-- ? requestAnimationFrame(look) : done(); look(); const at = [...f.contentDocument.querySelectorAll('.f')].find(n => n.getAttribute('aria-label').startsWith('load')); at.focus(); at.dispatchEvent(new KeyboardEvent('keydown', { key: 'p', bubbles: true })); })", "waits": true}"#
        let results = try await open(story(), steps: [settled, heights, pivot, heights])
        let before = results[1].split(separator: " ").compactMap { Int($0) }
        let after = results[3].split(separator: " ").compactMap { Int($0) }
        try #require(before.count == 2 && after.count == 2)
        #expect(before[0] == 16 && after[0] == 16, "\(results)")
        #expect(after[1] < before[1], "\(results)")
    }

    @Test func `names below the curve do not run into each other`() async throws {
        let boxes =
            #"{"eval": "JSON.stringify([...document.querySelectorAll('section > svg .tick')].map(t => t.getBoundingClientRect()).map(r => [r.left, r.right, r.top, r.bottom]))"}"#
        var snapshots = (1...20).map { number in
            var snapshot = ReportFixture.base
            snapshot.facts.capturedAt += Int64(number) * 60_000_000_000
            return (name: "service-snapshot-\(number)", snapshot: snapshot)
        }
        snapshots.append(("a-name-of-a-snapshot-that-is-rather-long", ReportFixture.current))
        let results = try await open(story(snapshots), steps: [boxes])
        let found = try JSONDecoder().decode([[Double]].self, from: Data(results[0].utf8))
        #expect(found.count > 8, "the axis, the first, the last, and some between")
        func overlap(_ box: [Double], _ other: [Double]) -> Bool {
            box[0] < other[1] && other[0] < box[1] && box[2] < other[3] && other[2] < box[3]
        }
        var overlaps: [[Double]] = []
        for (index, box) in found.enumerated() {
            overlaps += found[..<index].filter { overlap($0, box) }
        }
        #expect(overlaps.isEmpty, "\(overlaps)")
    }

    /// What the browser makes of the page after `actions`, a script, has run in it.
    ///
    /// With `settles`, also what was put off until it would be drawn.
    private func dump(_ actions: String, settles: Bool = false) async throws -> String {
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
                settles ? "--virtual-time-budget=1000" : "--mute-audio",
                "file://\(directory.path)/report.html",
            ], environment: ["HOME": directory.path])
    }

    /// The first cells of the rows of the first table of sites that are shown.
    private func shownSites(_ document: String) throws -> [Substring] {
        let start = try #require(document.firstRange(of: "class=\"sites ")).upperBound
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
            """, settles: true)
        #expect(try shownSites(filtered) == ["buf.c:1"])
        for document in [byName, filtered] { #expect(!document.contains("<title>error")) }
    }

    @Test func `tables are filtered and sorted with the keyboard`() async throws {
        let rows =
            #"{"eval": "[...document.querySelector('table.sites').tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[0].textContent).join(' ')"}"#
        let drawn =
            #"{"eval": "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))", "waits": true}"#
        let results = try await open(
            story(),
            steps: [
                rows, #"{"key": "/"}"#, #"{"key": "B"}"#, #"{"key": "u"}"#, drawn, rows,
                #"{"eval": "document.getElementById('matches').textContent"}"#,
                #"{"key": "Backspace"}"#, #"{"key": "Backspace"}"#, drawn, rows,
                #"{"eval": "document.getElementById('matches').textContent"}"#,
                #"{"eval": "document.querySelector('th button').focus()"}"#,
                #"{"key": "Enter"}"#, rows, #"{"key": "Enter"}"#, rows,
            ])
        let all = results[0].split(separator: " ")
        #expect(all.count == 3)
        #expect(results[2] == "buf.c:1")
        #expect(
            results[3] == "by line: 1 of 3, by function: 1 of 3, by file: 1 of 3, by module: 0 of 1"
        )
        #expect(results[5] == results[0])
        #expect(results[6] == "")
        #expect(results[8].split(separator: " ") == all.sorted())
        #expect(results[9].split(separator: " ") == all.sorted().reversed())
    }

    @Test func `of a long table, the first rows are shown until all are asked for`() async throws {
        func snapshot(_ blocks: Int64) -> Snapshot {
            var fixture = SnapshotFixture()
            for site in 0..<600 {
                fixture.add(
                    ["main m.c:1", "put\(site) c.c:\(site + 1)"], blocks: blocks,
                    size: 4096 + Int64(site))
            }
            return fixture.snapshot
        }
        let story = GrowthStory([("a", snapshot(10)), ("b", snapshot(30))], limit: 100)
        // How many rows are shown, the first of them, and what is said about it.
        let shown =
            #"{"eval": "(r => r.length + ' ' + r[0].cells[0].textContent + ' ' + document.getElementById('matches').textContent)([...document.querySelector('table.sites').tBodies[0].rows].filter(r => !r.hidden))"}"#
        let results = try await open(
            story,
            steps: [
                shown, #"{"eval": "document.querySelector('th button').focus()"}"#,
                #"{"key": "Enter"}"#, #"{"key": "Enter"}"#, shown,
                #"{"eval": "[...document.querySelectorAll('button')].find(b => b.textContent === 'show all').click()"}"#,
                shown, #"{"scripts": false}"#,
                #"{"eval": "document.querySelector('table.sites').tBodies[0].rows.length + ' ' + document.querySelectorAll('[hidden]').length"}"#,
            ])
        let note =
            "by line: 600 of 600 (the first 500 are shown), by function: 600 of 600 (the first 500 are shown)"
        #expect(results[0].hasPrefix("500 c.c:600 \(note)"))
        #expect(results[2].hasPrefix("500 c.c:99 \(note)"))
        #expect(results[4] == "600 c.c:99 ")
        #expect(results[5] == "600 0")
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
