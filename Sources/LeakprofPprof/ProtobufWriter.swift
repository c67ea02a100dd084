/// Writes a protobuf message field by field, in the order of the calls.
///
/// SwiftProtobuf builds a tree of messages first and asks it for its sizes; for a profile, which is
/// hundreds of thousands of tiny messages, that takes several times as long.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    private enum WireType: UInt64 {
        case varint = 0
        case lengthDelimited = 2
    }

    private mutating func tag(_ field: UInt64, _ type: WireType) {
        varint(field << 3 | type.rawValue)
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    /// A number; 0 is what a reader takes for one that is missing, so it is left out.
    mutating func number(_ field: UInt64, _ value: UInt64) {
        guard value != 0 else { return }
        tag(field, .varint)
        varint(value)
    }

    mutating func number(_ field: UInt64, _ value: Int64) {
        number(field, UInt64(bitPattern: value))
    }

    mutating func flag(_ field: UInt64, _ value: Bool) { number(field, value ? 1 as UInt64 : 0) }

    /// All numbers of a repeated field.
    mutating func numbers(_ field: UInt64, _ values: some Collection<UInt64>) {
        guard !values.isEmpty else { return }
        lengthDelimited(field) { writer in
            for value in values { writer.varint(value) }
        }
    }

    /// Text, if it is empty too: as an entry of a repeated field it has a place.
    mutating func text(_ field: UInt64, _ text: String) {
        tag(field, .lengthDelimited)
        var text = text
        text.withUTF8 { utf8 in
            varint(UInt64(utf8.count))
            bytes.append(contentsOf: utf8)
        }
    }

    /// A message that `write` writes.
    mutating func message(_ field: UInt64, _ write: (inout ProtobufWriter) -> Void) {
        lengthDelimited(field, write)
    }

    private mutating func lengthDelimited(
        _ field: UInt64, _ write: (inout ProtobufWriter) -> Void
    ) {
        tag(field, .lengthDelimited)
        // Most are so short that their length takes one byte.
        bytes.append(0)
        let start = bytes.count
        write(&self)
        let length = bytes.count - start
        if length < 0x80 {
            bytes[start - 1] = UInt8(length)
        } else {
            var prefix = ProtobufWriter()
            prefix.varint(UInt64(length))
            bytes.replaceSubrange(start - 1..<start, with: prefix.bytes)
        }
    }

    /// Fields that another writer has written.
    mutating func append(_ other: ProtobufWriter) { bytes.append(contentsOf: other.bytes) }
}
