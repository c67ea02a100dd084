internal import CElfutils

/// One compilation unit's functions with the calls inlined into them.
///
/// The functions are read all at once, the calls inlined into one when an address in it is looked up.
/// dwarf_getscopes(3) walks the unit for every address, and takes for one about as long as this for all.
final class DwarfUnit {
    private struct FunctionRange {
        var low: UInt64
        var high: UInt64
        /// The function's DIE in .debug_info.
        var function: Int
    }

    private let information: DebugInformation
    private let dies: DieReader.Unit
    /// By address.
    private let functionRanges: [FunctionRange]
    private var inlineTrees: [Int: InlineTree] = [:]
    private var lines: LineTable

    /// An instance of a function at an address.
    struct Instance {
        /// The DIE that its names and place can be had from, and for which function they are the same.
        var die: Int
        var function: Int
        var file: String
        var line: Int64
    }

    init(_ place: DebugInformation.UnitPlace, of information: DebugInformation) {
        self.information = information
        dies = information.dies(of: place)
        lines = LineTable(of: place, in: information)
        functionRanges = Self.readFunctions(
            DieReader(dies, from: Int(clamping: place.firstDie)), of: information)
    }

    /// The ranges of all functions, nested ones and those in classes and namespaces too.
    private static func readFunctions(
        _ start: DieReader, of information: DebugInformation
    ) -> [FunctionRange] {
        var reader = start
        var functions: [FunctionRange] = []
        // The tree's shape does not matter here, so the ends of children are passed over.
        while let shape = reader.next() {
            guard shape.tag == DW_TAG_subprogram, shape.hasCode else {
                reader.skipAttributes(of: shape)
                continue
            }
            let die = reader.readAttributes(of: shape)
            switch die.code {
            case .none: break
            case .range:
                functions.append(FunctionRange(low: die.low, high: die.high, function: die.offset))
            case .elsewhere:
                for (low, high) in information.ranges(ofDieAt: Dwarf_Off(die.offset)) {
                    functions.append(FunctionRange(low: low, high: high, function: die.offset))
                }
            }
        }
        return functions.sorted { ($0.low, $1.high) < ($1.low, $0.high) }
    }

    /// The instances at a stated address, innermost inlined call first; empty when no function of the unit
    /// contains it.
    func instances(at address: UInt64) -> [Instance] {
        guard let function = function(at: address) else { return [] }
        var (file, line) = lines.place(of: address)
        var instances: [Instance] = []
        for call in inlineTree(of: function).calls(at: address).reversed() {
            instances.append(
                Instance(die: call.die, function: call.function, file: file, line: line))
            // Where this call was inlined is where its caller is.
            file = call.file.map { lines.path(ofFile: $0) } ?? ""
            line = Int64(clamping: call.line)
        }
        instances.append(Instance(die: function, function: function, file: file, line: line))
        return instances
    }

    /// The file and line of a stated address; empty and 0 when the line table does not say.
    func sourceLine(at address: UInt64) -> (file: String, line: Int64) { lines.place(of: address) }

    /// The DIE of the smallest function around the address.
    private func function(at address: UInt64) -> Int? {
        let following = functionRanges.firstIndex(sortedBy: { address < $0.low })
        // Functions rarely overlap; those nested in others start later and are met first.
        for range in functionRanges[..<following].suffix(8).reversed() where address < range.high {
            return range.function
        }
        return nil
    }

    private func inlineTree(of function: Int) -> InlineTree {
        if let known = inlineTrees[function] { return known }
        let tree = InlineTree(of: DieReader(dies, from: function), in: information)
        inlineTrees[function] = tree
        return tree
    }
}
