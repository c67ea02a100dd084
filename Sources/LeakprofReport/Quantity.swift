/// Numbers as people read them.
package enum Quantity {
    private static let units = ["B", "KiB", "MiB", "GiB", "TiB"]

    /// A size in tracemalloc's form: `864 B`, `40.0 KiB`, `391 MiB`; with a plus sign if `signed`.
    package static func bytes(_ bytes: Int64, signed: Bool = false) -> String {
        var size = Double(bytes)
        for unit in units {
            if abs(size) < 100 && unit != "B" { return fixed(size, 1, signed) + " " + unit }
            if abs(size) < 10 * 1024 || unit == units.last {
                return fixed(size, 0, signed) + " " + unit
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

/// Text from the target, made safe for where it is written.
package enum Sanitized {
    /// Without control characters and the marks that change the direction of text, so that a symbol's
    /// name can't move the cursor or pretend to be another.
    package static func line(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isHidden) else { return text }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { result.append(isHidden(scalar) ? "\u{fffd}" : scalar) }
        return String(result)
    }

    private static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0, 0x200e...0x200f, 0x202a...0x202e, 0x2066...0x2069, 0xfeff: true
        default: false
        }
    }

    /// A frame of a folded stack: semicolons and line breaks have a meaning there.
    package static func folded(_ text: String) -> String {
        line(text).replacing(";", with: ":")
    }

    /// Character data or an attribute's value in XML.
    package static func xml(_ text: String) -> String {
        var result = ""
        for character in line(text).unicodeScalars {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }
}
