internal import LeakprofAnalysis
package import LeakprofModel

/// A snapshot as `ms_print` and massif-visualizer read it: the text that valgrind's massif writes.
///
/// It has one snapshot, of the kind massif calls peak, with all stacks from the sites outwards; nothing is
/// below a threshold.
package enum MassifReport {
    /// - Parameters:
    ///   - snapshot: Whatever it is from.
    ///   - sampleType: ``SampleType/inuseSpace`` or ``SampleType/allocSpace``; massif counts bytes.
    ///   - tool: The name and version of the program that writes.
    /// - Returns: The file; the same bytes for the same snapshot.
    package static func bytes(
        of snapshot: Snapshot, sampleType: SampleType = .inuseSpace, tool: String
    ) -> [UInt8] {
        let tree = MassifTree(snapshot, sampleType)
        let arguments = snapshot.facts.process?.arguments.joined(separator: " ") ?? ""
        let command = arguments.isEmpty ? "(unknown)" : Sanitized.line(arguments)
        var lines = [
            "desc: \(Sanitized.line(tool))", "cmd: \(command)", "time_unit: ms",
            "#-----------", "snapshot=0", "#-----------",
            "time=\(max(0, snapshot.facts.duration) / 1_000_000)",
            "mem_heap_B=\(tree.total)", "mem_heap_extra_B=0", "mem_stacks_B=0", "heap_tree=peak",
        ]
        tree.write(to: &lines)
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }
}

/// Stacks from the site outwards, as far as they are the same.
private struct MassifTree {
    /// Callers further out are left away, as by massif's own `--depth`, which goes up to this: a line is
    /// indented by its depth.
    private static let depthLimit = 200

    private struct Node {
        var label: String
        var bytes: Int64 = 0
        var children: [String: Int] = [:]
    }

    /// The first is the root.
    private var nodes = [
        Node(label: "(heap allocation functions) malloc/new/new[], --alloc-fns, etc.")
    ]

    var total: Int64 { nodes[0].bytes }

    init(_ snapshot: Snapshot, _ type: SampleType) {
        let frames = StackFrames(snapshot)
        let addresses = snapshot.locations.map { "0x" + String($0.address, radix: 16) }
        for sample in snapshot.samples where sample.counts[type] > 0 {
            let owners = sample.stack.flatMap { index in
                snapshot.locations[index].frames.map { _ in addresses[index] }
            }
            let sites = frames.sites(of: sample)
            let machinery = frames.machineryDepth(of: sample)
            let labels = zip(owners, sites).dropFirst(machinery).prefix(Self.depthLimit).map {
                "\($0): \(Self.label($1))"
            }
            add(labels, sample.counts[type])
        }
    }

    private static func label(_ site: Site) -> String {
        let frame = site.frame
        let name = FunctionName(frame.function).qualified
        if !frame.file.isEmpty {
            return Sanitized.line("\(name) (\(frame.file.lastPathComponent):\(frame.line))")
        }
        return Sanitized.line(site.module.isEmpty ? name : "\(name) (in \(site.module))")
    }

    private mutating func add(_ labels: [String], _ bytes: Int64) {
        var node = 0
        nodes[0].bytes = nodes[0].bytes.saturatingAdd(bytes)
        for label in labels {
            let child = nodes[node].children[label] ?? nodes.count
            if child == nodes.count {
                nodes[node].children[label] = child
                nodes.append(Node(label: label))
            }
            nodes[child].bytes = nodes[child].bytes.saturatingAdd(bytes)
            node = child
        }
    }

    /// Depth first, the largest child first.
    func write(to lines: inout [String]) {
        var open = [(node: 0, depth: 0)]
        while let (index, depth) = open.popLast() {
            let node = nodes[index]
            let indentation = String(repeating: " ", count: depth)
            lines.append("\(indentation)n\(node.children.count): \(node.bytes) \(node.label)")
            let ordered = node.children.values.sorted {
                (nodes[$1].bytes, nodes[$0].label) < (nodes[$0].bytes, nodes[$1].label)
            }
            for child in ordered.reversed() { open.append((child, depth + 1)) }
        }
    }
}
