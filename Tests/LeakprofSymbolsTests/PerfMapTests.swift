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
}
