import LeakprofModel
import LeakprofReport
import LeakprofTestSupport
import Testing

/// The graph in a browser, used as a person would: what is asked for must be what is shown.
@Suite(.serialized, .timeLimit(.minutes(10))) struct FlameGraphBrowserTests {
    private static let status = #"{"eval": "document.querySelector('.status').textContent"}"#
    private static let hash = #"{"eval": "location.hash"}"#
    /// The labels of the frames that are drawn, and of those in outlines.
    private static let labels =
        #"{"eval": "[...document.querySelectorAll('.f text')].map(t => t.textContent).join('|')"}"#
    private static let matches =
        #"{"eval": "[...document.querySelectorAll('.f.match title')].map(t => t.textContent.split('\\n')[0]).join('|')"}"#
    /// Of each graph: the name of a frame, where it begins, and how wide it is.
    private static func place(_ name: String) -> String {
        """
        {"eval": "[...document.querySelectorAll('.f')].filter(f => f.getAttribute('aria-label').startsWith('\(name)'))\
        .map(f => f.querySelector('.e')).map(e => e.getAttribute('x') + '+' + e.getAttribute('width')).join(' ')"}
        """
    }

    /// Does `steps` and returns what they returned; the page must be silent and ask for nothing.
    private func open(
        _ fragment: String = "", lens: FlameGraph.Lens? = nil, divisor: Divisor? = nil,
        steps: [String]
    ) async throws -> [String] {
        let directory = try TemporaryDirectory(in: "/tmp")
        let graph = FlameGraph(
            base: ReportFixture.base, current: ReportFixture.current, names: ("early", "late"),
            style: .init(lens: lens), divisor: divisor)
        try Files.write(graph.svg(), to: directory.path + "/graph.svg")
        var results = try await Browser.run(
            directory.path + "/graph.svg", fragment: fragment, steps: steps)
        #expect(results.popLast() == "[]", "nothing is asked from anywhere else")
        #expect(results.popLast() == "[]", "nothing is said on the console")
        return results
    }

    @Test(arguments: FlameGraph.Lens.allCases)
    func `the script draws what is in the file`(lens: FlameGraph.Lens) async throws {
        let frames =
            #"{"eval": "[...document.querySelectorAll('.f')].map(f => [f.querySelector('title').textContent, (f.querySelector('text') || {}).textContent, ...[...f.querySelectorAll('rect')].map(r => ['class', 'fill', 'x', 'width'].map(a => r.getAttribute(a)))].join(' ')).join('; ')"}"#
        let results = try await open(
            lens: lens, steps: [frames, #"{"scripts": false}"#, frames])
        #expect(results[0] == results[1])
        #expect(results[0].contains("main"))
    }

    @Test(arguments: [
        (Divisor.Amount.between(300), "+26.5 KiB per request"),
        (Divisor.Amount.each(base: 10, current: 350.5), "40.0 KiB → 23.9 KiB per request"),
    ])
    func `growth per unit of work is the same with scripts and without`(
        amount: Divisor.Amount, expected: String
    ) async throws {
        let titles =
            #"{"eval": "[...document.querySelectorAll('.f title')].map(t => t.textContent).join('; ')"}"#
        let results = try await open(
            lens: .union, divisor: Divisor(unit: "request", amount: amount),
            steps: [titles, #"{"scripts": false}"#, titles])
        #expect(results[0] == results[1])
        #expect(results[0].contains(expected))
    }

    @Test func `what is left of new blocks is the same with scripts and without`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        var current = ReportFixture.current
        current.samples[1].counts.allocObjects = 2100
        let graph = FlameGraph(
            base: ReportFixture.base, current: current, names: ("early", "late"))
        try Files.write(graph.svg(), to: directory.path + "/graph.svg")
        let titles =
            #"{"eval": "[...document.querySelectorAll('.f title')].map(t => t.textContent).join('; ')"}"#
        let results = try await Browser.run(
            directory.path + "/graph.svg", steps: [titles, #"{"scripts": false}"#, titles])
        #expect(results[0] == results[1])
        #expect(results[0].contains("2000 of 2100 blocks allocated since early are still live"))
    }

    @Test func `zooming fills the wider graph and keeps one scale`() async throws {
        let results = try await open(
            "#path=main;serve;Cache%3A%3Aput",
            steps: [
                Self.place("Cache::put"), Self.place("parse"),
                #"{"eval": "document.querySelector('.crumbs').textContent"}"#,
                #"{"key": "Escape"}"#, Self.hash, #"{"key": "Backspace"}"#, Self.hash,
                #"{"key": "Escape"}"#, Self.hash,
            ])
        // 100 blocks of 4096 bytes before, 2090 after.
        #expect(results[0] == "0.00+27.75 0.00+580.00")
        #expect(results[1] == "")
        #expect(results[2] == "all stacks › main › serve › Cache::put")
        #expect(Array(results[3...]) == ["#path=main;serve", "#path=main", ""])
    }

    @Test func `the way back, the buttons and the graph's name are one below the other`()
        async throws
    {
        let edges =
            #"{"eval": "['.scale', '.bar', '.crumbs', '.panel .head', '.panel .f'].map(s => document.querySelector(s).getBoundingClientRect()).flatMap(r => [Math.round(r.top), Math.round(r.bottom)]).join(' ')"}"#
        let results = try await open("#path=main;serve", steps: [edges])
        let numbers = results[0].split(separator: " ").compactMap { Int($0) }
        #expect(numbers.count == 10)
        #expect(numbers == numbers.sorted(), "\(numbers)")
    }

    @Test func `clicks zoom, and what is above leads back`() async throws {
        let results = try await open(
            steps: [
                #"{"click": "[...document.querySelectorAll('.f')].filter(f => f.getAttribute('aria-label').startsWith('serve')).pop()"}"#,
                Self.hash, #"{"click": "document.querySelector('.crumb')"}"#, Self.hash,
            ])
        #expect(results == ["#path=main;serve", ""])
    }

    @Test func `searching outlines what matches and adds it up once`() async throws {
        let results = try await open(
            "#q=Cache|^serve$",
            steps: [
                Self.matches, Self.status, #"{"key": "n"}"#,
                #"{"eval": "document.activeElement.getAttribute('aria-label').split(',')[0]"}"#,
            ])
        #expect(results[0] == "serve|Cache::put|serve|Cache::put")
        // Cache::put grew by 1990 blocks of 4096 bytes, and lies within serve.
        #expect(results[1].contains("2 frames, 7.8 MiB grown, 99 % of all growth"))
        #expect(results[2] == "serve")
    }

    @Test func `a search is typed, matches case if asked, and is part of the address`() async throws
    {
        let results = try await open(
            steps: [
                #"{"key": "f", "control": true}"#, #"{"key": "B"}"#, #"{"key": "U"}"#,
                #"{"key": "F"}"#, #"{"key": "Enter"}"#, Self.matches, Self.hash,
                #"{"click": "[...document.querySelectorAll('button')].pop()"}"#, Self.matches,
                #"{"key": "/"}"#, #"{"key": "Escape"}"#, Self.hash,
            ])
        #expect(results == ["buffer|buffer", "#q=BUF", "", ""])
    }

    @Test func `a search that is no pattern is said, and changes nothing`() async throws {
        let results = try await open("#q=%5B", steps: [Self.status, Self.matches])
        #expect(results == ["not a regular expression: [", ""])
    }

    @Test func `keys switch lenses, fold, pivot and copy`() async throws {
        let pressed =
            #"{"eval": "[...document.querySelectorAll('[aria-pressed=true]')].map(b => b.textContent).join()"}"#
        let title = #"{"eval": "document.querySelector('.panel .head').textContent"}"#
        let results = try await open(
            "#path=main;load",
            steps: [
                pressed, #"{"key": "h"}"#, Self.labels, pressed, #"{"key": "h"}"#,
                #"{"key": "p"}"#, title, Self.labels, #"{"key": "Escape"}"#, #"{"key": "v"}"#,
                #"{"key": "v"}"#, Self.hash, title, Self.labels,
            ])
        #expect(results[0] == "side by side")
        #expect(results[1].contains("xmalloc util.c:2"))
        #expect(results[2] == "side by side,allocators")
        #expect(results[3] == "Callers above, callees below: load")
        #expect(results[4].contains("main") && !results[4].contains("Cache::put"))
        #expect(results[5] == "#lens=growth")
        #expect(results[6] == "+7.8 MiB grown in 2 m 10 s (3.6 MiB/min)")
        #expect(!results[7].contains("load"))
    }

    @Test func `arrows go from frame to frame, and one frame is a stop of the tab key`()
        async throws
    {
        let focused =
            #"{"eval": "document.activeElement.getAttribute('aria-label').split(',')[0] + document.querySelectorAll('.f[tabindex=\"0\"]').length"}"#
        let ring =
            #"{"eval": "getComputedStyle(document.activeElement.querySelector('.e')).strokeWidth"}"#
        let results = try await open(
            "#lens=union",
            steps: [
                #"{"key": "Home"}"#, focused, #"{"key": "ArrowDown"}"#, focused,
                #"{"key": "ArrowDown"}"#, focused, #"{"key": "ArrowRight"}"#, focused, ring,
                #"{"key": "ArrowLeft"}"#, #"{"key": "ArrowUp"}"#, focused,
                #"{"key": "ArrowDown"}"#, #"{"key": "Enter"}"#, Self.hash, focused,
            ])
        #expect(results[0...2] == ["all stacks1", "main1", "serve1"])
        #expect(results[3].contains("evil") || results[3].contains("svg"))
        #expect(results[4] == "3px")
        #expect(results[5] == "main1")
        #expect(results[6...] == ["#path=main;serve&lens=union", "serve1"])
    }

    @Test func `dark and light`() async throws {
        let fills =
            #"{"eval": "['.page', '.f .g4', '.f .tg4', '.f .tk'].map(s => getComputedStyle(document.querySelector(s)).fill).join(' ')"}"#
        let results = try await open(
            "#lens=union", steps: [#"{"dark": false}"#, fills, #"{"dark": true}"#, fills])
        #expect(
            results == [
                "rgb(255, 255, 255) rgb(236, 112, 20) rgb(17, 17, 17) rgb(17, 17, 17)",
                "rgb(28, 31, 36) rgb(242, 142, 43) rgb(17, 17, 17) rgb(245, 245, 245)",
            ])
    }

    @Test func `the accessibility tree has the findings, with scripts and without`() async throws {
        let results = try await open(
            steps: [#"{"names": true}"#, #"{"scripts": false}"#, #"{"names": true}"#])
        for names in results {
            #expect(names.contains("+7.8 MiB, 99 % of growth, at cache.cpp:42, Cache::put"))
            #expect(names.contains("StaticText: +7.6 MiB grew in 2 m 10 s"))
            #expect(names.contains("StaticText: Cache::put"))
        }
        #expect(results[0].contains("tree: After: late, 8.8 MiB live"))
        #expect(results[0].contains("treeitem: Cache::put, cache.cpp:42"))
        #expect(results[1].contains("image: early → late"))
    }

    /// As a report has them: neither takes the other's keys, names or patterns.
    @Test func `several graphs in a page`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let graphs = [
            FlameGraph(base: ReportFixture.base, current: ReportFixture.current, names: ("a", "b")),
            FlameGraph(of: ReportFixture.base, name: "c"),
        ].map { graph in
            String(decoding: graph.svg(), as: UTF8.self).split(separator: "\n").dropFirst()
                .joined(separator: "\n")
        }
        try Files.write(
            Array("<!DOCTYPE html><meta charset=utf-8>\(graphs.joined())".utf8),
            to: directory.path + "/page.html")
        let counts =
            #"{"eval": "[...document.querySelectorAll('svg')].map(s => s.querySelectorAll('.panel').length + ' ' + s.classList.contains('active')).join()"}"#
        let ids =
            #"{"eval": "[...document.querySelectorAll('[id]')].length - new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"}"#
        let results = try await Browser.run(
            directory.path + "/page.html",
            steps: [
                counts, ids, #"{"eval": "document.querySelectorAll('.f')[0].focus()"}"#,
                #"{"key": "v"}"#, counts,
            ])
        #expect(
            results == [
                "2 true,1 true", "0", "null", "1 true,1 true", "[]", "[]",
            ])
    }
}
