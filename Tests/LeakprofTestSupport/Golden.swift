internal import Glibc
package import Testing

/// Expected outputs as files next to the tests: Golden/NAME.
///
/// With LEAKPROF_BLESS=1 a differing file is rewritten, and the test fails all the same, so that nobody
/// blesses by accident; look at what `git diff` shows before you commit it.
package enum Golden {
    /// Records an issue unless `text` is what the file says.
    package static func expect(
        _ text: String, matches name: String, file: String = #filePath,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let directory = file.split(separator: "/").dropLast().joined(separator: "/")
        let path = "/\(directory)/Golden/\(name)"
        let expected = try? Files.text(of: path)
        guard text != expected else { return }
        if getenv("LEAKPROF_BLESS") != nil {
            try? Files.write(Array(text.utf8), to: path)
            Issue.record("rewrote \(path)", sourceLocation: sourceLocation)
            return
        }
        let difference = firstDifference(text, expected ?? "")
        Issue.record(
            """
            \(path) says otherwise\(difference); LEAKPROF_BLESS=1 rewrites it
            --- now
            \(text)
            """, sourceLocation: sourceLocation)
    }

    private static func firstDifference(_ text: String, _ expected: String) -> String {
        let now = text.split(separator: "\n", omittingEmptySubsequences: false)
        let then = expected.split(separator: "\n", omittingEmptySubsequences: false)
        let line = zip(now, then).prefix { $0 == $1 }.count
        guard line < max(now.count, then.count) else { return "" }
        return " from line \(line + 1): \(line < then.count ? then[line] : "(nothing)")"
    }
}
