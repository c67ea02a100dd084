package import LeakprofModel

extension Frame {
    /// A frame by its name in a perf map, taken apart as far as the runtime that wrote it is known: V8 or the JVM.
    ///
    /// - Parameter name: Such as `JS:*getPage /srv/app.js:12:20` or `void app.Cache.put(int, java.lang.Object)`.
    package init(perfMapName name: String) {
        self = Self(javaScript: name) ?? Self(java: name) ?? Frame(function: name)
    }

    /// What V8 calls a function of JavaScript.
    ///
    /// The sign before the function's name says how it was compiled, and changes while a program runs; it is
    /// left out. The line is the one the function begins at: a map has no other.
    private init?(javaScript name: String) {
        guard name.hasPrefix("JS:") else { return nil }
        var rest = name.dropFirst(3)
        if let sign = rest.first, "~^+*'?-".contains(sign) { rest = rest.dropFirst() }
        // The column, then the line, from the back: files may have colons in their names.
        guard let line = Self.takeNumber(&rest).flatMap({ _ in Self.takeNumber(&rest) }) else {
            return nil
        }
        let space = Self.fileMarks.compactMap { rest.firstRange(of: $0)?.lowerBound }.min()
        guard let space = space ?? rest.lastIndex(of: " ") else { return nil }
        let function = rest[..<space]
        let file = rest[space...].dropFirst()
        guard !file.isEmpty else { return nil }
        // As in V8's own heap profiles.
        self.init(
            function: function.isEmpty ? "(anonymous)" : String(function), file: String(file),
            line: line, startLine: line)
    }

    /// What the JVM calls a compiled method: its result, its class and name, its parameters.
    private init?(java name: String) {
        guard name.hasSuffix(")"), let parameters = name.firstIndex(of: "(") else { return nil }
        let words = name[..<parameters].split(separator: " ")
        guard words.count == 2, words[1].contains("."), words[1].last != "." else { return nil }
        self.init(function: String(words[1]), systemName: name)
    }

    /// What a file's name may begin with; names of functions and of folders may have spaces in them.
    private static let fileMarks = [" /", " node:", " file:", " wasm:"]

    /// Takes `:12` from the end; `nil` when there is no such thing.
    private static func takeNumber(_ text: inout Substring) -> Int64? {
        guard let colon = text.lastIndex(of: ":"),
            let number = Int64(text[text.index(after: colon)...]), number >= 0
        else { return nil }
        text = text[..<colon]
        return number
    }
}
