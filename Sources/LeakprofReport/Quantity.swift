internal import Foundation
internal import LeakprofModel

/// Numbers as people read them.
package enum Quantity {
    private static let units = ["B", "KiB", "MiB", "GiB", "TiB"]

    /// A size in tracemalloc's form: `864 B`, `40.0 KiB`, `391 MiB`; with a plus sign if `signed`.
    package static func bytes(_ bytes: Int64, signed: Bool = false) -> String {
        Self.bytes(Double(bytes), signed: signed)
    }

    /// The same of a mean, which may be between two numbers.
    package static func bytes(_ bytes: Double, signed: Bool = false) -> String {
        var size = bytes
        for unit in units {
            // printf's rounding, which is Python's: half goes to the even digit.
            if abs(size) < 100 && unit != "B" {
                return String(format: signed ? "%+.1f" : "%.1f", size) + " " + unit
            }
            if abs(size) < 10 * 1024 || unit == units.last {
                return String(format: signed ? "%+.0f" : "%.0f", size) + " " + unit
            }
            size /= 1024
        }
        return ""
    }

    /// A size with one decimal in the largest unit it has one of: `391.2 MiB`.
    package static func precise(_ bytes: Int64, signed: Bool = false) -> String {
        var size = Double(bytes)
        var unit = 0
        while abs(size) >= 1024, unit < units.count - 1 {
            size /= 1024
            unit += 1
        }
        return fixed(size, unit == 0 ? 0 : 1, signed) + " " + units[unit]
    }

    /// `+10000` or `-3`, and `+0`.
    package static func signed(_ number: Int64) -> String { (number < 0 ? "" : "+") + "\(number)" }

    /// `1 block`, `12,000 blocks`; as a change, `+11000 blocks`.
    static func blocks(_ number: Int64, signed isSigned: Bool = false) -> String {
        let noun = number.magnitude == 1 ? "block" : "blocks"
        return "\(isSigned ? signed(number) : grouped(number)) \(noun)"
    }

    /// A number with a comma between thousands.
    package static func grouped(_ number: Int64) -> String {
        let digits = String(number.magnitude)
        var result = ""
        for (index, digit) in digits.enumerated() {
            if index > 0 && (digits.count - index) % 3 == 0 { result += "," }
            result.append(digit)
        }
        return (number < 0 ? "-" : "") + result
    }

    /// `850 ms`, `12.3 s`, `2 m 10 s`, `5 h 3 m`.
    package static func duration(_ nanoseconds: Int64) -> String {
        let seconds = Double(nanoseconds) / 1e9
        switch seconds {
        case ..<1: return fixed(seconds * 1000, 0) + " ms"
        case ..<60: return fixed(seconds, 1) + " s"
        case ..<3600:
            let whole = Int64(seconds)
            return "\(whole / 60) m \(whole % 60) s"
        default:
            let minutes = Int64(seconds / 60)
            return "\(minutes / 60) h \(minutes % 60) m"
        }
    }

    /// A number with so many decimals, rounded half away from zero.
    package static func fixed(_ number: Double, _ decimals: Int, _ signed: Bool = false) -> String {
        let scale = decimals == 0 ? 1.0 : Double(repeatElement(10, count: decimals).reduce(1, *))
        let scaled = (number.magnitude * scale).rounded(.toNearestOrAwayFromZero)
        guard scaled < 1e18 else { return signed && number > 0 ? "+\(number)" : "\(number)" }
        let whole = Int64(scaled)
        let sign = number < 0 && whole != 0 ? "-" : signed ? "+" : ""
        guard decimals > 0 else { return sign + "\(whole)" }
        let divisor = Int64(scale)
        let fraction = String(whole % divisor)
        let padding = String(repeating: "0", count: decimals - fraction.count)
        return "\(sign)\(whole / divisor).\(padding)\(fraction)"
    }

    /// The standard error that belongs to a variance, rounded.
    package static func standardError(_ variance: Int64) -> Int64 {
        Int64(Double(max(0, variance)).squareRoot().rounded())
    }
}

extension Double {
    /// Without its decimals, or the nearest number there is.
    var clamped: Int64 { Int64(exactly: rounded(.towardZero)) ?? (self < 0 ? .min : .max) }
}

/// Text from the target, made safe for where it is written.
package enum Sanitized {
    /// On one line, in one direction, and not too long, so that a symbol's name can't move the cursor or
    /// pretend to be another.
    package static func line(_ text: String) -> String {
        let text = text.clipped(toBytes: lengthLimit)
        guard text.unicodeScalars.contains(where: isHidden) else { return text }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { result.append(isHidden(scalar) ? "\u{fffd}" : scalar) }
        return String(result)
    }

    /// Some names on a line, and none of them longer than a name may be.
    private static let lengthLimit = 4 * Frame.nameLimit

    /// Control characters, marks that change the direction of text or are not to be seen, line breaks, and
    /// what is no character.
    static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0: true
        case 0x20..<0x7f: false
        default:
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator: true
            // Soft hyphens and joiners are parts of words.
            case .format: ![0xad, 0x200c, 0x200d].contains(scalar.value)
            // U+FFFE and U+FFFF may not be in XML either.
            default: scalar.value & 0xfffe == 0xfffe
            }
        }
    }

    /// A frame of a folded stack: semicolons and line breaks have a meaning there.
    package static func folded(_ text: String) -> String {
        // As scalars: in a String, a semicolon with an accent is another character.
        var result = String.UnicodeScalarView()
        for scalar in line(text).unicodeScalars { result.append(scalar == ";" ? ":" : scalar) }
        return String(result)
    }

    /// Text in Markdown, on one line and in a table's cell too: nothing in it is markup, HTML or a link.
    package static func markdown(_ text: String) -> String {
        let scalars = Array(line(text).unicodeScalars)
        var result = String.UnicodeScalarView()
        for (index, scalar) in scalars.enumerated() {
            let next = index + 1 < scalars.count ? scalars[index + 1] : nil
            let before = index > 0 ? scalars[index - 1] : nil
            switch scalar {
            case "&": result += "&amp;".unicodeScalars
            case "<": result += "&lt;".unicodeScalars
            case ">": result += "&gt;".unicodeScalars
            // What GitHub makes links of: URLs, addresses, and names that begin with www.
            case ":" where next == "/": result += "&#58;".unicodeScalars
            case "@": result += "&#64;".unicodeScalars
            case "." where before == "w" || before == "W": result += "&#46;".unicodeScalars
            // Within a word it is no markup.
            case "_" where isWord(before) && isWord(next): result.append(scalar)
            case "\\", "`", "*", "_", "[", "]", "|", "~": result += ["\\", scalar]
            // At the beginning of a line.
            case "#", "=": result += index == 0 ? ["\\", scalar] : [scalar]
            case "-", "+":
                result += index == 0 && next.map(isWord) != true ? ["\\", scalar] : [scalar]
            default: result.append(scalar)
            }
        }
        return String(result)
    }

    private static func isWord(_ scalar: Unicode.Scalar?) -> Bool {
        scalar.map { $0.properties.isAlphabetic || $0.properties.numericType != nil } ?? false
    }

    /// Character data or an attribute's value in XML.
    package static func xml(_ text: String) -> String { markup(line(text)) }

    /// Text of any length that is safe to show already, for the same places.
    static func markup(_ text: String) -> String {
        // Bytes: the names and numbers of a graph are a million characters.
        var bytes = Array(text.utf8)
        guard bytes.contains(where: isMarkup) else { return text }
        let plain = bytes
        bytes.removeAll(keepingCapacity: true)
        for byte in plain {
            switch byte {
            case UInt8(ascii: "&"): bytes += "&amp;".utf8
            case UInt8(ascii: "<"): bytes += "&lt;".utf8
            case UInt8(ascii: ">"): bytes += "&gt;".utf8
            case UInt8(ascii: "\""): bytes += "&quot;".utf8
            case UInt8(ascii: "'"): bytes += "&#39;".utf8
            default: bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func isMarkup(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "&"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "\""),
            UInt8(ascii: "'"):
            true
        default: false
        }
    }

    /// JSON as it is, with what must not be shown written as escapes; it stands in strings alone.
    static func json(_ bytes: [UInt8]) -> [UInt8] {
        let text = String(decoding: bytes, as: UTF8.self)
        guard text.unicodeScalars.contains(where: { $0 != "\n" && isHidden($0) }) else {
            return bytes
        }
        var result: [UInt8] = []
        for scalar in text.unicodeScalars {
            if scalar == "\n" || !isHidden(scalar) {
                result += UTF8.encode(scalar).map(Array.init) ?? []
            } else {
                for unit in UTF16.encode(scalar).map(Array.init) ?? [] {
                    let digits = String(unit, radix: 16)
                    let zeros = String(repeating: "0", count: 4 - digits.count)
                    result += Array("\\u\(zeros)\(digits)".utf8)
                }
            }
        }
        return result
    }
}
