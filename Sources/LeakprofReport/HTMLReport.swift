internal import LeakprofAnalysis
internal import LeakprofModel

/// A growth report as one HTML file: words, curves, the graph, the sites, and the lines of source.
///
/// Reads whole with scripts off; scripts only sort and filter tables. It refers to nothing outside of itself, and
/// the same input gives the same bytes.
package enum HTMLReport {
    package static func bytes(of story: GrowthStory) -> [UInt8] {
        let body = [
            header(story), snapshots(story), trend(story), graph(story), sites(story),
            source(story),
            process(story),
        ].joined(separator: "\n")
        let page = """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width">
            <title>\(text(story.title))</title>
            <style>\(asset(PackageResources.report_css))</style>
            </head>
            <body>
            \(body)
            <script>\(asset(PackageResources.report_js))</script>
            </body>
            </html>

            """
        return Array(page.utf8)
    }

    private static func text(_ text: String) -> String { Sanitized.xml(text) }

    private static func asset(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    private static func section(_ title: String, _ content: String) -> String {
        "<section>\n<h2>\(title)</h2>\n\(content)\n</section>"
    }

    // MARK: Words

    private static func header(_ story: GrowthStory) -> String {
        let sentences = [
            story.culprit, story.survivors, story.steadiness, story.explained, story.outlook,
        ].compactMap { $0 }
        let words =
            "<p class=\"verdict\">\(text(story.headline))</p>\n<p>\(text(sentences.joined(separator: " ")))</p>"
        let notes = story.cautions.map { "<li>\(text($0))</li>" }.joined(separator: "\n")
        return "<header>\n<h1>\(text(story.title))</h1>\n\(words)\n"
            + (notes.isEmpty ? "" : "<ul class=\"notes\">\n\(notes)\n</ul>\n")
            + "<p class=\"quiet\">Growth is not proof of a leak: a cache that warms up grows too.</p>\n</header>"
    }

    private static func snapshots(_ story: GrowthStory) -> String {
        let rows = story.moments.map { moment in
            [
                moment.name, GrowthStory.time(moment.facts.capturedAt),
                moment.facts.duration > 0 ? Quantity.duration(moment.facts.duration) : "",
                Quantity.precise(moment.live.inuseSpace),
                moment.live.inuseObjects > 0 ? Quantity.grouped(moment.live.inuseObjects) : "",
                moment.facts.process?.residentBytes.map { Quantity.precise($0) } ?? "",
                moment.facts.recording.map(TextReport.recordingWords) ?? "",
            ]
        }
        return section(
            "Snapshots",
            table(
                [
                    "snapshot", "taken", "recorded for", "live heap", "blocks", "resident",
                    "recorded",
                ],
                numbers: 3..<6, rows: rows.map { $0.map { Cell($0) } }))
    }

    /// Memory over the given snapshots.
    private static func trend(_ story: GrowthStory) -> String {
        section("Memory over the snapshots", TrendChart(story).svg())
    }

    // MARK: The graph

    /// In a frame of its own, so that its style and scripts and the page's stay apart.
    ///
    /// A page in a frame has margins, and is white, unless it says otherwise.
    private static func graph(_ story: GrowthStory) -> String {
        let image = story.graph.image()
        return section(
            "Where it grew",
            "<iframe title=\"comparison flame graph\" width=\"\(image.width + 16)\" height=\"\(image.height + 16)\" "
                + "srcdoc=\"\(attribute(frameStyle + image.markup))\"></iframe>")
    }

    private static let frameStyle =
        "<style>body{margin:0;background:#fff}"
        + "@media (prefers-color-scheme:dark){body{background:#1c1f24}}</style>"

    /// Markup as an attribute's value: it has been made safe before.
    private static func attribute(_ markup: String) -> String {
        markup.replacing("&", with: "&amp;").replacing("\"", with: "&quot;")
    }

    // MARK: Sites

    private static func sites(_ story: GrowthStory) -> String {
        let all = [(story.groupBy, story.diff)] + story.others
        let tables = all.enumerated().map { index, grouped in
            let (groupBy, diff) = grouped
            let open = index == 0 ? " open" : ""
            return
                "<details\(open)>\n<summary>by \(groupBy.rawValue)</summary>\n\(sites(diff, story, limit: 10 * min(story.limit, 1_000_000)))\n</details>"
        }
        return section(
            "Sites",
            "<p class=\"filter\"><label>filter <input type=\"search\" id=\"filter\" placeholder=\"/\"></label> "
                + "<span id=\"matches\" role=\"status\" class=\"quiet\"></span></p>\n"
                + tables.joined(separator: "\n"))
    }

    private static func sites(_ diff: SnapshotDiff, _ story: GrowthStory, limit: Int) -> String {
        let (divisor, knowsBlocks) = (story.divisor, story.knowsBlocks)
        let measures = Measures(diff.sampleType)
        // How much of what was allocated since is still there can be told within one run alone.
        let hasSurvivors = measures.isInUse && diff.rows.contains { $0.survivors != nil }
        let rows = diff.rows.prefix(limit).map { row in
            let error =
                row.variance.inuseSpace > 0
                ? " ±" + Quantity.bytes(Quantity.standardError(row.variance.inuseSpace)) : ""
            var cells = [
                Cell(row.key.label),
                Cell(row.key.line > 0 ? TextReport.shortName(row.site.frame.function) : ""),
                Cell(
                    Quantity.bytes(measures.size(row.change), signed: true) + error,
                    value: measures.size(row.change)),
                Cell(Quantity.bytes(measures.size(row.base)), value: measures.size(row.base)),
                Cell(Quantity.bytes(measures.size(row.current)), value: measures.size(row.current)),
            ]
            if knowsBlocks {
                cells += [
                    Cell(
                        Quantity.signed(measures.count(row.change)),
                        value: measures.count(row.change)),
                    Cell("\(measures.count(row.current))", value: measures.count(row.current)),
                    Cell(
                        Quantity.bytes(measures.average(row.current)),
                        value: measures.average(row.current).clamped),
                ]
            }
            if hasSurvivors { cells.append(survivors(row)) }
            if let divisor {
                let (base, current) = (measures.size(row.base), measures.size(row.current))
                cells.append(
                    Cell(
                        divisor.amounts(base, current) { Quantity.bytes($0, signed: $1) },
                        value: divisor.change(base, current)))
            }
            return cells
        }
        var titles = [
            "where", "function", "change", "before", "after",
        ]
        if knowsBlocks { titles += ["block change", "blocks", "average"] }
        if hasSurvivors { titles.append("new and live") }
        if let divisor { titles.append("per " + text(divisor.unit)) }
        let more = diff.rows.count - rows.count
        return table(
            titles, numbers: 2..<titles.count, rows: Array(rows), isSortable: true)
            + (more > 0
                ? "\n<p class=\"quiet\">and \(Quantity.grouped(Int64(more))) more with smaller changes; --limit shows more</p>"
                : "")
    }

    /// Of the blocks allocated since the base snapshot, those that are left.
    private static func survivors(_ row: StatisticDiff) -> Cell {
        guard let survivors = row.survivors, survivors.allocObjects > 0 else {
            return Cell("", value: 0)
        }
        return Cell(
            TextReport.survivorsText(row, survivors),
            value: min(survivors.inuseObjects, survivors.allocObjects))
    }

    // MARK: Source

    private static func source(_ story: GrowthStory) -> String {
        guard !story.excerpts.isEmpty else { return "" }
        let excerpts = story.excerpts.map { excerpt in
            let lines = excerpt.lines.map { number, code in
                let line = "\(number == excerpt.line ? "▸" : " ") \(number)  \(text(code))"
                return number == excerpt.line ? "<mark>\(line)</mark>" : line
            }
            return "<h3>\(text(excerpt.place))</h3>\n<pre>\(lines.joined(separator: "\n"))</pre>"
        }
        return section("Source", excerpts.joined(separator: "\n"))
    }

    // MARK: Process

    /// Without the command line, which may hold what is not for everybody.
    private static func process(_ story: GrowthStory) -> String {
        guard let process = story.last.facts.process else { return "" }
        var rows = [
            ["name", process.name], ["process ID", "\(process.pid)"],
            ["executable", process.executable],
        ]
        if process.forkedFrom != 0 { rows.append(["forked from", "\(process.forkedFrom)"]) }
        if let limit = process.memoryLimitBytes {
            rows.append(["memory limit", Quantity.precise(limit)])
        }
        return section(
            "Process",
            table(["fact", "value"], numbers: 2..<2, rows: rows.map { $0.map { Cell($0) } }))
    }

    // MARK: Tables

    private struct Cell {
        var text: String
        /// What rows are sorted by; by the text without it.
        var value: Int64?

        init(_ text: String, value: Int64? = nil) {
            self.text = text
            self.value = value
        }
    }

    private static func table(
        _ titles: [String], numbers: Range<Int>, rows: [[Cell]], isSortable: Bool = false
    ) -> String {
        let head = titles.enumerated().map { index, title in
            "<th scope=\"col\"\(numbers.contains(index) ? " class=\"number\"" : "")>\(title)</th>"
        }.joined()
        let body = rows.map { row in
            "<tr>"
                + row.enumerated().map { index, cell in
                    let style = numbers.contains(index) ? " class=\"number\"" : ""
                    let value = cell.value.map { " data-value=\"\($0)\"" } ?? ""
                    return "<td\(style)\(value)>\(text(cell.text))</td>"
                }.joined() + "</tr>"
        }.joined(separator: "\n")
        return
            "<div class=\"wide\"><table class=\"\(isSortable ? "sites many" : titles.count > 4 ? "many" : "few")\">\n<thead><tr>\(head)</tr></thead>\n"
            + "<tbody>\n\(body)\n</tbody>\n</table></div>"
    }
}
