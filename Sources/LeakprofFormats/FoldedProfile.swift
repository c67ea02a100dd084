internal import LeakprofModel
internal import LeakprofPprof

/// Folded stacks, `outermost;…;leaf BYTES` per line, of heaptrack_print, flamegraph.pl's collapsers and leakprof.
///
/// The format is described at the top of https://github.com/brendangregg/FlameGraph/blob/master/flamegraph.pl.
/// Values are taken for bytes in use: the text does not say what they are.
enum FoldedProfile {
    /// Whether it is text whose first lines end in a number.
    static func recognizes(_ bytes: [UInt8]) -> Bool {
        guard !bytes.contains(where: { $0 < 0x20 && ![0x09, 0x0a, 0x0d].contains($0) }) else {
            return false
        }
        let lines = TextLines(bytes).lazy.filter { !isPassedOver($0) }.prefix(3)
        var count = 0
        for line in lines {
            guard split(line) != nil else { return false }
            count += 1
        }
        return count > 0
    }

    static func decode(_ bytes: [UInt8]) throws(ProfileError) -> Snapshot {
        var assembler = StackAssembler()
        var hasOneValue = false
        for (number, line) in TextLines(bytes).enumerated() where !isPassedOver(line) {
            guard let (stack, value) = split(line) else {
                throw .inconsistent("line \(number + 1) does not end in a number")
            }
            if split(stack) == nil { hasOneValue = true }
            try assembler.add(
                try locations(stack, &assembler), AllocationCounts(inuseSpace: value))
        }
        // A function whose name ends in a number is possible; that all do is not.
        guard hasOneValue else {
            throw .inconsistent("its lines have two values: it is a comparison, not a snapshot")
        }
        return assembler.snapshot
    }

    private static func isPassedOver(_ line: ArraySlice<UInt8>) -> Bool {
        line.isEmpty || line.first == UInt8(ascii: "#")
    }

    /// Stack and value; `nil` when the line does not end in a number.
    private static func split(
        _ line: ArraySlice<UInt8>
    ) -> (stack: ArraySlice<UInt8>, value: Int64)? {
        guard let space = line.lastIndex(of: UInt8(ascii: " ")), space > line.startIndex,
            let value = Int64(String(decoding: line[(space + 1)...], as: UTF8.self))
        else { return nil }
        return (line[..<space], value)
    }

    private static func locations(
        _ stack: ArraySlice<UInt8>, _ assembler: inout StackAssembler
    ) throws(ProfileError) -> [Int] {
        var locations: [Int] = []
        for frame in stack.split(separator: UInt8(ascii: ";")) {
            locations.append(
                try assembler.location(
                    of: Frame(text: String(decoding: frame, as: UTF8.self))))
        }
        return locations.reversed()
    }
}
