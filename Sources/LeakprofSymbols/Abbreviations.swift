/// A unit's abbreviation table: how its DIEs lie in the file.
struct Abbreviations {
    /// One kind of DIE.
    struct Shape {
        let tag: UInt16
        let hasChildren: Bool
        /// Whether an attribute says where code lies.
        let hasCode: Bool
        /// Indices into ``attributes``.
        let attributes: Range<Int>
        /// To pass over the attributes: so many bytes, and then what ``skips`` has at these indices.
        let fixedBytes: Int
        let skips: Range<Int>

        /// What ends a parent's children, and is no DIE.
        static let end = Shape(
            tag: 0, hasChildren: false, hasCode: false, attributes: 0..<0, fixedBytes: 0,
            skips: 0..<0)
    }

    let format: DieAttribute.Format
    /// By abbreviation code; codes count from 1, and no compiler leaves many out.
    private(set) var shapes: [Shape?] = [nil]
    private(set) var attributes: [DieAttribute] = []
    /// The same, without those of fixed size at a DIE's start; others of fixed size in a row are one.
    private(set) var skips: [DieAttribute.Encoding] = []

    /// A code may be this many times as high as the number of abbreviations before it, or ``firstCodesLimit``.
    private static let codeSpread = 16
    private static let firstCodesLimit = 1024

    /// Reads the table at `offset` of .debug_abbrev.
    ///
    /// What is damaged ends the table, and so do more than `attributesLimit` attributes: DIEs that need the
    /// rest can't be read.
    init(
        _ section: UnsafeRawBufferPointer, at offset: Int, format: DieAttribute.Format,
        attributesLimit: Int
    ) {
        self.format = format
        var reader = ByteReader(section, from: offset)
        var count = 0
        while attributes.count < attributesLimit {
            let code = reader.leb128()
            count += 1
            guard code != 0, code <= UInt64(max(Self.firstCodesLimit, count * Self.codeSpread))
            else {
                return
            }
            let tag = UInt16(truncatingIfNeeded: reader.leb128())
            let hasChildren = reader.number(bytes: 1) != 0
            let first = attributes.count
            guard addAttributes(from: &reader) else { return }
            let firstSkip = skips.count
            let fixedBytes = addSkips(of: attributes[first...])
            while shapes.count <= Int(code) { shapes.append(nil) }
            shapes[Int(code)] = Shape(
                tag: tag, hasChildren: hasChildren,
                hasCode: attributes[first...].contains { $0.role.isOfCode },
                attributes: first..<attributes.count, fixedBytes: fixedBytes,
                skips: firstSkip..<skips.count)
        }
    }

    /// Adds the attributes of one abbreviation; false when it can't be used.
    private mutating func addAttributes(from reader: inout ByteReader) -> Bool {
        while true {
            let name = reader.leb128()
            let form = reader.leb128()
            if reader.isExhausted { return false }
            if name == 0 && form == 0 { return true }
            let constant = DieAttribute.hasConstant(form) ? reader.leb128() : 0
            guard
                let attribute = DieAttribute(
                    name: name, form: form, constant: constant, format: format)
            else { return false }
            attributes.append(attribute)
        }
    }

    /// Returns the size of the attributes in front, and adds the others to ``skips``.
    private mutating func addSkips(of attributes: ArraySlice<DieAttribute>) -> Int {
        let first = skips.count
        var fixedBytes = 0
        for attribute in attributes {
            guard case .fixed(let more) = attribute.encoding else {
                skips.append(attribute.encoding)
                continue
            }
            if skips.count == first {
                fixedBytes += more
            } else if case .fixed(let bytes) = skips[skips.count - 1] {
                skips[skips.count - 1] = .fixed(bytes: bytes + more)
            } else {
                skips.append(attribute.encoding)
            }
        }
        return fixedBytes
    }
}
