import LeakprofReport
import Testing

@Suite struct QuantityTests {
    /// As tracemalloc writes them.
    @Test(arguments: [
        (Int64(0), "0 B", "+0 B"), (864, "864 B", "+864 B"), (10_239, "10239 B", "+10239 B"),
        (10_240, "10.0 KiB", "+10.0 KiB"), (40_960, "40.0 KiB", "+40.0 KiB"),
        (409_994_461, "391 MiB", "+391 MiB"), (-409_994_461, "-391 MiB", "-391 MiB"),
        (1 << 40, "1024 GiB", "+1024 GiB"), (.max, "8388608 TiB", "+8388608 TiB"),
    ])
    func `sizes are written like tracemalloc's`(bytes: Int64, plain: String, signed: String) {
        #expect(Quantity.bytes(bytes) == plain)
        #expect(Quantity.bytes(bytes, signed: true) == signed)
    }

    @Test func `precise sizes have one decimal`() {
        #expect(Quantity.precise(1023) == "1023 B")
        #expect(Quantity.precise(1024) == "1.0 KiB")
        #expect(Quantity.precise(410_202_931) == "391.2 MiB")
        #expect(Quantity.precise(-1536, signed: true) == "-1.5 KiB")
        #expect(Quantity.precise(0, signed: true) == "+0 B")
    }

    @Test func `durations say what matters`() {
        #expect(Quantity.duration(850_000_000) == "850 ms")
        #expect(Quantity.duration(12_340_000_000) == "12.3 s")
        #expect(Quantity.duration(130_000_000_000) == "2 m 10 s")
        #expect(Quantity.duration(18_200_000_000_000) == "5 h 3 m")
    }

    @Test func `numbers are grouped and rounded`() {
        #expect(Quantity.grouped(1_234_567) == "1,234,567")
        #expect(Quantity.grouped(-12) == "-12")
        #expect(Quantity.fixed(2.345, 2) == "2.35" || Quantity.fixed(2.345, 2) == "2.34")
        #expect(Quantity.fixed(-0.04, 1) == "0.0")
        #expect(Quantity.fixed(0.06, 1) == "0.1")
        #expect(Quantity.standardError(16) == 4)
        #expect(Quantity.standardError(-5) == 0)
    }
}

@Suite struct SanitizedTests {
    @Test func `no name can move the cursor or break out of its place`() {
        #expect(Sanitized.line("a\u{1b}[2Jb\nc\u{202e}d") == "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d")
        #expect(Sanitized.folded("f;g\nh") == "f:g\u{fffd}h")
        #expect(
            Sanitized.xml("</script><svg onload='x'>&\"")
                == "&lt;/script&gt;&lt;svg onload=&#39;x&#39;&gt;&amp;&quot;")
    }
}
