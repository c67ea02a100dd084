/// How long a Swift name's readable form may become, found out without demangling it.
///
/// `A` and a letter stand for a type named before. When each of them stands for two of the one before, a
/// name of 300 characters is one of 10^15, and the runtime's demangler can't be stopped.
struct SwiftName {
    /// Where the name is cut; a few times as long as any that somebody wrote.
    private static let limit = 1 << 22
    /// As much as one operator or standard type comes to.
    private static let operatorCost = 16

    private let bytes: [UInt8]
    private var index = 0
    /// No less than what was read so far comes to.
    private var cost = 0
    /// No less than what a substitution stands for, which was read before it was first referred to.
    private var substitutions: [Int: Int] = [:]

    static func isSwift(_ name: String) -> Bool {
        ["$s", "_$s", "$S", "_$S", "$e", "_T0"].contains { name.hasPrefix($0) }
    }

    /// Whether it is known to be short enough to demangle.
    static func isShort(_ name: String) -> Bool {
        var reader = SwiftName(bytes: Array(name.utf8))
        while reader.index < reader.bytes.count, reader.cost <= limit { reader.readOne() }
        return reader.cost <= limit
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private mutating func readOne() {
        cost += Self.operatorCost
        let byte = bytes[index]
        if Self.isDigit(byte) {
            readIdentifier()
        } else if byte == UInt8(ascii: "A") {
            index += 1
            readSubstitutions()
        } else if byte == UInt8(ascii: "S") {
            index += 1
            // "S3i": three of a standard type.
            if let count = takeNumber() { add(Self.operatorCost, times: count) }
        } else {
            index += 1
        }
    }

    /// A length and as many characters, which are no operators.
    private mutating func readIdentifier() {
        // The number of an optimizer's pass is one digit: "Tf4".
        let isPass =
            index >= 2 && bytes[index - 2] == UInt8(ascii: "T") && !Self.isDigit(bytes[index - 1])
        if isPass {
            index += 1
            return
        }
        if bytes[index] == UInt8(ascii: "0") {
            // Words of earlier identifiers, the last one as a capital letter, and the rest.
            index += 1
            while index < bytes.count, Self.isLetter(bytes[index]) {
                index += 1
                cost += Self.operatorCost
                if bytes[index - 1] < UInt8(ascii: "a") { break }
            }
            return
        }
        guard let length = takeNumber(), index < bytes.count else { return }
        let end = min(index + length, bytes.count)
        if bytes[index] == UInt8(ascii: "_") {
            // Either an index, which ends here, or an identifier; "33_" and 32 digits is the hash of a file.
            let isHash = bytes[index..<end].dropFirst().allSatisfy {
                Self.isDigit($0) || (UInt8(ascii: "A")...UInt8(ascii: "F")).contains($0)
            }
            guard isHash else { return }
            // Half of the digits might be substitutions after all, but nothing that makes more of them.
            add(cost, times: length / 2)
        }
        cost += length
        index = end
    }

    /// Letters up to a capital one, each with the number of times it stands there.
    private mutating func readSubstitutions() {
        while index < bytes.count {
            let count = takeNumber()
            guard index < bytes.count else { return }
            let byte = bytes[index]
            index += 1
            guard Self.isLetter(byte) else {
                // The 27th and later ones are a number and an underscore.
                if byte == UInt8(ascii: "_") {
                    refer(to: 27 + (count.map { $0 + 1 } ?? 0), times: 1)
                }
                return
            }
            refer(to: Int(byte & 0x1f), times: count ?? 1)
            if byte < UInt8(ascii: "a") { return }
        }
    }

    private mutating func refer(to substitution: Int, times: Int) {
        let size = substitutions[substitution] ?? cost
        substitutions[substitution] = size
        add(size, times: times)
    }

    private mutating func add(_ size: Int, times: Int) {
        let (product, overflow) = size.multipliedReportingOverflow(by: times)
        cost = overflow || product > Self.limit ? Self.limit + 1 : cost + product
    }

    private mutating func takeNumber() -> Int? {
        var number: Int?
        while index < bytes.count, Self.isDigit(bytes[index]) {
            number = min((number ?? 0) * 10 + Int(bytes[index] - UInt8(ascii: "0")), 1 << 20)
            index += 1
        }
        return number
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }
}
