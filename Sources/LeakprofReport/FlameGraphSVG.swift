internal import LeakprofAnalysis
internal import LeakprofModel

/// Writes a flame graph's layout as SVG.
struct FlameGraphSVG {
    private let graph: FlameGraph
    private let layout: FlameGraphLayout
    private let isComparison: Bool
    private let panelWidth: Int
    /// Pixels per byte, the same in both graphs.
    private let scale: Double

    private static let width = 1200
    private static let margin = 12
    private static let gap = 16
    private static let rowHeight = 18
    private static let lineHeight = 18
    /// A character's width in the file's font at its size; labels are cut by it.
    private static let characterWidth = 6.7

    init(_ graph: FlameGraph) {
        self.graph = graph
        layout = FlameGraphLayout(graph.tree)
        isComparison = graph.panelTitles.count == 2
        let inner = Self.width - 2 * Self.margin
        panelWidth = isComparison ? (inner - Self.gap) / 2 : inner
        let largest = max(graph.tree.root.base, graph.tree.root.current, 1)
        scale = Double(panelWidth) / Double(largest)
    }

    func bytes() -> [UInt8] {
        var body = ""
        var y = 30
        text(graph.title, x: Self.margin, y: y, class: "title", into: &body)
        text("leakprof", x: Self.width - Self.margin, y: y, class: "brand", into: &body)
        y += 6
        for sentence in graph.sentences where !sentence.isEmpty {
            y += Self.lineHeight
            text(sentence, x: Self.margin, y: y, class: "sentence", into: &body)
        }
        y += 28
        writeList(at: &y, into: &body)
        writeLegend(at: &y, into: &body)
        writeControls(y: y, into: &body)
        let top = y + 34
        writePanels(top: top, into: &body)
        let bottom = top + layout.depth * Self.rowHeight
        text(footnote, x: Self.margin, y: bottom + 22, class: "note", id: "status", into: &body)
        return Array(document(body, height: bottom + 36).utf8)
    }

    // MARK: The page

    private func document(_ body: String, height: Int) -> String {
        """
        <?xml version="1.0" encoding="UTF-8"?>
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.width) \(height)" \
        width="\(Self.width)" height="\(height)" role="img" aria-labelledby="t d" \
        data-panel="\(panelWidth)" data-unit="\(graph.tree.sampleType.unit)">
        <title id="t">\(Sanitized.xml(graph.title))</title>
        <desc id="d">\(Sanitized.xml(summary))</desc>
        <style>\(Self.asset(PackageResources.flamegraph_css))</style>
        <defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" \
        patternTransform="rotate(45)"><rect class="hatch" width="3" height="6"/></pattern></defs>
        <rect class="page" width="100%" height="100%"/>
        \(body)<script><![CDATA[\(Self.asset(PackageResources.flamegraph_js))]]></script>
        </svg>

        """
    }

    private static func asset(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// What the graph says, in words.
    private var summary: String {
        let top = graph.entries.prefix(3).map { "\($0.amount) at \($0.place), \($0.name)" }
        return (graph.sentences + top).filter { !$0.isEmpty }.joined(separator: ". ")
    }

    private var footnote: String {
        layout.omitted == 0
            ? "" : "\(Quantity.grouped(Int64(layout.omitted))) frames too small to see are left out"
    }

    private func text(
        _ content: String, x: Int, y: Int, class name: String, id: String? = nil,
        into body: inout String
    ) {
        let identifier = id.map { " id=\"\($0)\"" } ?? ""
        body += "<text\(identifier) class=\"\(name)\" x=\"\(x)\" y=\"\(y)\">"
        body += Sanitized.xml(content) + "</text>\n"
    }

    private func writeList(at y: inout Int, into body: inout String) {
        guard !graph.entries.isEmpty else { return }
        text(graph.listTitle, x: Self.margin, y: y, class: "head", into: &body)
        for entry in graph.entries {
            y += Self.lineHeight
            text(entry.amount, x: Self.margin + 70, y: y, class: "amount", into: &body)
            text(entry.share, x: Self.margin + 86, y: y, class: "sentence", into: &body)
            text(
                clipped(entry.name, to: 300), x: Self.margin + 200, y: y, class: "name",
                into: &body)
            text(
                entry.place.contains(" < ")
                    ? clipped(entry.place, to: 470) : clippedAtStart(entry.place, to: 470),
                x: Self.margin + 520, y: y, class: "sentence",
                into: &body)
            text(entry.detail, x: Self.width - Self.margin, y: y, class: "detail", into: &body)
        }
        y += 26
    }

    private func writeLegend(at y: inout Int, into body: inout String) {
        guard isComparison else { return }
        var x = Self.margin
        func swatch(_ classes: [String], _ label: String) {
            for name in classes {
                body +=
                    "<rect class=\"\(name)\" x=\"\(x)\" y=\"\(y - 11)\" width=\"14\" height=\"14\"/>"
                x += 14
            }
            text(label, x: x + 6, y: y, class: "note", into: &body)
            x += 6 + Int(Double(label.count) * Self.characterWidth * 0.92) + 18
        }
        swatch(["k"], "in both")
        swatch(["g1", "g2", "g3", "g4"], "grew: under 1 %, 5 %, 20 %, and over, of all growth")
        swatch(["s1", "s2", "s3", "s4"], "shrank, likewise")
        let per100 = quantity(Int64(100 / scale))
        text("both graphs: 100 pixels are \(per100)", x: x, y: y, class: "note", into: &body)
        y += 8
    }

    private func writeControls(y: Int, into body: inout String) {
        body += """
            <g id="controls" class="hidden">\
            <text id="reset" class="button" x="\(Self.width - 210)" y="\(y + 18)" tabindex="0" \
            role="button">show all (Esc)</text>\
            <text id="search" class="button" x="\(Self.width - 100)" y="\(y + 18)" tabindex="0" \
            role="button">search (/)</text></g>

            """
    }

    // MARK: Graphs

    private func writePanels(top: Int, into body: inout String) {
        let panels =
            isComparison
            ? [("base", layout.base), ("current", layout.current)] : [("current", layout.current)]
        for (index, (name, frames)) in panels.enumerated() {
            let x = Self.margin + index * (panelWidth + Self.gap)
            text(
                clipped(graph.panelTitles[index], to: panelWidth), x: x, y: top - 8, class: "head",
                into: &body)
            body += "<g id=\"\(name)\" class=\"panel\" transform=\"translate(\(x) \(top))\">\n"
            for frame in frames { write(frame, grew: name == "current", into: &body) }
            body += "</g>\n"
        }
    }

    private func write(_ frame: FlameGraphLayout.Frame, grew: Bool, into body: inout String) {
        let node = layout.nodes[frame.node]
        let x = Double(frame.offset) * scale
        let width = Double(frame.width) * scale
        let keptWidth = Double(frame.kept) * scale
        let y = frame.depth * Self.rowHeight
        let height = Self.rowHeight - 1
        let ramp = (grew ? "g" : "s") + shade(frame.delta, of: grew)
        let isNew = grew && isComparison && node.base == 0
        let isGone = !grew && node.current == 0
        // Each line by itself: a line break in a name must not look like one of ours.
        let tooltip = tooltip(node).map(Sanitized.xml).joined(separator: "\n")
        let isLeaf = layout.leaves.contains(frame.node)
        let label = label(of: node, isLeaf: isLeaf, amount: amount(of: node, grew: grew))

        body += "<g class=\"f\(isGone ? " gone" : "")\" data-n=\"\(frame.node)\" "
        body += "data-l=\"\(frame.depth)\" data-o=\"\(frame.offset)\" data-k=\"\(frame.kept)\" "
        body +=
            "data-d=\"\(frame.delta)\" data-t=\"\(Sanitized.xml(label))\"><title>\(tooltip)</title>"
        body += rect("k", x, y, width, height)
        if isComparison && frame.delta > 0 {
            body += rect(ramp, x + keptWidth, y, width - keptWidth, height)
            if !grew {
                body += rect("h", x + keptWidth, y, width - keptWidth, height)
            }
        }
        if isNew { body += rect("new", x, y, min(2, width), height) }
        let shown = clipped(label, to: Int(width) - 6)
        body +=
            "<text x=\"\(Self.pixels(x + 4))\" y=\"\(y + 13)\">\(Sanitized.xml(shown))</text></g>\n"
    }

    private func rect(_ name: String, _ x: Double, _ y: Int, _ width: Double, _ height: Int)
        -> String
    {
        "<rect class=\"\(name)\" x=\"\(Self.pixels(x))\" y=\"\(y)\" "
            + "width=\"\(Self.pixels(width))\" height=\"\(height)\"/>"
    }

    /// The ramp's step for a share of all growth, or of all shrinkage.
    private func shade(_ delta: Int64, of grew: Bool) -> String {
        let whole = grew ? graph.tree.root.grown : graph.tree.root.shrunk
        let share = whole == 0 ? 0 : Double(delta) / Double(whole)
        return switch share {
        case ..<0.01: "1"
        case ..<0.05: "2"
        case ..<0.2: "3"
        default: "4"
        }
    }

    /// The name; the line where memory is asked for; and the amount, so that it is not told by color
    /// alone.
    private func label(of node: ComparisonTree.Node, isLeaf: Bool, amount: String) -> String {
        let frame = node.frame
        guard !frame.function.isEmpty else { return "all stacks  " + amount }
        let name = TextReport.shortName(frame.function)
        let place = isLeaf && frame.line > 0 ? " \(frame.file.lastPathComponent):\(frame.line)" : ""
        return amount.isEmpty ? name + place : "\(name)\(place)  \(amount)"
    }

    private func amount(of node: ComparisonTree.Node, grew: Bool) -> String {
        guard isComparison, grew else { return quantity(grew ? node.current : node.base) }
        return node.change == 0 ? "" : quantity(node.change, signed: true)
    }

    private func tooltip(_ node: ComparisonTree.Node) -> [String] {
        let frame = node.frame
        var lines = [
            frame.function.isEmpty ? "all stacks" : FunctionName(frame.function).qualified
        ]
        if !frame.file.isEmpty {
            let others = node.lines.count - 1
            let more = others > 0 ? " and \(others) more line\(others > 1 ? "s" : "")" : ""
            lines.append("\(frame.file):\(frame.line)\(more)")
        }
        if !node.module.isEmpty { lines.append(node.module) }
        if isComparison {
            let share = FlameGraph.percent(node.grown, of: graph.tree.root.grown)
            lines.append(
                "\(quantity(node.base)) → \(quantity(node.current)), "
                    + "\(quantity(node.change, signed: true))")
            if node.grown > 0 { lines.append("\(share) of all growth") }
            if node.base == 0 { lines.append("new") }
            if node.current == 0 { lines.append("gone") }
            lines.append("\(node.baseObjects) → \(node.currentObjects) blocks")
        } else {
            let share = FlameGraph.percent(node.current, of: graph.tree.root.current)
            lines.append(
                "\(quantity(node.current)), \(share), \(node.currentObjects) blocks")
        }
        return lines
    }

    /// A value of the graph: bytes, or a number of blocks.
    private func quantity(_ value: Int64, signed: Bool = false) -> String {
        if graph.tree.sampleType.unit == "bytes" { return Quantity.precise(value, signed: signed) }
        return (signed && value >= 0 ? "+" : "") + Quantity.grouped(value)
    }

    // MARK: Fitting

    /// Two decimals: fine enough not to show, and the files stay small.
    private static func pixels(_ value: Double) -> String { Quantity.fixed(value, 2) }

    private func clipped(_ text: String, to width: Int) -> String {
        let fits = Int(Double(width) / Self.characterWidth)
        guard text.count > fits else { return text }
        return fits < 3 ? "" : text.prefix(fits - 1) + "…"
    }

    /// Paths say most at their end.
    private func clippedAtStart(_ text: String, to width: Int) -> String {
        let fits = Int(Double(width) / Self.characterWidth)
        guard text.count > fits else { return text }
        return "…" + text.suffix(fits - 1)
    }
}
