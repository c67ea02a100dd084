package import LeakprofAnalysis
internal import LeakprofModel

/// The rows of a report for spreadsheets: comma-separated values as RFC 4180 has them, with a header line.
///
/// Spreadsheets take a cell that begins with `=`, `+`, `-` or `@` for a formula, and a name from the target
/// could be one. Such a name gets a single quote in front, as OWASP's page on CSV injection advises: to them
/// it says that text follows.
package enum CSVReport {
    /// One line per row, in the order of the report; sizes in bytes; the site first and its callers behind it,
    /// where stacks are grouped.
    package static func bytes(of report: TopReport) -> [UInt8] {
        var lines = [header.joined(separator: ",")]
        for row in report.rows {
            let key = row.key
            let counts = row.counts
            let stack = key.stack.map { FunctionName($0.frame.function).qualified }
            // A line belongs to a function, if the rows are of lines; a file to many.
            let isLine = key.line > 0 && key.function.isEmpty
            let function =
                isLine ? FunctionName(row.site.frame.function).qualified : key.function
            let fields = [
                text(function), text(key.file), key.line > 0 ? "\(key.line)" : "",
                text(isLine ? row.site.module : key.module), "\(counts.inuseSpace)",
                "\(counts.inuseObjects)",
                "\(counts.allocSpace)", "\(counts.allocObjects)",
                "\(Quantity.standardError(row.variance.inuseSpace))",
                "\(Quantity.standardError(row.variance.inuseObjects))",
                text(stack.joined(separator: " < ")),
            ]
            lines.append(fields.joined(separator: ","))
        }
        return Array((lines.joined(separator: "\r\n") + "\r\n").utf8)
    }

    private static let header = [
        "function", "file", "line", "module", "inuse_space", "inuse_objects", "alloc_space",
        "alloc_objects", "inuse_space_standard_error", "inuse_objects_standard_error", "stack",
    ]

    /// A field that is neither a formula nor more than one field.
    static func text(_ text: String) -> String {
        var result = Sanitized.line(text)
        if let first = result.unicodeScalars.first, "=+-@".unicodeScalars.contains(first) {
            result = "'" + result
        }
        // As scalars: in a String, a comma with an accent is another character.
        guard result.unicodeScalars.contains(where: { $0 == "," || $0 == "\"" }) else {
            return result
        }
        var quoted = String.UnicodeScalarView()
        for scalar in result.unicodeScalars {
            if scalar == "\"" { quoted.append(scalar) }
            quoted.append(scalar)
        }
        return "\"" + String(quoted) + "\""
    }
}
