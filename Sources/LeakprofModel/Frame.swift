/// One function instance on a stack trace, after symbolization.
package struct Frame: Sendable, Hashable {
    /// The readable, demangled name; never empty.
    package var function: String
    /// The name as the symbol table has it; empty when it is the same.
    package var systemName: String
    /// The source file's path as the compiler recorded it; empty when unknown.
    package var file: String
    /// The line of the call or instruction, from 1; 0 when unknown.
    package var line: Int64
    /// The line the function starts at; 0 when unknown.
    package var startLine: Int64

    package init(
        function: String, systemName: String = "", file: String = "", line: Int64 = 0,
        startLine: Int64 = 0
    ) {
        self.function = function
        self.systemName = systemName
        self.file = file
        self.line = line
        self.startLine = startLine
    }
}

/// A code address on a stack trace, with the frames that are inlined there.
package struct Location: Sendable, Hashable {
    /// The runtime address to look up; 0 for a placeholder.
    ///
    /// For a return address it is the byte before, which belongs to the call: the return address
    /// itself may already be the next function's.
    package var address: UInt64
    /// Index into ``Snapshot/mappings``; `nil` for code outside of any file, and for placeholders.
    package var mapping: Int?
    /// Innermost inlined function first, the function that contains the code last.
    ///
    /// Empty before symbolization, never after.
    package var frames: [Frame]

    package init(address: UInt64, mapping: Int? = nil, frames: [Frame] = []) {
        self.address = address
        self.mapping = mapping
        self.frames = frames
    }
}

/// Stands where a stack trace says less than it should, or may do so.
package enum Placeholder: String, Sendable, CaseIterable {
    /// The root end of a trace that is deeper than the depth limit.
    case cutAtDepth = "[stack cut: depth limit]"
    /// The root end of a trace that reaches code without unwind information.
    case cutAtUnwind = "[stack cut: no unwind information]"
    /// Between a frame whose code has no unwind information and a caller that its frame pointer led to.
    case guessed = "[frames may be missing: no unwind information]"
    /// The only frame of blocks counted without a trace, because the stack table was full.
    case noStack = "[no stack: stack table full]"
    /// A Python frame whose code object there was no room to describe.
    case unknownPython = "[python function: no room for its name]"
    /// A record the reader could not make sense of.
    case damaged = "[stack damaged]"

    /// The location that stands for it in a snapshot.
    package var location: Location { Location(address: 0, frames: [Frame(function: rawValue)]) }
}

extension Frame {
    /// The most bytes a name or a path may have; longer ones are cut.
    ///
    /// Template arguments can make names of megabytes, which nobody reads and every report carries.
    package static let nameLimit = 4096

    /// The frame for an address nothing is known about but the file it lies in: `name+0xoffset`, the
    /// offset counted from the start of the mapping; the bare address outside of any file.
    package static func unsymbolized(address: UInt64, in mapping: Mapping?) -> Frame {
        guard let mapping, address >= mapping.start else {
            return Frame(function: "0x" + String(address, radix: 16))
        }
        let offset = String(address - mapping.start, radix: 16)
        return Frame(function: "\(mapping.name)+0x\(offset)")
    }
}
