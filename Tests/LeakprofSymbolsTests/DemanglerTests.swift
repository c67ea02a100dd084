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
}
