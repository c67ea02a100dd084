import LeakprofModel
import LeakprofReport
import LeakprofTestSupport
import Testing

/// The graph's script in a browser: what the address asks for must be what is shown.
@Suite(.serialized, .timeLimit(.minutes(10))) struct FlameGraphBrowserTests {
    /// A frame as the browser has it after the script ran.
    private struct Frame {
        var classes: Set<Substring>
        var node: Int
        var x: Double
        var width: Double
        var label: String
    }

    private struct Page {
        var frames: [String: [Frame]]
        var status: String
        var isActive: Bool
    }

    private func open(_ fragment: String) async throws -> Page {
        let directory = try TemporaryDirectory(in: "/tmp")
        let graph = FlameGraph(
            base: ReportFixture.base, current: ReportFixture.current, names: ("early", "late"))
        try Files.write(graph.svg(), to: directory.path + "/graph.svg")
        let document = try await Programs.succeed(
            "chromium",
            [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--user-data-dir=\(directory.path)/profile", "--dump-dom",
                "file://\(directory.path)/graph.svg\(fragment)",
            ], environment: ["HOME": directory.path])
        let svg = try #require(document.split(separator: "\n").first { $0.hasPrefix("<svg") })
        var page = Page(
            frames: [:], status: "", isActive: attribute("class", of: svg) == "active")
        var panel = ""
        let lines = document.split(separator: "\n")
        let status = try #require(lines.first { $0.contains("id=\"status\"") })
        page.status = content(of: "text", in: status)
        for group in document.split(separator: "<g") {
            if group.contains("class=\"panel\"") { panel = attribute("id", of: group) ?? "" }
            guard group.contains("data-n="), let rect = group.firstRange(of: "<rect") else {
                continue
            }
            let first = group[rect.lowerBound...]
            page.frames[panel, default: []].append(
                Frame(
                    classes: Set((attribute("class", of: group) ?? "").split(separator: " ")),
                    node: Int(attribute("data-n", of: group) ?? "") ?? -1,
                    x: Double(attribute("x", of: first) ?? "") ?? -1,
                    width: Double(attribute("width", of: first) ?? "") ?? -1,
                    label: content(of: "text", in: group)))
        }
        return page
    }

    /// The first attribute of this name in a piece of markup.
    private func attribute(_ name: String, of markup: Substring) -> String? {
        guard let start = markup.firstRange(of: " \(name)=\"")?.upperBound,
            let end = markup[start...].firstIndex(of: "\"")
        else { return nil }
        return String(markup[start..<end])
    }

    private func content(of element: String, in markup: Substring) -> String {
        guard let open = markup.firstRange(of: "<\(element)"),
            let start = markup[open.upperBound...].firstIndex(of: ">"),
            let end = markup[start...].firstRange(of: "</\(element)>")?.lowerBound
        else { return "" }
        return String(markup[markup.index(after: start)..<end])
    }

    @Test func `without a fragment everything is shown`() async throws {
        let page = try await open("")
        #expect(page.isActive)
        #expect(Set(page.frames.keys) == ["base", "current"])
        #expect(page.frames.values.allSatisfy { $0.allSatisfy { !$0.classes.contains("hidden") } })
    }

    @Test func `zooming fills the wider graph and keeps one scale`() async throws {
        let whole = try await open("")
        let wide = try #require(whole.frames["current"]?.first).width
        let target = try #require(
            whole.frames["current"]?.first { $0.label.hasPrefix("Cache::put") }?.node)

        let page = try await open("#n=\(target)")

        let after = try #require(page.frames["current"]?.first { $0.node == target })
        let before = try #require(page.frames["base"]?.first { $0.node == target })
        #expect(after.x == 0)
        #expect(abs(after.width - wide) < 0.01)
        // 100 blocks of 4096 bytes before, 2090 after.
        #expect(abs(before.width / after.width - 100.0 / 2090) < 0.001)
        let others = page.frames["current"]?.filter {
            $0.label.hasPrefix("parse") || $0.label.hasPrefix("load")
        }
        #expect(others?.allSatisfy { $0.classes.contains("hidden") } == true)
        let outer = page.frames["current"]?.filter { $0.classes.contains("outer") }.map(\.width)
        #expect(outer?.isEmpty == false)
        #expect(outer?.allSatisfy { abs($0 - wide) < 0.01 } == true)
    }

    @Test func `searching outlines what matches and adds it up once`() async throws {
        let page = try await open("#q=Cache|^serve$")
        let matches = page.frames["current"]?.filter { $0.classes.contains("match") } ?? []
        #expect(Set(matches.map { $0.label.prefix { $0 != " " } }) == ["serve", "Cache::put"])
        // Cache::put grew by 1990 blocks of 4096 bytes, and lies within serve.
        #expect(page.status.contains("2 frames, 7.8 MiB grown"))
    }

    @Test func `a search that is no pattern is said, and changes nothing`() async throws {
        let page = try await open("#q=%5B")
        #expect(page.status == "not a regular expression: [")
        #expect(page.frames.values.allSatisfy { $0.allSatisfy { !$0.classes.contains("match") } })
    }
}
