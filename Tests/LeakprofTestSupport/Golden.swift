internal import Glibc

/// Expected outputs as files next to the tests: Golden/NAME.
///
/// With LEAKPROF_BLESS=1 a differing file is rewritten, and the test fails all the same, so that nobody
/// blesses by accident; look at what `git diff` shows before you commit it.
package enum Golden {
    /// How `text` differs from what the file says; `nil` when it does not.
    package static func difference(
        _ text: String, _ name: String, file: String = #filePath
    ) -> String? {
        let directory = file.split(separator: "/").dropLast().joined(separator: "/")
        let path = "/\(directory)/Golden/\(name)"
        let expected = try? Files.text(of: path)
        guard text != expected else { return nil }
        if getenv("LEAKPROF_BLESS") != nil {
            try? Files.write(Array(text.utf8), to: path)
            return "rewrote \(path)"
        }
        let now = text.split(separator: "\n", omittingEmptySubsequences: false)
        let then = (expected ?? "").split(separator: "\n", omittingEmptySubsequences: false)
        let line = zip(now, then).prefix { $0 == $1 }.count
        return """
            \(path) differs in line \(line + 1); LEAKPROF_BLESS=1 rewrites it
            expected: \(line < then.count ? then[line] : "(nothing)")
                 now: \(line < now.count ? now[line] : "(nothing)")
            """
    }
}
