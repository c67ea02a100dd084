import LeakprofModel
import Testing

@testable import LeakprofSymbols

@Suite struct PerfMapTests {
    @Test func `names are found by range`() {
        let map = PerfMap(
            Array(
                """
                1000 10 first
                0x2000 0x20 second with spaces
                1000 8 replacement
                garbage
                3000 zz bad size
                ffffffffffffffff 10 overflows
                4000 10 cut off
                5000
                6000 10 of Windows\r
                7000 10 \u{301}accented
                """.utf8))
        #expect(map.name(at: 0x1000) == "replacement")
        #expect(map.name(at: 0x100f) == nil)
        #expect(map.name(at: 0x201f) == "second with spaces")
        #expect(map.name(at: 0x2020) == nil)
        #expect(map.name(at: 0x3000) == nil)
        #expect(map.name(at: 0x400f) == "cut off")
        #expect(map.name(at: 0) == nil)
        #expect(map.name(at: .max) == nil)
        #expect(map.name(at: 0x6000) == "of Windows")
        #expect(map.name(at: 0x7000) == "\u{301}accented")
    }

    @Test(
        arguments: [
            ("JS:*getPage /srv/app.js:12:20", "getPage", "/srv/app.js", 12),
            ("JS:~ /srv/my app.js:1:1", "(anonymous)", "/srv/my app.js", 1),
            ("JS:^get size node:internal/url:7:3", "get size", "node:internal/url", 7),
            ("JS:plain file:///srv/a:b.mjs:3:1", "plain", "file:///srv/a:b.mjs", 3),
            (
                "JS:+optimized evalmachine.<anonymous>:2:9", "optimized", "evalmachine.<anonymous>",
                2
            ),
        ])
    func `functions of JavaScript have files and lines`(
        name: String, function: String, file: String, line: Int64
    ) {
        let frame = Frame(perfMapName: name)
        #expect(frame == Frame(function: function, file: file, line: line, startLine: line))
    }

    @Test func `methods of Java have their class and name`() {
        let name = "java.lang.Object app.Cache.<init>(int, java.util.Map)"
        #expect(
            Frame(perfMapName: name) == Frame(function: "app.Cache.<init>", systemName: name))
    }

    @Test(
        arguments: [
            "Builtin:ArrayMap", "StubRoutines (1)", "Interpreter", "f(int)", "a b.c d(int)",
            "v a.(x)",
            "JS:", "JS:*", "JS:*f", "JS:f /a", "JS:f /a:1", "JS:f /a:x:1",
            "JS:f /a:-1:1", "JS:f :1:1", "JS:f /a:99999999999999999999:1", "JS::1:1", "JS:~:1:1",
        ])
    func `other names are left as they are`(name: String) {
        #expect(Frame(perfMapName: name) == Frame(function: name))
    }
}
