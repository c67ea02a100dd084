internal import LeakprofModel

/// Which line each instruction of a Python code object belongs to, as CPython keeps it: `co_lnotab`, later
/// `co_linetable`.
///
/// Takes any bytes: what does not make sense gives wrong lines or none. Reading the table takes time and
/// memory in proportion to its length, and a line found in it a logarithm of that; make one per code object.
package struct PythonLineTable: Sendable {
    /// How the bytes are to be read; CPython's version decides it.
    package enum Layout: Sendable, CaseIterable {
        /// 3.8 and 3.9: where the next line begins.
        case lnotab
        /// 3.10: ranges of bytecode, each with its line.
        case ranges
        /// 3.11 and newer: ranges with lines and columns.
        case locations
    }

    /// The instructions up to `end` and after the previous run.
    private struct Run {
        /// In bytes, exclusive.
        var end: UInt32
        /// 0 for code that belongs to no line.
        var line: Int32
    }

    private let firstLine: Int32
    /// Of instructions behind the last run.
    private let lineBehind: Int32
    /// By end; each end is greater than the one before.
    private let runs: [Run]

    /// Reads a table.
    ///
    /// - Parameters:
    ///   - layout: How to read it.
    ///   - bytes: The contents of `co_lnotab` or `co_linetable`.
    ///   - firstLine: `co_firstlineno`.
    package init(layout: Layout, bytes: some Sequence<UInt8>, firstLine: Int64) {
        var reader = Reader(bytes: bytes.makeIterator(), line: firstLine)
        switch layout {
        case .lnotab: reader.readLnotab()
        case .ranges: reader.readRanges()
        case .locations: reader.readLocations()
        }
        runs = reader.runs
        self.firstLine = Self.representable(firstLine)
        // The last line begun in an lnotab goes on to the end of the code, which the table does not say.
        lineBehind = layout == .lnotab ? Self.representable(reader.line) : 0
    }

    /// The line of an instruction, from 1.
    ///
    /// - Parameter offset: In bytes into the bytecode; a negative one means that the code has not begun to run.
    /// - Returns: The line; 0 where the table has none.
    package func line(at offset: Int) -> Int64 {
        guard offset >= 0 else { return Int64(firstLine) }
        var low = 0
        var high = runs.count
        while low < high {
            let middle = low + (high - low) / 2
            if Int(runs[middle].end) > offset { high = middle } else { low = middle + 1 }
        }
        return Int64(low < runs.count ? runs[low].line : lineBehind)
    }

    private static func representable(_ line: Int64) -> Int32 {
        line > 0 ? Int32(exactly: line) ?? 0 : 0
    }

    /// Goes through a table once.
    ///
    /// Ends saturate and lines wrap, so nothing that a table can say is an overflow.
    private struct Reader<Bytes: IteratorProtocol<UInt8>> {
        var bytes: Bytes
        var line: Int64
        var end: UInt32 = 0
        var runs: [Run] = []

        /// Pairs: how far the next line begins, and by how much it is another.
        ///
        /// Longer ways are several pairs, the first of which have no bytes or no lines.
        mutating func readLnotab() {
            while let length = bytes.next(), let delta = bytes.next() {
                add(length: UInt32(length), line: line)
                line &+= Int64(Int8(bitPattern: delta))
            }
        }

        /// Pairs: the length of a range, and by how much its line is another than the last range's.
        mutating func readRanges() {
            while let length = bytes.next(), let delta = bytes.next() {
                let delta = Int8(bitPattern: delta)
                if delta == .min {
                    add(length: UInt32(length), line: 0)
                } else {
                    line &+= Int64(delta)
                    add(length: UInt32(length), line: line)
                }
            }
        }

        /// Entries of a first byte, the only one with the top bit set, and what its code says is to follow.
        mutating func readLocations() {
            var next = bytes.next()
            while let first = next {
                next = bytes.next()
                // An entry begins with a set top bit; without one this is the rest of the entry before.
                guard first & 0x80 != 0 else { continue }
                let length = (UInt32(first & 7) + 1) * 2
                switch first >> 3 & 15 {
                case 15:
                    add(length: length, line: 0)
                case 13, 14:
                    line &+= signedNumber(&next)
                    add(length: length, line: line)
                case let code:
                    // 10 to 12 are so many lines further, less ten; below, the line is the same.
                    line &+= max(Int64(code) - 10, 0)
                    add(length: length, line: line)
                }
            }
        }

        /// Six bits a byte, the lowest first, a seventh says that more follow; the lowest bit of all is the sign.
        ///
        /// Bits that no line has room for are dropped, and so is what an entry's end cuts off.
        private mutating func signedNumber(_ next: inout UInt8?) -> Int64 {
            var value: Int64 = 0
            var shift: Int64 = 0
            while let byte = next, byte & 0x80 == 0 {
                if shift <= 36 { value |= Int64(byte & 63) << shift }
                shift = min(shift + 6, 42)
                next = bytes.next()
                if byte & 64 == 0 { break }
            }
            return value & 1 == 0 ? value >> 1 : -(value >> 1)
        }

        private mutating func add(length: UInt32, line: Int64) {
            end = end.saturatingAdd(length)
            let line = PythonLineTable.representable(line)
            if let last = runs.indices.last, runs[last].line == line {
                runs[last].end = end
            } else if end > runs.last?.end ?? 0 {
                runs.append(Run(end: end, line: line))
            }
        }
    }
}
