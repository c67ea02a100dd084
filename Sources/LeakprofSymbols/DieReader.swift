/// Reads a unit's DIEs one after the other, children behind their parents.
///
/// libdw looks everything up anew for each DIE, which takes most of the time where there are millions.
/// This reads only what tells where code lies; for names, and for addresses that lie elsewhere in the
/// file, libdw is asked.
struct DieReader {
    /// What is looked at of a DIE.
    struct Die {
        /// In .debug_info.
        let offset: Int
        var code = Code.none
        /// Addresses of the code, as stated in the file.
        var low: UInt64 = 0
        var high: UInt64 = 0
        /// The DIE this is an instance of, in .debug_info.
        var origin: Int?
        /// Whether it has a name besides that of its origin.
        var hasName = false
        /// Where the call was that is inlined here; the file is a number of the line table.
        var callFile: UInt64?
        var callLine: UInt64 = 0
    }

    /// Where a DIE's code lies.
    enum Code {
        case none
        /// From `low` to before `high`.
        case range
        /// Where libdw says: in several ranges, or the addresses lie elsewhere in the file.
        case elsewhere
    }

    /// What is needed to read a unit's DIEs.
    struct Unit {
        /// .debug_info up to the end of the unit.
        let info: UnsafeRawBufferPointer
        /// Where the unit's header is in it; references count from there.
        let start: Int
        let abbreviations: Abbreviations
        /// The unit's table of addresses, and what follows it.
        let addresses: UnsafeRawBufferPointer
    }

    private let unit: Unit
    private var reader: ByteReader
    /// Of the DIE whose shape was returned last.
    private(set) var offset: Int

    /// Begins at the DIE at `offset` of .debug_info.
    init(_ unit: Unit, from offset: Int) {
        self.unit = unit
        self.offset = offset
        reader = ByteReader(unit.info, from: offset)
    }

    /// The shape of the next DIE, or ``Abbreviations/Shape/end``; `nil` at the end of the unit, and where
    /// it is damaged.
    ///
    /// The attributes have to be read or skipped before the next call.
    mutating func next() -> Abbreviations.Shape? {
        offset = reader.offset
        let code = reader.leb128()
        guard !reader.isExhausted else { return nil }
        guard code != 0 else { return .end }
        guard code < UInt64(unit.abbreviations.shapes.count) else { return nil }
        return unit.abbreviations.shapes[Int(code)]
    }

    /// Skips the attributes of the DIE.
    ///
    /// When one can't be skipped, the next DIE can't be read.
    mutating func skipAttributes(of shape: Abbreviations.Shape) {
        reader.skip(UInt64(shape.fixedBytes))
        for index in shape.skips { skip(unit.abbreviations.skips[index]) }
    }

    /// Skips the children of the DIE whose attributes were read or skipped.
    mutating func skipChildren() {
        var depth = 1
        while depth > 0, let shape = next() {
            skipAttributes(of: shape)
            depth += shape.tag == Abbreviations.Shape.end.tag ? -1 : shape.hasChildren ? 1 : 0
        }
    }

    /// Reads the attributes of the DIE.
    mutating func readAttributes(of shape: Abbreviations.Shape) -> Die {
        var die = Die(offset: offset)
        var length: UInt64 = 0
        for index in shape.attributes {
            let attribute = unit.abbreviations.attributes[index]
            if attribute.role == .none {
                skip(attribute.encoding)
                continue
            }
            let value = read(attribute.encoding)
            switch attribute.role {
            case .none: break
            case .lowAddress: die.low = value
            case .lowAddressIndex: die.low = address(value)
            case .highAddress: die.high = value
            case .length: length = value
            case .elsewhere: die.code = .elsewhere
            case .originInUnit: die.origin = unit.start &+ Int(truncatingIfNeeded: value)
            case .originInFile: die.origin = Int(truncatingIfNeeded: value)
            case .name: die.hasName = true
            case .callFile: die.callFile = value
            case .callLine: die.callLine = value
            }
        }
        if length != 0 { die.high = die.low &+ length }
        if die.code == .none, die.low < die.high { die.code = .range }
        return die
    }

    /// An address of the unit's table; 0 when it is not there.
    private func address(_ index: UInt64) -> UInt64 {
        let bytes = unit.abbreviations.format.addressBytes
        guard index < UInt64(unit.addresses.count / bytes) else { return 0 }
        var reader = ByteReader(unit.addresses, from: Int(index) * bytes)
        return reader.number(bytes: bytes)
    }

    /// Reads a value; what is no number is 0.
    private mutating func read(_ encoding: DieAttribute.Encoding) -> UInt64 {
        switch encoding {
        case .fixed(let bytes) where bytes <= 8: return reader.number(bytes: bytes)
        case .leb128: return reader.leb128()
        case .constant(let value): return value
        default:
            skip(encoding)
            return 0
        }
    }

    private mutating func skip(_ encoding: DieAttribute.Encoding) {
        switch encoding {
        case .fixed(let bytes): reader.skip(UInt64(bytes))
        case .leb128: _ = reader.leb128()
        case .text: reader.skipText()
        case .block(let lengthBytes):
            reader.skip(lengthBytes == 0 ? reader.leb128() : reader.number(bytes: lengthBytes))
        case .constant: break
        case .indirect:
            let encoding = DieAttribute.encoding(
                of: reader.leb128(), constant: 0, unit.abbreviations.format)
            if let encoding, encoding != .indirect { skip(encoding) } else { reader.exhaust() }
        }
    }
}
