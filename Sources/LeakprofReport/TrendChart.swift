internal import LeakprofAnalysis
internal import LeakprofModel

/// Resident memory and live heap over the snapshots, as a drawing for a page.
struct TrendChart {
    private let moments: [GrowthStory.Moment]
    private let measures: Measures

    private static let width = 760.0
    private static let height = 220.0
    private static let left = 90.0
    private static let right = 130.0
    private static let top = 14.0
    private static let bottom = 34.0
    /// In bytes; two of them fit below the axis.
    private static let longestName = 36
    private static let tickCharacter = 7.2

    init(_ story: GrowthStory) {
        moments = story.moments
        measures = Measures(.inuseSpace)
    }

    private struct Series {
        var name: String
        var style: String
        var values: [Int64?]
    }

    private var series: [Series] {
        [
            Series(
                name: "live heap", style: "live",
                values: moments.map { $0.live.inuseSpace }),
            Series(
                name: "resident", style: "resident",
                values: moments.map { $0.facts.process?.residentBytes }),
        ].filter { $0.values.contains { $0 != nil } }
    }

    /// The drawing, which names its colours by class: `axis`, `live`, `resident`.
    func svg() -> String {
        let largest = series.flatMap { $0.values.compactMap { $0 } }.max() ?? 0
        let scale = NiceScale(upTo: largest)
        var body = ""
        for value in scale.ticks {
            let y = place(value, scale)
            body +=
                "<line class=\"axis\" x1=\"\(Self.left)\" x2=\"\(Self.width - Self.right)\" y1=\"\(y)\" y2=\"\(y)\"/>\n"
            body += text(Quantity.precise(value), x: Self.left - 8, y: y + 4, class: "tick end")
        }
        for index in labelled {
            body += text(
                moments[index].name, x: x(index), y: Self.height - 10,
                class: index == 0 ? "tick" : index == moments.count - 1 ? "tick end" : "tick middle"
            )
        }
        var taken: [Double] = []
        for series in series { body += line(series, scale, taken: &taken) }
        return """
            <svg viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" width="\(Int(Self.width))" \
            height="\(Int(Self.height))" role="img" aria-label="\(Sanitized.xml(summary))">
            \(body)</svg>
            """
    }

    /// The snapshots whose names there is room for; the first and the last always.
    private var labelled: [Int] {
        let last = moments.count - 1
        guard last > 0 else { return Array(moments.indices) }
        func width(_ index: Int) -> Double {
            Double(moments[index].name.clipped(toBytes: Self.longestName).count)
                * Self.tickCharacter
        }
        let end = x(last) - width(last)
        var taken = x(0) + width(0)
        var result = [0]
        for index in 1..<last {
            let half = width(index) / 2
            guard x(index) - half > taken + 8, x(index) + half < end - 8 else { continue }
            result.append(index)
            taken = x(index) + half
        }
        return result + [last]
    }

    /// What the drawing shows, in words.
    private var summary: String {
        series.map { series in
            let values = series.values.map { $0.map { Quantity.precise($0) } ?? "unknown" }
            return series.name + ": " + values.joined(separator: ", ")
        }.joined(separator: "; ")
    }

    /// `taken` are the heights at which there are names of lines.
    private func line(_ series: Series, _ scale: NiceScale, taken: inout [Double]) -> String {
        let points = series.values.enumerated().compactMap { index, value in
            value.map { (x: x(index), y: place($0, scale)) }
        }
        let path = points.map { "\($0.x),\($0.y)" }.joined(separator: " ")
        var result = "<polyline class=\"\(series.style)\" points=\"\(path)\"/>\n"
        for point in points {
            // A shape of its own, so that the lines differ by more than colour.
            result +=
                series.style == "live"
                ? "<circle class=\"\(series.style)\" cx=\"\(point.x)\" cy=\"\(point.y)\" r=\"4\"/>\n"
                : "<rect class=\"\(series.style)\" x=\"\(point.x - 4)\" y=\"\(point.y - 4)\" width=\"8\" height=\"8\"/>\n"
        }
        if let last = points.last {
            var y = last.y + 4
            // The later name goes above the earlier one: resident memory is the larger.
            if taken.contains(where: { abs($0 - y) < 14 }) { y = (taken.min() ?? y) - 14 }
            taken.append(y)
            result += text(series.name, x: last.x + 10, y: y, class: "tick \(series.style)-name")
        }
        return result
    }

    private func text(_ content: String, x: Double, y: Double, class name: String) -> String {
        "<text class=\"\(name)\" x=\"\(x)\" y=\"\(y)\">\(Sanitized.xml(content.clipped(toBytes: Self.longestName)))</text>\n"
    }

    /// By time if it is known of all, else in equal steps.
    private func x(_ index: Int) -> Double {
        let times = moments.map { Double($0.facts.capturedAt) }
        let span = (times.last ?? 0) - (times.first ?? 0)
        let isOrdered =
            times.allSatisfy { $0 > 0 } && zip(times, times.dropFirst()).allSatisfy { $0 <= $1 }
        let part =
            isOrdered && span > 0
            ? (times[index] - times[0]) / span : Double(index) / Double(max(1, moments.count - 1))
        return rounded(Self.left + part * (Self.width - Self.left - Self.right))
    }

    private func place(_ value: Int64, _ scale: NiceScale) -> Double {
        let share = Double(value) / Double(max(1, scale.end))
        return rounded(Self.height - Self.bottom - share * (Self.height - Self.top - Self.bottom))
    }

    private func rounded(_ number: Double) -> Double { (number * 10).rounded() / 10 }
}

/// An axis from 0 with a few marks at numbers of bytes that read well.
struct NiceScale {
    let ticks: [Int64]
    var end: Int64 { ticks.last ?? 0 }

    /// Covers 0 to `largest`, with two to six marks at 1, 2, 5, 10, 20 … of a binary unit.
    init(upTo largest: Int64) {
        let wanted = Double(max(1, largest)) / 5
        var unit = 1.0
        while unit * 1024 <= wanted { unit *= 1024 }
        let steps: [Double] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1024]
        let step = (steps.first { $0 * unit >= wanted } ?? 1024) * unit
        let count = max(1, (Double(max(1, largest)) / step).rounded(.up))
        ticks = stride(from: 0.0, through: count, by: 1).map { ($0 * step).clamped }
    }
}
