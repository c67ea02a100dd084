/// The lines of a text, as bytes and without their line breaks.
struct TextLines: Sequence, IteratorProtocol {
    private let bytes: [UInt8]
    /// Where the next line begins.
    private(set) var position: Int

    init(_ bytes: [UInt8], from position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    mutating func next() -> ArraySlice<UInt8>? {
        guard position < bytes.count else { return nil }
        let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
        var line = bytes[position..<end]
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        position = end + 1
        return line
    }
}

/// Takes a line apart from its start.
struct TextScanner {
    private(set) var rest: ArraySlice<UInt8>

    init(_ line: ArraySlice<UInt8>) { rest = line }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func skipSpaces() {
        rest = rest.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
    }

    /// Takes `text` if it follows.
    mutating func take(_ text: String) -> Bool {
        guard rest.starts(with: text.utf8) else { return false }
        rest = rest.dropFirst(text.utf8.count)
        return true
    }

    /// A number without sign behind any spaces; `nil` when there is none, or none that fits.
    mutating func number() -> Int64? {
        skipSpaces()
        return take(while: { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }).flatMap {
            Int64($0)
        }
    }

    /// A hexadecimal number behind any spaces, with or without `0x`.
    mutating func hexadecimal() -> UInt64? {
        skipSpaces()
        _ = take("0x")
        return take(while: { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
                UInt8(ascii: "A")...UInt8(ascii: "F"):
                true
            default: false
            }
        }).flatMap { UInt64($0, radix: 16) }
    }

    /// What comes up to the next space, behind any spaces; empty at the end.
    mutating func word() -> String {
        skipSpaces()
        return take(while: { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }) ?? ""
    }

    private mutating func take(while belongs: (UInt8) -> Bool) -> String? {
        let part = rest.prefix(while: belongs)
        guard !part.isEmpty else { return nil }
        rest = rest.dropFirst(part.count)
        return String(decoding: part, as: UTF8.self)
    }
}
