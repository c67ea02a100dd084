package import LeakprofAnalysis
internal import LeakprofModel

/// How many goroutines there are and who began them, as lines of text.
package struct GoroutineReport: Sendable {
    /// How many rows are written.
    package var limit: Int

    package init(limit: Int = 10) { self.limit = limit }

    package func lines(of counts: GoroutineCounts) -> [String] {
        var lines = [headline(counts)]
        let isDiff = counts.base != nil
        let rows = isDiff ? counts.rows.filter { $0.change != 0 } : counts.rows
        if rows.isEmpty { lines.append(isDiff ? "nothing changed" : "there are none") }
        for row in rows.prefix(limit) { lines.append(line(row, isDiff: isDiff)) }
        let rest = rows.count - limit
        if rest > 0 { lines.append("… and \(rest) more; --limit \(rows.count) shows them") }
        return lines.map(Sanitized.line)
    }

    /// `305 goroutines (+200)   pid 4711 app, go1.26.6`.
    private func headline(_ counts: GoroutineCounts) -> String {
        let total = counts.current.total
        var line = "\(Quantity.grouped(total)) \(total == 1 ? "goroutine" : "goroutines")"
        if let base = counts.base {
            line += " (\(Quantity.signed(total.saturatingSubtract(base.total))))"
        }
        var parts: [String] = []
        let facts = counts.current.facts
        if let process = facts.process { parts.append("pid \(process.pid) \(process.name)") }
        if let go = facts.recording?.go { parts.append(go.version) }
        return parts.isEmpty ? line : line + "   " + parts.joined(separator: ", ")
    }

    /// `main.go:24: count=300 (+200)     main.request  chan receive 300 (+200)`.
    private func line(_ row: GoroutineRow, isDiff: Bool) -> String {
        func count(_ current: Int64, _ base: Int64) -> String {
            let change = current.saturatingSubtract(base)
            return isDiff ? "\(current) (\(Quantity.signed(change)))" : "\(current)"
        }
        let states = row.states.map { "\($0.name) \(count($0.current, $0.base))" }
        let frame = row.creator.first
        let place = frame.map { $0.file.isEmpty ? $0.function : "\($0.file):\($0.line)" } ?? "?"
        return "\(place): count=\(count(row.current, row.base))     \(frame?.function ?? "?")  "
            + states.joined(separator: ", ")
    }
}
