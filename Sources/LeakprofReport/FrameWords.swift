internal import LeakprofAnalysis
internal import LeakprofModel

/// What is written on and about the frames of a graph; the script says the same in the same words.
struct FrameWords {
    private let tree: ComparisonTree
    private let names: [String]
    private let elapsed: Int64
    private let ages: [UInt32: String]
    private let divisor: Divisor?

    init(_ graph: FlameGraph) {
        tree = graph.tree
        names = graph.names
        elapsed = graph.elapsed
        ages = graph.ages
        divisor = graph.divisor
    }

    private var isComparison: Bool { names.count == 2 }

    /// The ramp's step for a node's share of all growth or of all shrinkage; 0 when it is not worth a look.
    func step(of node: ComparisonTree.Node, grew: Bool) -> Int {
        guard grew ? node.hasNotableGrowth : node.hasNotableShrinkage else { return 0 }
        let part = Double(grew ? node.grown : node.shrunk)
        let share = part / Double(max(1, grew ? tree.root.grown : tree.root.shrunk))
        return switch share {
        case ..<0.01: 1
        case ..<0.05: 2
        case ..<0.2: 3
        default: 4
        }
    }

    func isNew(_ node: ComparisonTree.Node) -> Bool {
        isComparison && node.base == 0 && node.current > 0
    }

    func isGone(_ node: ComparisonTree.Node) -> Bool {
        isComparison && node.current == 0 && node.base > 0
    }

    /// What stands above each graph of a lens.
    func panelTitles(_ lens: FlameGraph.Lens) -> [String] {
        let root = tree.root
        let before = "\(isComparison ? "Before: " : "")\(names[0]), \(live(root.base))"
        let after =
            isComparison
            ? "After: \(names[1]), \(live(root.current))" : "\(names[0]), \(live(root.current))"
        switch lens {
        case .growth: return [growth]
        case .union: return ["In both, grown, and shrunk: " + change]
        case .sites:
            return [
                isComparison
                    ? "By site, with their callers: " + change
                    : "By site, with their callers: " + after
            ]
        case .before: return [before]
        case .after: return [after]
        case .side: return [before, after]
        }
    }

    private func live(_ value: Int64) -> String {
        let state = Measures(tree.sampleType).isInUse ? "live" : "allocated"
        return tree.sampleType.unit == "bytes"
            ? "\(Quantity.precise(value)) \(state)" : "\(Quantity.grouped(value)) blocks \(state)"
    }

    /// `+412.6 MiB grown in 28 m 10 s (14.6 MiB/min)`.
    private var growth: String {
        let grown = quantity(tree.root.grown, signed: true) + " grown"
        guard elapsed > 0 else { return grown }
        return "\(grown) in \(Quantity.duration(elapsed)) (\(rate(tree.root.grown)))"
    }

    private var change: String {
        "\(quantity(tree.root.kept)) kept, \(quantity(tree.root.grown, signed: true)), "
            + "-\(quantity(tree.root.shrunk))"
    }

    private func rate(_ change: Int64) -> String {
        quantity((Double(change) / (Double(elapsed) / 60e9)).clamped) + "/min"
    }

    /// The name; the line where memory is asked for; and the amount, so that it is not told by color
    /// alone.
    func label(
        of node: ComparisonTree.Node, isLeaf: Bool, folded: [String], isBase: Bool,
        lens: FlameGraph.Lens
    ) -> String {
        let frame = node.frame
        let amount = amount(of: node, isBase: isBase, lens: lens)
        var words = [name(of: node)]
        if (isLeaf || lens == .sites) && frame.line > 0 {
            words[0] += " \(frame.file.lastPathComponent):\(frame.line)"
        }
        if !amount.isEmpty { words.append(amount) }
        if isNew(node) { words.append("[new]") }
        if isGone(node) { words.append("[gone]") }
        if !folded.isEmpty { words.append("[+\(folded.count)]") }
        return words.joined(separator: "  ")
    }

    private func name(of node: ComparisonTree.Node) -> String {
        node.frame.function.isEmpty ? "all stacks" : TextReport.shortName(node.frame.function)
    }

    private func amount(
        of node: ComparisonTree.Node, isBase: Bool, lens: FlameGraph.Lens
    ) -> String {
        if isBase || lens == .before { return quantity(node.base) }
        if !isComparison || lens == .after { return quantity(node.current) }
        if lens == .growth { return quantity(node.grown, signed: true) }
        let grown = node.grown > 0 ? quantity(node.grown, signed: true) : ""
        let shrunk = node.shrunk > 0 ? quantity(-node.shrunk) : ""
        return [grown, shrunk].filter { !$0.isEmpty }.joined(separator: " ")
    }

    func tooltip(_ node: ComparisonTree.Node, folded: [String]) -> [String] {
        let frame = node.frame
        var lines = [
            frame.function.isEmpty ? "all stacks" : FunctionName(frame.function).qualified
        ]
        if !frame.file.isEmpty {
            let others = node.lines.count - 1
            let more = others > 0 ? " and \(others) more line\(others > 1 ? "s" : "")" : ""
            lines.append("\(frame.file):\(frame.line)\(more)")
        }
        if !node.module.isEmpty { lines.append(module(of: node)) }
        lines += isComparison ? changes(of: node) : size(of: node)
        if let age = ages[node.medianEpoch] { lines.append("median age " + age) }
        if !folded.isEmpty {
            lines.append(
                "allocator frames in it: "
                    + folded.map(TextReport.shortName).joined(separator: ", "))
        }
        return lines
    }

    /// `libx.so, build 00112233`.
    func module(of node: ComparisonTree.Node) -> String {
        node.module + (node.buildID.isEmpty ? "" : ", build \(node.buildID.prefix(8))")
    }

    private func changes(of node: ComparisonTree.Node) -> [String] {
        let error = node.changeError > 0 ? " ±\(quantity(node.changeError))" : ""
        var lines = [
            "\(quantity(node.base)) → \(quantity(node.current)), "
                + "\(quantity(node.change, signed: true))\(error)"
        ]
        if node.grown > 0 {
            lines.append(FlameGraph.percent(node.grown, of: tree.root.grown) + " of all growth")
        }
        if node.shrunk > 0 {
            lines.append(
                FlameGraph.percent(node.shrunk, of: tree.root.shrunk) + " of what shrank")
        }
        if isNew(node) { lines.append("new") }
        if isGone(node) { lines.append("gone") }
        if knowsBlocks {
            lines.append(
                "\(node.baseObjects) → \(node.currentObjects) blocks\(mean(node.current, node.currentObjects))"
            )
        }
        if node.newObjects > 0 {
            let live = min(node.newLiveObjects, node.newObjects)
            lines.append(
                "\(node.changeError > 0 ? "about " : "")\(live) of \(node.newObjects) blocks allocated since "
                    + "\(names[0]) are still live")
        }
        if elapsed > 0 && node.change != 0 { lines.append(rate(node.change)) }
        if let divisor {
            lines.append(divisor.words(node.base, node.current) { quantity($0, signed: $1) })
        }
        return lines
    }

    private func size(of node: ComparisonTree.Node) -> [String] {
        let share = FlameGraph.percent(node.current, of: tree.root.current)
        let size = "\(quantity(node.current)), \(share) of all"
        guard knowsBlocks else { return [size] }
        return [size + ", \(node.currentObjects) blocks" + mean(node.current, node.currentObjects)]
    }

    /// Some profiles have bytes alone.
    private var knowsBlocks: Bool { tree.root.baseObjects > 0 || tree.root.currentObjects > 0 }

    private func mean(_ bytes: Int64, _ blocks: Int64) -> String {
        guard tree.sampleType.unit == "bytes", blocks > 0, bytes > 0 else { return "" }
        return " of \(Quantity.precise(bytes / blocks)) on average"
    }

    /// A value of the graph: bytes, or a number of blocks.
    func quantity(_ value: Int64, signed: Bool = false) -> String {
        if tree.sampleType.unit == "bytes" { return Quantity.precise(value, signed: signed) }
        return (signed && value >= 0 ? "+" : "") + Quantity.grouped(value)
    }
}

/// Both trees of a graph as JSON for the script and for other programs, ready to stand in XML.
///
/// `functions` are [name, short name or 0, file, module], files and modules being indices into `strings`.
/// `tree` and `sites` have a row per frame, outermost first: depth, function, line, how many more lines,
/// kept, grown, shrunk, blocks before, blocks after, flags, standard error, median birth epoch, blocks allocated since
/// the base, those of them that are live; empty is 0, and so is what is missing at the end. Flags: 1 allocation machinery, 2 notable growth, 4 notable shrinkage.
struct FrameData {
    private struct Key: Hashable {
        var name: String
        var file: String
        var module: String
    }

    private let graph: FlameGraph
    private var strings: [String] = []
    private var stringNumbers: [String: Int] = [:]
    private var functions: [String] = []
    private var functionNumbers: [Key: Int] = [:]
    /// Of both trees, as text.
    private var rows: [[UInt8]] = [[], []]

    init(_ graph: FlameGraph, _ words: FrameWords) {
        self.graph = graph
        write(graph.tree.root, words, depth: 0, to: 0)
        write(graph.tree.sites, words, depth: 0, to: 1)
    }

    func json() -> String {
        let ages = graph.ages.sorted { $0.key < $1.key }.map { "\"\($0)\":\(Self.quoted($1))" }
        let fields = [
            "\"format\":\"leakprof-graph-1\"", "\"unit\":\"\(graph.tree.sampleType.unit)\"",
            "\"inUse\":\(Measures(graph.tree.sampleType).isInUse)", "\"elapsed\":\(graph.elapsed)",
            "\"notable\":\(graph.tree.notable)", "\"ages\":{\(ages.joined(separator: ","))}",
            "\"per\":\(graph.divisor.map { $0.json(unit: Self.quoted($0.unit)) } ?? "null")",
            "\"lenses\":[\(graph.lenses.map { Self.quoted($0.rawValue) }.joined(separator: ","))]",
            "\"names\":[\(graph.names.map(Self.quoted).joined(separator: ","))]",
            "\"strings\":[\(strings.map(Self.quoted).joined(separator: ","))]",
            "\"functions\":[\(functions.joined(separator: ","))]",
            "\"tree\":\"\(text(0))\"", "\"sites\":\"\(text(1))\"",
        ]
        return Sanitized.markup("{\(fields.joined(separator: ",\n"))}")
    }

    private func text(_ tree: Int) -> String { String(decoding: rows[tree], as: UTF8.self) }

    private mutating func write(
        _ node: ComparisonTree.Node, _ words: FrameWords, depth: Int, to rows: Int
    ) {
        let flags =
            (node.isMachinery ? 1 : 0) + (node.hasNotableGrowth ? 2 : 0)
            + (node.hasNotableShrinkage ? 4 : 0)
        let values = [
            Int64(depth), Int64(function(of: node, words)), node.frame.line,
            Int64(max(0, node.lines.count - 1)), node.kept, node.grown, node.shrunk,
            node.baseObjects, node.currentObjects, Int64(flags), node.changeError,
            graph.ages[node.medianEpoch] == nil ? 0 : Int64(node.medianEpoch),
            node.newObjects, min(node.newLiveObjects, node.newObjects),
        ]
        let used = values.lastIndex { $0 != 0 } ?? 0
        for (index, value) in values[...used].enumerated() {
            if index > 0 { self.rows[rows].append(UInt8(ascii: ",")) }
            if value != 0 { self.rows[rows] += String(value).utf8 }
        }
        self.rows[rows].append(UInt8(ascii: ";"))
        for child in node.children { write(child, words, depth: depth + 1, to: rows) }
    }

    private mutating func function(of node: ComparisonTree.Node, _ words: FrameWords) -> Int {
        let module = words.module(of: node)
        let key = Key(name: node.frame.function, file: node.frame.file, module: module)
        if let known = functionNumbers[key] { return known }
        let number = functions.count
        functionNumbers[key] = number
        let name = FunctionName(node.frame.function)
        let short = name.short
        functions.append(
            "[\(Self.quoted(name.qualified)),\(short == name.qualified ? "0" : Self.quoted(short)),"
                + "\(string(node.frame.file)),\(string(module))]")
        return number
    }

    private mutating func string(_ text: String) -> Int {
        if let known = stringNumbers[text] { return known }
        stringNumbers[text] = strings.count
        strings.append(text)
        return strings.count - 1
    }

    /// A JSON string of text that is safe to show.
    private static func quoted(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        result.append("\"")
        for scalar in Sanitized.line(text).unicodeScalars {
            if scalar == "\"" || scalar == "\\" { result.append("\\") }
            result.append(scalar)
        }
        result.append("\"")
        return String(result)
    }
}
