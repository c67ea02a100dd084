import LeakprofSymbols
import Testing

@Suite struct DemanglerTests {
    @Test(arguments: [
        ("_ZN4shop5ShelfINS_4BookEE7reserveEm", "shop::Shelf<shop::Book>::reserve(unsigned long)"),
        ("_Znwm", "operator new(unsigned long)"),
        (
            "_ZZ4mainENKUlmE_clEm",
            "main::{lambda(unsigned long)#1}::operator()(unsigned long) const"
        ),
        // Rust: the hash of a legacy name is left out, v0 names have none.
        ("_ZN4core3fmt5Write9write_fmt17h1234567890abcdefE", "core::fmt::Write::write_fmt"),
        ("_RNvCsgStHSCytQ6I_7mycrate4main", "mycrate::main"),
        ("_RINvNtC3std3mem8align_ofjEC7mycrate", "std::mem::align_of::<usize>"),
        // Swift
        ("$s4main12SessionStoreC4openyySSF", "main.SessionStore.open(Swift.String) -> ()"),
        ("_$s4main7SessionC4nameSSvg", "main.Session.name.getter : Swift.String"),
        // Not mangled, or not well.
        ("malloc", "malloc"), ("_Z", "_Z"), ("_R", "_R"), ("$s", "$s"), ("", ""),
    ])
    func `names become readable`(mangled: String, readable: String) {
        #expect(Demangler.demangle(mangled) == readable)
    }

    @Test func `what is too long or too deep stays as it is`() {
        let long = "_Z" + String(repeating: "N", count: 100_000)
        #expect(Demangler.demangle(long) == long)
        let deep = "_Z1f" + String(repeating: "P", count: 4000) + "i"
        #expect(!Demangler.demangle(deep).isEmpty)
    }

    /// Each substitution stands for two of the one before: what 300 characters stand for fits no memory.
    @Test func `what grows without end stays as it is`() {
        let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        let cpp = "_Z1f1aIiiE" + digits.map { "S_IS\($0)_S\($0)_E" }.joined()
        #expect(Demangler.demangle(cpp) == cpp)
        #expect(Demangler.demangle(String(cpp.prefix(30))).count > 90)

        let types = (0..<20).map { Character(Unicode.Scalar(UInt8(ascii: "C") + $0)) }
        let swift = "$s1a1fyySDyS2iG" + types.map { "_SDyA\($0)A\($0)G" }.joined() + "tF"
        #expect(Demangler.demangle(swift) == swift)
        // With a count; as words of an identifier; behind what looks like a long identifier or a pass.
        for name in [
            "$s1a1fyySDyS2iG" + types.map { "_SDyA2\($0)G" }.joined() + "tF",
            "$s1a1fyySDyS2iG" + types.map { "_SDyA\($0.lowercased())\($0)G" }.joined() + "tF",
            "$s1a1fyyS99999999itF",
        ] { #expect(Demangler.demangle(name) == name) }
        #expect(Demangler.demangle("$s1a1fyySDyS2iG_SDyA2CGtF").hasPrefix("a.f("))

        // Rust: a reference to an earlier place, twice.
        var rust = "_RNvC1a1b"
        for _ in 0..<40 { rust = "_RINv" + rust.dropFirst(2) + "TB_B_EE" }
        #expect(Demangler.demangle(rust).utf8.count <= 65536)
    }

    /// The estimate of what a Swift name comes to must not be afraid of those that people write.
    @Test(arguments: [
        "$s14ArgumentParser11InputOriginV9_elements33_DCD3F8C72E1A918F17CA79784C01FCA7LLShyAC7ElementOGvpfi",
        "$s16LeakprofAnalysis14ComparisonTreeV4base7current7filters10sampleTypeAC0A5Model8SnapshotVSg_AjA7FiltersVAH06SampleI0OtcfcyAC7Amounts33_321E65A73D25520795ED36F068F98FB3LLVz_s5Int64VATtXEfU_",
        "$s20FoundationEssentials40readExtendedAttributesFromFileDescriptor33_4EAFA8017F32B80A27F8C495530BA762LL_11attrsToReadSDySSAA4DataVGs5Int32V_SaySSGtFySPys4Int8VGXEfU_",
    ])
    func `long Swift names become readable`(name: String) {
        #expect(Demangler.demangle(name) != name)
    }
}
