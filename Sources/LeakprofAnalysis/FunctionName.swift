internal import LeakprofModel

/// Parts of a demangled function name.
///
/// Understands enough of C++, Rust and Swift spelling to tell the name from what surrounds it; anything
/// else is returned whole.
package struct FunctionName: Sendable {
    /// Without return type and parameters: `std::vector<int>::push_back`.
    package let qualified: String

    package init(_ demangled: String) {
        let bytes = Array(demangled.utf8)
        // Placeholders, Swift's sentences ("closure #1 in …"), and C names need no taking apart.
        guard bytes.contains(UInt8(ascii: "(")), !demangled.hasPrefix("[") else {
            qualified = demangled
            return
        }
        // Go writes no parameters, and the receivers of methods in parentheses: "main.(*Cache).Put.func1".
        guard !demangled.containsBytes(of: ".(*") else {
            qualified = demangled
            return
        }
        let end = Self.endOfName(bytes)
        if Self.swiftPhrases.contains(where: { demangled.hasPrefix($0) }) {
            // "closure #1 (Swift.Int) -> () in main.run() -> ()"
            let phrase = bytes[..<end].drop { $0 == UInt8(ascii: " ") }
            let words = String(decoding: phrase, as: UTF8.self)
            let trimmed = words.hasSuffix(" ") ? String(words.dropLast()) : words
            let parts = demangled.split(separator: " in ")
            let owner =
                parts.count > 1 ? parts.last.map { FunctionName(String($0)).qualified } : nil
            qualified = owner.map { "\(trimmed) in \($0)" } ?? trimmed
            return
        }
        let start = Self.startOfName(bytes, end: end)
        // A name that is all surroundings is none of these languages': "StubRoutines (1)".
        qualified =
            start < end ? String(decoding: bytes[start..<end], as: UTF8.self) : demangled
    }

    /// The qualified name with template arguments replaced by `…`, for labels.
    package var short: String {
        var result: [UInt8] = []
        var depth = 0
        // "get.<locals>.<lambda>" is Python's, "Cache.<init>" Java's, and they say all that there is to say.
        if Self.bracketedWords.contains(where: qualified.hasSuffix)
            || qualified.containsBytes(of: ".<locals>.")
        {
            return qualified
        }
        for (position, byte) in qualified.utf8.enumerated() {
            switch byte {
            case UInt8(ascii: "<") where position > 0 && !endsInOperator(result):
                if depth == 0 { result += Array("<…>".utf8) }
                depth += 1
            case UInt8(ascii: ">") where depth > 0: depth -= 1
            default: if depth == 0 { result.append(byte) }
            }
        }
        // Unbalanced brackets: not what it seemed.
        return depth == 0 ? String(decoding: result, as: UTF8.self) : qualified
    }

    private static let bracketedWords = [
        ".<init>", ".<clinit>", "<module>", "<lambda>", "<listcomp>", "<dictcomp>", "<setcomp>",
        "<genexpr>",
    ]

    private func endsInOperator(_ name: [UInt8]) -> Bool {
        ["operator", "operator<", "operator-", "operator<="].contains {
            name.hasSuffix(Array($0.utf8))
        }
    }

    /// What Swift's demangler begins with when it explains what a piece of code is.
    private static let swiftPhrases = [
        "closure #", "implicit closure #", "generic specialization", "function signature",
        "partial apply", "protocol witness", "merged ", "reabstraction thunk", "outlined ",
        "default argument", "variable initialization", "dispatch thunk", "key path",
        "value witness", "(",
    ]

    /// The index of the parenthesis that opens the parameters.
    private static func endOfName(_ bytes: [UInt8]) -> Int {
        var angles = 0
        var braces = 0
        var index = 0
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "{"): braces += 1
            case UInt8(ascii: "}"): braces -= 1
            case _ where braces > 0: break
            case UInt8(ascii: "<") where !isOperator(bytes[..<index]): angles += 1
            case UInt8(ascii: ">") where angles > 0 && bytes[index - 1] != UInt8(ascii: "-"):
                angles -= 1
            case UInt8(ascii: "(") where angles == 0:
                // "(anonymous namespace)" and "operator()" are parts of names.
                if bytes[index...].starts(with: Array("(anonymous namespace)".utf8)) {
                    index += "(anonymous namespace)".utf8.count - 1
                } else if bytes[..<index].hasSuffix(Array("operator".utf8)) {
                    index += 1
                } else if index > 0 {
                    return index
                }
            default: break
            }
            index += 1
        }
        return bytes.count
    }

    /// Whether a name that ends like this goes on with an operator's sign, and not with a bracket.
    private static func isOperator(_ name: ArraySlice<UInt8>) -> Bool {
        ["operator", "operator<"].contains { name.hasSuffix(Array($0.utf8)) }
    }

    /// The index behind the return type: the last space outside of brackets.
    private static func startOfName(_ bytes: [UInt8], end: Int) -> Int {
        var depth = 0
        var start = 0
        for index in 0..<end {
            switch bytes[index] {
            case UInt8(ascii: "<"), UInt8(ascii: "("), UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: ">"), UInt8(ascii: ")"), UInt8(ascii: "}"): depth -= 1
            case UInt8(ascii: " ")
            where depth == 0 && !bytes[..<index].hasSuffix(Array("operator".utf8))
                && !bytes[index...].starts(with: Array(" [clone".utf8)):
                start = index + 1
            default: break
            }
        }
        return start
    }
}

extension RandomAccessCollection<UInt8> {
    fileprivate func hasSuffix(_ other: [UInt8]) -> Bool {
        suffix(other.count).elementsEqual(other)
    }
}
