package import LeakprofModel

/// What blocks are counted together, as tracemalloc's `key_type`.
package enum GroupBy: String, Sendable, CaseIterable {
    /// The file and line of the site (tracemalloc's `lineno`).
    case line
    /// The function of the site.
    case function
    /// The source file of the site.
    case file
    /// The program or library of the site.
    case module
    /// The whole stack trace (tracemalloc's `traceback`).
    case stack
}

/// What the blocks of one row have in common.
///
/// Compared by names and never by address, so that rows of two runs can be matched.
package struct GroupKey: Sendable, Hashable {
    /// Of the site; empty where the grouping leaves it out or it is unknown.
    package var file: String
    package var line: Int64
    package var function: String
    package var module: String
    /// The stack trace from the site outwards; empty unless stacks are grouped.
    package var stack: [Site]

    init(
        file: String = "", line: Int64 = 0, function: String = "", module: String = "",
        stack: [Site] = []
    ) {
        self.file = file
        self.line = line
        self.function = function
        self.module = module
        self.stack = stack
    }

    /// The key's one-line form: `file:line`, or as much of it as is known.
    package var label: String {
        if !file.isEmpty { return line > 0 ? "\(file):\(line)" : file }
        if !function.isEmpty { return module.isEmpty ? function : "\(function) (\(module))" }
        return module.isEmpty ? "[unknown]" : module
    }

    /// By file, line, function and module, as tracemalloc orders frames; lines are numbers.
    static func < (left: Self, right: Self) -> Bool {
        if left.file != right.file { return left.file < right.file }
        if left.line != right.line { return left.line < right.line }
        if left.function != right.function { return left.function < right.function }
        if left.module != right.module { return left.module < right.module }
        return left.stack.lexicographicallyPrecedes(right.stack) { first, second in
            (first.frame.function, first.frame.file, first.frame.line, first.module)
                < (second.frame.function, second.frame.file, second.frame.line, second.module)
        }
    }
}

extension GroupBy {
    /// The key for blocks whose site is `site`.
    func key(for site: Site) -> GroupKey {
        let frame = site.frame
        let name = FunctionName(frame.function).qualified
        switch self {
        case .line where !frame.file.isEmpty && frame.line > 0:
            return GroupKey(file: frame.file, line: frame.line)
        case .line: return GroupKey(function: name, module: site.module)
        case .stack:
            return GroupKey(file: frame.file, line: frame.line, function: name, module: site.module)
        case .function: return GroupKey(function: name, module: site.module)
        case .file:
            return frame.file.isEmpty
                ? GroupKey(module: site.module) : GroupKey(file: frame.file)
        case .module: return GroupKey(module: site.module)
        }
    }
}

/// Which blocks a report is about.
package struct Filters: Sendable {
    /// Blocks that match none of these are left out, if there are any.
    package var include: [String]
    /// Blocks that match one of these are left out.
    package var exclude: [String]
    /// Whether a pattern may match any frame of the stack, or the site alone.
    package var allFrames: Bool
    /// Blocks born in this epoch or earlier are left out.
    package var bornAfterEpoch: UInt32?

    package init(
        include: [String] = [], exclude: [String] = [], allFrames: Bool = false,
        bornAfterEpoch: UInt32? = nil
    ) {
        self.include = include
        self.exclude = exclude
        self.allFrames = allFrames
        self.bornAfterEpoch = bornAfterEpoch
    }

    /// The snapshot without the blocks that are left out; the snapshot itself when none can be.
    package func applied(to snapshot: Snapshot) -> Snapshot {
        if include.isEmpty, exclude.isEmpty, bornAfterEpoch == nil { return snapshot }
        let frames = StackFrames(snapshot)
        var result = snapshot
        result.samples = snapshot.samples.filter { sample in
            if let epoch = bornAfterEpoch, sample.epoch <= epoch { return false }
            return accepts(frames.sites(of: sample).dropFirst(frames.machineryDepth(of: sample)))
        }
        return result
    }

    /// tracemalloc's rule: inclusive filters are OR-ed, and any exclusive match drops.
    func accepts(_ sites: some Collection<Site>) -> Bool {
        let considered = allFrames ? Array(sites) : Array(sites.prefix(1))
        func matches(_ pattern: String) -> Bool {
            considered.contains { site in
                Glob.matches(site.frame.file, pattern) || Glob.matches(site.module, pattern)
                    || Glob.matches("\(site.frame.file):\(site.frame.line)", pattern)
                    || Glob.matches(FunctionName(site.frame.function).qualified, pattern)
            }
        }
        if !include.isEmpty && !include.contains(where: matches) { return false }
        return !exclude.contains(where: matches)
    }
}

/// Shell patterns as Python's fnmatch knows them: `*` stands for any characters, `?` for one, `[abc]`, `[a-z]` and
/// `[!abc]` for one of, or none of, those.
///
/// A pattern without a slash also matches a path's last component.
enum Glob {
    static func matches(_ text: String, _ pattern: String) -> Bool {
        if matches(Array(text.utf8), Array(pattern.utf8)) { return true }
        return !pattern.contains("/") && text.contains("/")
            && matches(Array(text.lastPathComponent.utf8), Array(pattern.utf8))
    }

    /// Linear but for the last star, which is where it goes back to.
    private static func matches(_ text: [UInt8], _ pattern: [UInt8]) -> Bool {
        var textIndex = 0
        var patternIndex = 0
        var star: (pattern: Int, text: Int)?
        while textIndex < text.count {
            if patternIndex < pattern.count, pattern[patternIndex] == UInt8(ascii: "*") {
                star = (patternIndex + 1, textIndex)
                patternIndex += 1
            } else if patternIndex < pattern.count,
                let next = end(
                    ofCharacterAt: patternIndex, of: pattern, ifMatching: text[textIndex])
            {
                patternIndex = next
                textIndex += 1
            } else if let last = star {
                patternIndex = last.pattern
                textIndex = last.text + 1
                star = (last.pattern, textIndex)
            } else {
                return false
            }
        }
        return pattern[patternIndex...].allSatisfy { $0 == UInt8(ascii: "*") }
    }

    /// Where the pattern goes on behind what stands for one character at `index`; `nil` when that is not `byte`.
    private static func end(
        ofCharacterAt index: Int, of pattern: [UInt8], ifMatching byte: UInt8
    ) -> Int? {
        switch pattern[index] {
        case UInt8(ascii: "?"): return index + 1
        case UInt8(ascii: "["):
            var first = index + 1
            let isNegated = first < pattern.count && pattern[first] == UInt8(ascii: "!")
            if isNegated { first += 1 }
            // A bracket at once is one of the characters; without an end, the first bracket is a character too.
            guard first < pattern.count,
                let last = pattern[(first + 1)...].firstIndex(of: UInt8(ascii: "]"))
            else { fallthrough }
            return set(pattern[first..<last], contains: byte) != isNegated ? last + 1 : nil
        default: return pattern[index] == byte ? index + 1 : nil
        }
    }

    private static func set(_ members: ArraySlice<UInt8>, contains byte: UInt8) -> Bool {
        var rest = members
        while let low = rest.popFirst() {
            guard rest.first == UInt8(ascii: "-"), let high = rest.dropFirst().first else {
                if low == byte { return true }
                continue
            }
            if low <= byte && byte <= high { return true }
            rest = rest.dropFirst(2)
        }
        return false
    }
}
