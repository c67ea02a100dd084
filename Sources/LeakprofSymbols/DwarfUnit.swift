internal import CElfutils
internal import Glibc

/// One compilation unit's functions with the calls inlined into them, read once and then searched.
///
/// Walking a unit costs about as much as one dwarf_getscopes(3), which does it for every address.
final class DwarfUnit {
    /// A function, or a call inlined into the node's parent.
    private struct Scope {
        var die: Dwarf_Die
        var isInlined: Bool
        var children: [Int] = []
    }

    private struct Range {
        var low: UInt64
        var high: UInt64
        var scope: Int
    }

    private var unit: Dwarf_Die
    /// Where the compiler ran: what relative paths are relative to.
    private let directory: String
    private var scopes: [Scope] = []
    /// Of functions; sorted by address once all are read.
    private var functionRanges: [Range] = []
    /// Of inlined calls, by scope.
    private var inlinedRanges: [Int: [(low: UInt64, high: UInt64)]] = [:]

    /// A function's names and place, as its debug information states them.
    struct Function {
        var linkageName: String
        var name: String
        var declarationLine: Int64
    }

    /// An instance of a function at an address.
    struct Instance {
        var function: Function
        var file: String
        var line: Int64
    }

    init(unit: Dwarf_Die) {
        self.unit = unit
        var die = unit
        var found = Dwarf_Attribute()
        directory =
            dwarf_attr(&die, UInt32(DW_AT_comp_dir), &found).flatMap { dwarf_formstring($0) }
            .map { String(cString: $0) } ?? ""
        collect(childrenOf: unit, parent: nil, depth: 0)
        functionRanges.sort { ($0.low, $1.high) < ($1.low, $0.high) }
    }

    /// DIE trees nest as deep as source code does; one from elsewhere may nest without end.
    private static let depthLimit = 256

    private func collect(childrenOf parentDie: Dwarf_Die, parent: Int?, depth: Int) {
        guard depth < Self.depthLimit else { return }
        var parentDie = parentDie
        var die = Dwarf_Die()
        guard dwarf_child(&parentDie, &die) == 0 else { return }
        repeat {
            switch Int(dwarf_tag(&die)) {
            case Int(DW_TAG_subprogram):
                let scope = add(die, isInlined: false)
                for range in Self.ranges(of: die) {
                    functionRanges.append(Range(low: range.low, high: range.high, scope: scope))
                }
                collect(childrenOf: die, parent: scope, depth: depth + 1)
            case Int(DW_TAG_inlined_subroutine):
                guard let parent else { continue }
                let scope = add(die, isInlined: true)
                inlinedRanges[scope] = Self.ranges(of: die)
                scopes[parent].children.append(scope)
                collect(childrenOf: die, parent: scope, depth: depth + 1)
            case Int(DW_TAG_lexical_block), Int(DW_TAG_try_block), Int(DW_TAG_catch_block),
                Int(DW_TAG_namespace), Int(DW_TAG_module), Int(DW_TAG_class_type),
                Int(DW_TAG_structure_type), Int(DW_TAG_union_type):
                collect(childrenOf: die, parent: parent, depth: depth + 1)
            default: break
            }
        } while Self.advance(&die)
    }

    /// Moves to the next sibling; false at the last one.
    private static func advance(_ die: inout Dwarf_Die) -> Bool {
        var next = Dwarf_Die()
        guard dwarf_siblingof(&die, &next) == 0 else { return false }
        die = next
        return true
    }

    private func add(_ die: Dwarf_Die, isInlined: Bool) -> Int {
        scopes.append(Scope(die: die, isInlined: isInlined))
        return scopes.count - 1
    }

    /// The address ranges of a DIE's code, as stated in the file.
    static func ranges(of die: Dwarf_Die) -> [(low: UInt64, high: UInt64)] {
        var die = die
        var ranges: [(low: UInt64, high: UInt64)] = []
        var base: Dwarf_Addr = 0
        var low: Dwarf_Addr = 0
        var high: Dwarf_Addr = 0
        var offset = 0
        while true {
            offset = dwarf_ranges(&die, offset, &base, &low, &high)
            guard offset > 0 else { return ranges }
            if low < high { ranges.append((low, high)) }
        }
    }

    /// The instances at a stated address, innermost inlined call first; empty when no function of the unit
    /// contains it.
    func instances(at address: UInt64) -> [Instance] {
        guard var scope = function(at: address) else { return [] }
        var chain = [scope]
        while let inner = scopes[scope].children.first(where: { contains($0, address) }) {
            chain.append(inner)
            scope = inner
        }
        var (file, line) = sourceLine(at: address)
        var instances: [Instance] = []
        for scope in chain.reversed() {
            let function = Self.describe(scopes[scope].die)
            instances.append(Instance(function: function, file: file, line: line))
            // Where this call was inlined is where its caller is.
            if scopes[scope].isInlined { (file, line) = callSite(of: scopes[scope].die) }
        }
        return instances
    }

    /// The file and line of a stated address; empty and 0 when the line table does not say.
    func sourceLine(at address: UInt64) -> (file: String, line: Int64) {
        guard let entry = dwarf_getsrc_die(&unit, address) else { return ("", 0) }
        var line: Int32 = 0
        dwarf_lineno(entry, &line)
        let file = dwarf_linesrc(entry, nil, nil).map { String(cString: $0) } ?? ""
        return (absolute(file), Int64(max(0, line)))
    }

    /// The smallest function range around the address.
    private func function(at address: UInt64) -> Int? {
        var low = 0
        var high = functionRanges.count
        while low < high {
            let middle = (low + high) / 2
            if functionRanges[middle].low <= address { low = middle + 1 } else { high = middle }
        }
        // Functions rarely overlap; those nested in others start later and are met first.
        for range in functionRanges[..<low].suffix(8).reversed() where address < range.high {
            return range.scope
        }
        return nil
    }

    private func contains(_ scope: Int, _ address: UInt64) -> Bool {
        inlinedRanges[scope]?.contains { $0.low <= address && address < $0.high } ?? false
    }

    private func callSite(of die: Dwarf_Die) -> (file: String, line: Int64) {
        let line = Self.number(DW_AT_call_line, of: die) ?? 0
        guard let index = Self.number(DW_AT_call_file, of: die) else { return ("", line) }
        var files: OpaquePointer?
        guard dwarf_getsrcfiles(&unit, &files, nil) == 0,
            let name = dwarf_filesrc(files, Int(index), nil, nil)
        else { return ("", line) }
        return (absolute(String(cString: name)), line)
    }

    private func absolute(_ path: String) -> String {
        // "<compiler-generated>", "<artificial>": no file at all.
        if path.hasPrefix("<") { return "" }
        let isRelative = !path.hasPrefix("/") && !path.isEmpty && !directory.isEmpty
        return SourcePath.normalized(isRelative ? directory + "/" + path : path)
    }

    private static func number(_ attribute: Int, of die: Dwarf_Die) -> Int64? {
        var die = die
        var found = Dwarf_Attribute()
        var value: Dwarf_Word = 0
        guard dwarf_attr(&die, UInt32(attribute), &found) != nil,
            dwarf_formudata(&found, &value) == 0
        else { return nil }
        return Int64(clamping: value)
    }

    /// The names of a function DIE; what it leaves to its declaration or origin is followed there.
    private static func describe(_ die: Dwarf_Die) -> Function {
        var die = die
        var found = Dwarf_Attribute()
        var linkageName = ""
        for attribute in [DW_AT_linkage_name, DW_AT_MIPS_linkage_name]
        where dwarf_attr_integrate(&die, UInt32(attribute), &found) != nil {
            if let text = dwarf_formstring(&found) { linkageName = String(cString: text) }
            break
        }
        var line: Int32 = 0
        dwarf_decl_line(&die, &line)
        return Function(
            linkageName: linkageName, name: dwarf_diename(&die).map { String(cString: $0) } ?? "",
            declarationLine: Int64(max(0, line)))
    }
}

/// Paths in debug information.
enum SourcePath {
    /// The path without `.` and `..` components.
    ///
    /// Compilers leave them in when a build names files relative to its directory. Symlinks are not
    /// looked at.
    static func normalized(_ path: String) -> String {
        guard path.contains("./") || path.contains("//") else { return path }
        var parts: [Substring] = []
        for part in path.split(separator: "/") {
            if part == "." { continue }
            if part == ".." && (parts.last.map { $0 != ".." } ?? path.hasPrefix("/")) {
                _ = parts.popLast()
            } else {
                parts.append(part)
            }
        }
        return (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
    }
}
