/// A file mapped for execution in the target.
///
/// The same path loaded again, or at another address, is another mapping.
package struct Mapping: Sendable, Hashable {
    /// The first runtime address.
    package var start: UInt64
    /// One past the last runtime address.
    package var limit: UInt64
    /// Where in the file the first address comes from, in bytes.
    package var fileOffset: UInt64
    /// The path as the target saw it, or a name such as `linux-vdso.so.1`.
    package var path: String
    /// The build ID in lowercase hexadecimal; empty when the file has none.
    package var buildID: String
    /// What symbolization found for this mapping.
    package var symbols: SymbolCoverage

    package init(
        start: UInt64, limit: UInt64, fileOffset: UInt64 = 0, path: String, buildID: String = "",
        symbols: SymbolCoverage = SymbolCoverage()
    ) {
        self.start = start
        self.limit = limit
        self.fileOffset = fileOffset
        self.path = path
        self.buildID = buildID
        self.symbols = symbols
    }

    /// The last component of the path.
    package var name: String { path.lastPathComponent }

    /// What stands for the code that an interpreter executes: its frames have names and lines, and no address.
    package static func python(version: String) -> Mapping {
        Mapping(
            start: 0, limit: 0, path: "[python \(version)]",
            symbols: SymbolCoverage(
                hasFunctions: true, hasFilenames: true, hasLineNumbers: true,
                hasInlineFrames: false))
    }

    /// Whether it is such a one.
    package var isPython: Bool { path.hasPrefix("[python ") }
}

/// Which parts of its frames a mapping's symbols and debug information could fill in.
package struct SymbolCoverage: Sendable, Hashable {
    package var hasFunctions: Bool
    package var hasFilenames: Bool
    package var hasLineNumbers: Bool
    package var hasInlineFrames: Bool

    package init(
        hasFunctions: Bool = false, hasFilenames: Bool = false, hasLineNumbers: Bool = false,
        hasInlineFrames: Bool = false
    ) {
        self.hasFunctions = hasFunctions
        self.hasFilenames = hasFilenames
        self.hasLineNumbers = hasLineNumbers
        self.hasInlineFrames = hasInlineFrames
    }
}

extension String {
    /// What follows the last slash; the string itself when there is none.
    package var lastPathComponent: String {
        // As bytes: much faster, and a slash with an accent is a slash to the kernel.
        guard let slash = utf8.lastIndex(of: UInt8(ascii: "/")) else { return self }
        return String(self[utf8.index(after: slash)...])
    }

    /// Whether these bytes are in it.
    ///
    /// `contains` compares characters, which takes a quarter of a comparison's time where names are long.
    package func containsBytes(of text: String) -> Bool {
        var (whole, part) = (self, text)
        return whole.withUTF8 { whole in
            part.withUTF8 { part in
                guard let first = part.first else { return true }
                guard whole.count >= part.count else { return false }
                return (0...(whole.count - part.count)).contains { start in
                    whole[start] == first
                        && whole[start..<start + part.count].elementsEqual(part)
                }
            }
        }
    }

    /// The string itself, or as much of its start as fits so many bytes and an ellipsis behind it.
    package func clipped(toBytes limit: Int) -> String {
        guard utf8.count > limit else { return self }
        let ellipsis = "…"
        let end = utf8.index(startIndex, offsetBy: max(0, limit - ellipsis.utf8.count))
        // Not in the middle of a character's bytes.
        return String(unicodeScalars[..<end]) + ellipsis
    }
}
