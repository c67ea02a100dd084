internal import LeakprofAnalysis
internal import LeakprofModel

/// Writes a flame graph as SVG.
///
/// What is drawn is one lens without any zoom. The script, where it runs, draws everything anew from the
/// numbers in `<metadata>`, in the same way.
struct FlameGraphSVG {
    private let graph: FlameGraph
    private let layout: FlameGraphLayout
    private let words: FrameWords
    private let panelWidth: Int
    /// Pixels per byte, the same in both graphs.
    private let scale: Double
    /// The start of every ID in the file, so that two graphs in a page do not take each other's.
    private let prefix: String

    private static let width = 1200
    private static let margin = 12
    private static let gap = 16
    private static let rowHeight = 18
    private static let lineHeight = 18
    /// A character's width in the file's font at its size; labels are cut by it.
    private static let characterWidth = 6.7
    /// How much wider the first sentence's characters are.
    private static let largeText = 1.35
    /// More frames than this are drawn by the script alone.
    private static let mostFrames = 1500

    init(_ graph: FlameGraph) {
        self.graph = graph
        let contents: [FlameGraphLayout.Content] =
            switch graph.lens {
            case .growth: [.growth]
            case .union: [.union]
            case .sites: graph.isComparison ? [.union] : [.after]
            case .before: [.before]
            case .after: [.after]
            case .side: [.beforeOfTwo, .afterOfTwo]
            }
        let root = graph.lens == .sites ? graph.tree.sites : graph.tree.root
        let inner = Self.width - 2 * Self.margin
        panelWidth = contents.count == 2 ? (inner - Self.gap) / 2 : inner
        layout = FlameGraphLayout(
            root, contents, threshold: 0.5 / Double(panelWidth), most: Self.mostFrames)
        words = FrameWords(graph)
        let widest = layout.graphs.compactMap { $0.first?.part.width }.max() ?? 1
        scale = Double(panelWidth) / Double(max(1, widest))
        let all = graph.tree.root
        prefix =
            "lp" + Self.hash("\(graph.title) \(all.kept) \(all.grown) \(all.shrunk)") + "-"
    }

    func bytes() -> [UInt8] {
        var body = ""
        var y = 30
        text(graph.title, x: Self.margin, y: y, class: "title", into: &body)
        text(
            graph.style.producer, x: Self.width - Self.margin, y: y, class: "brand", into: &body)
        y += 6
        let verdict = graph.sentences.prefix(1).map { ("verdict", $0) }
        let alarms = graph.alarms.map { ("alarm", "warning: " + $0) }
        let facts = graph.sentences.dropFirst().map { ("sentence", $0) }
        for (name, line) in verdict + alarms + facts where !line.isEmpty {
            let isLarge = name == "verdict"
            y += isLarge ? 22 : Self.lineHeight
            let room = Double(Self.width - 2 * Self.margin) / (isLarge ? Self.largeText : 1)
            text(clipped(line, to: Int(room)), x: Self.margin, y: y, class: name, into: &body)
        }
        y += 28
        writeList(at: &y, into: &body)
        writeLegend(at: &y, into: &body)
        // Where the script puts its buttons and the way to what is zoomed to, and above each graph its name.
        let top = y + 68
        writePanels(top: top, into: &body)
        let bottom = top + layout.depth * Self.rowHeight
        text(footnote, x: Self.margin, y: bottom + 22, class: "note status", into: &body)
        return Array(document(body, controls: y, top: top, height: bottom + 36).utf8)
    }

    // MARK: The page

    private func document(_ body: String, controls: Int, top: Int, height: Int) -> String {
        let style = graph.style
        return """
            <?xml version="1.0" encoding="UTF-8"?>
            <svg xmlns="http://www.w3.org/2000/svg" class="leakprof-graph \(style.theme.rawValue)" \
            viewBox="0 0 \(Self.width) \(height)" width="\(Self.width)" height="\(height)" role="img" \
            aria-labelledby="\(prefix)t \(prefix)d" data-controls="\(controls)" data-top="\(top)" \
            data-lens="\(graph.lens.rawValue)" data-flame="\(style.isFlame ? 1 : 0)" data-prefix="\(prefix)">
            <title id="\(prefix)t">\(Sanitized.xml(graph.title))</title>
            <desc id="\(prefix)d">\(Sanitized.xml(summary))</desc>
            <metadata>\(FrameData(graph, words).json())</metadata>
            <style>\(Self.asset(PackageResources.flamegraph_css))</style>
            <defs>\(hatch("a"))\(hatch("b"))</defs>
            <rect class="page" width="100%" height="100%"/>
            \(body)<script><![CDATA[\(Self.asset(PackageResources.flamegraph_js))]]></script>
            </svg>

            """
    }

    /// Stripes that keep text on them readable: lighter below dark text, darker below light text.
    private func hatch(_ name: String) -> String {
        "<pattern id=\"\(prefix)\(name)\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
            + "patternTransform=\"rotate(45)\"><rect class=\"stripe-\(name)\" width=\"2\" height=\"6\"/>"
            + "</pattern>"
    }

    private static func asset(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// FNV-1a, in hexadecimal.
    private static func hash(_ text: String) -> String {
        let hash = text.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
        return String(hash, radix: 16)
    }

    /// What the graph says, in words.
    private var summary: String {
        let top = graph.entries.prefix(3).map {
            "\($0.amount), \($0.share), at \($0.place), \($0.name)"
        }
        return ([graph.sentences.first ?? ""] + graph.alarms + top + graph.sentences.dropFirst())
            .filter { !$0.isEmpty }.joined(separator: ". ")
    }

    private var footnote: String {
        let omitted = graph.tree.omitted
        return omitted == 0
            ? "" : "\(Quantity.grouped(Int64(omitted))) frames too small to see are left out"
    }

    private func text(
        _ content: String, x: Int, y: Int, class name: String, into body: inout String
    ) {
        body += "<text class=\"\(name)\" x=\"\(x)\" y=\"\(y)\">\(Sanitized.xml(content))</text>\n"
    }

    private func writeList(at y: inout Int, into body: inout String) {
        guard !graph.entries.isEmpty else { return }
        text(graph.listTitle, x: Self.margin, y: y, class: "head", into: &body)
        for entry in graph.entries {
            y += Self.lineHeight
            text(entry.amount, x: Self.margin + 76, y: y, class: "amount", into: &body)
            text(entry.share, x: Self.margin + 90, y: y, class: "sentence", into: &body)
            text(
                clipped(entry.name, to: 300), x: Self.margin + 200, y: y, class: "name",
                into: &body)
            text(
                entry.place.contains(" < ")
                    ? clipped(entry.place, to: 330) : clippedAtStart(entry.place, to: 330),
                x: Self.margin + 520, y: y, class: "sentence",
                into: &body)
            text(entry.detail, x: Self.width - Self.margin, y: y, class: "detail", into: &body)
        }
        y += 26
    }

    private func writeLegend(at y: inout Int, into body: inout String) {
        guard graph.isComparison else { return }
        var x = Self.margin
        func swatch(_ classes: [String], _ label: String, mark: String? = nil) {
            for name in classes {
                body += rect(name, Double(x), y - 11, 14, 14)
                if mark == "hatch" { body += hatched(name, Double(x), y - 11, 14, 14) }
                if mark == "new" { body += rect("new", Double(x), y - 11, 2, 14) }
                x += 14
            }
            text(label, x: x + 6, y: y, class: "note", into: &body)
            x += 6 + Int(Double(label.count) * Self.characterWidth * 0.92) + 18
        }
        swatch(["k"], "in both, or too little to matter")
        swatch(
            ["g1", "g2", "g3", "g4"], "grew, by share of all growth: under 1 %, 5 %, 20 %, more")
        swatch(["s1", "s2", "s3", "s4"], "shrank, likewise", mark: "hatch")
        swatch(["g4"], "new", mark: "new")
        let gone = x + 6 + 14
        body += rect("s4", Double(x), y - 11, 14, 14) + hatched("s4", Double(x), y - 11, 14, 14)
        body += "<text class=\"note gone\" x=\"\(gone)\" y=\"\(y)\">gone</text>\n"
        y += 18
        text(scaleNote, x: Self.margin, y: y, class: "note scale", into: &body)
        y += 8
    }

    private var scaleNote: String {
        "100 pixels are \(words.quantity(Int64(100 / scale)))"
            + (layout.graphs.count > 1 ? ", in both graphs" : "") + Self.badgeNote
    }

    private static let badgeNote = ".   [+2]: two allocator frames are part of the frame"

    // MARK: Graphs

    private func writePanels(top: Int, into body: inout String) {
        let titles = words.panelTitles(graph.lens)
        for (index, frames) in layout.graphs.enumerated() {
            let x = Self.margin + index * (panelWidth + Self.gap)
            body += "<g class=\"panel\" transform=\"translate(\(x) \(top))\">\n"
            text(clipped(titles[index], to: panelWidth), x: 0, y: -8, class: "head", into: &body)
            for frame in frames {
                write(frame, isBase: index == 0 && layout.graphs.count > 1, into: &body)
            }
            body += "</g>\n"
        }
    }

    private func write(_ frame: FlameGraphLayout.Frame, isBase: Bool, into body: inout String) {
        let node = frame.node
        let row = graph.style.isFlame ? layout.depth - 1 - frame.depth : frame.depth
        let y = row * Self.rowHeight
        let height = Self.rowHeight - 1
        let grown = "g\(words.step(of: node, grew: true))"
        let shrunk = "s\(words.step(of: node, grew: false))"
        var x = Double(frame.offset) * scale
        var widest = ("k", x, 0.0)
        let width = Double(frame.part.width) * scale
        // Each line by itself: a line break in a name must not look like one of ours.
        let tooltip = words.tooltip(node, folded: frame.folded).map(Sanitized.xml).joined(
            separator: "\n")
        body += "<g class=\"f\(words.isGone(node) ? " gone" : "")\"><title>\(tooltip)</title>"
        let left = x
        for (name, amount) in [
            ("k", frame.part.kept), (grown, frame.part.grown), (shrunk, frame.part.shrunk),
        ] where amount > 0 {
            let segment = Double(amount) * scale
            body += rect(name, x, y, segment, height)
            if name == shrunk { body += hatched(name, x, y, segment, height) }
            if segment > widest.2 { widest = (name, x, segment) }
            x += segment
        }
        body += rect("e", left, y, width, height)
        if words.isNew(node) { body += rect("new", left, y, min(2, width), height) }
        if widest.2 >= Self.narrowest {
            let label = words.label(
                of: node, isLeaf: frame.isLeaf, folded: frame.folded, isBase: isBase,
                lens: graph.lens)
            let shown = Sanitized.xml(clipped(label, to: Int(widest.2) - 6))
            body +=
                "<text class=\"t\(widest.0)\" x=\"\(Self.pixels(widest.1 + 4))\" y=\"\(y + 13)\">"
            body += "\(shown)</text>"
        }
        body += "</g>\n"
    }

    /// The width that three characters need.
    private static let narrowest = 27.0

    private func rect(_ name: String, _ x: Double, _ y: Int, _ width: Double, _ height: Int)
        -> String
    {
        "<rect class=\"\(name)\" x=\"\(Self.pixels(x))\" y=\"\(y)\" "
            + "width=\"\(Self.pixels(width))\" height=\"\(height)\"/>"
    }

    private func hatched(_ name: String, _ x: Double, _ y: Int, _ width: Double, _ height: Int)
        -> String
    {
        let pattern = ["s3", "s4"].contains(name) ? "b" : "a"
        return "<rect fill=\"url(#\(prefix)\(pattern))\" x=\"\(Self.pixels(x))\" y=\"\(y)\" "
            + "width=\"\(Self.pixels(width))\" height=\"\(height)\"/>"
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
