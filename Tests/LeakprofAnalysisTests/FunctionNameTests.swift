import LeakprofAnalysis
import Testing

@Suite struct FunctionNameTests {
    @Test(arguments: [
        ("main", "main", "main"),
        ("operator new(unsigned long)", "operator new", "operator new"),
        ("shop::take(unsigned long)", "shop::take", "shop::take"),
        (
            "void std::vector<int, std::allocator<int> >::push_back(int&&)",
            "std::vector<int, std::allocator<int> >::push_back", "std::vector<…>::push_back"
        ),
        (
            "std::pair<std::_Hashtable<int>::iterator, bool> f<std::less<(a)1>>(int (*)(char))",
            "f<std::less<(a)1>>", "f<…>"
        ),
        (
            "(anonymous namespace)::helper(int)", "(anonymous namespace)::helper",
            "(anonymous namespace)::helper"
        ),
        ("a::operator<(b const&)", "a::operator<", "a::operator<"),
        ("a::operator<<(b const&)", "a::operator<<", "a::operator<<"),
        ("a::operator()(int) const", "a::operator()", "a::operator()"),
        ("a::operator->() const", "a::operator->", "a::operator->"),
        (
            "main::{lambda(unsigned long)#1}::operator()(unsigned long) const",
            "main::{lambda(unsigned long)#1}::operator()",
            "main::{lambda(unsigned long)#1}::operator()"
        ),
        ("f(int) [clone .cold]", "f", "f"),
        (
            "main.SessionStore.open(Swift.String) -> ()", "main.SessionStore.open",
            "main.SessionStore.open"
        ),
        (
            "closure #1 (Swift.Int) -> () in main.run(_: Swift.Int) -> ()",
            "closure #1 in main.run",
            "closure #1 in main.run"
        ),
        ("alloc::vec::Vec<T,A>::push", "alloc::vec::Vec<T,A>::push", "alloc::vec::Vec<…>::push"),
        ("main.(*Cache).Put", "main.(*Cache).Put", "main.(*Cache).Put"),
        (
            "net/http.(*conn).serve.func1", "net/http.(*conn).serve.func1",
            "net/http.(*conn).serve.func1"
        ),
        ("main.Map[...]", "main.Map[...]", "main.Map[...]"),
        ("libx.so+0x12", "libx.so+0x12", "libx.so+0x12"),
        ("app.Cache.<init>", "app.Cache.<init>", "app.Cache.<init>"),
        ("StubRoutines (1)", "StubRoutines (1)", "StubRoutines (1)"),
        ("[stack cut: depth limit]", "[stack cut: depth limit]", "[stack cut: depth limit]"),
        ("broken<<<(", "broken<<<(", "broken<<<("),
        ("", "", ""),
    ])
    func `names are taken out of signatures`(demangled: String, qualified: String, short: String) {
        let name = FunctionName(demangled)
        #expect(name.qualified == qualified)
        #expect(name.short == short)
    }
}
