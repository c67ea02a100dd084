/// What a serialized profile would take in memory, found out without taking it.
///
/// An empty message is two bytes in the file and some hundred once it is read, and a number in a list is one and
/// eight, so a small file could fill any memory.
struct ProfileSize {
    /// Fields: messages such as samples, locations and labels, strings, and numbers by themselves.
    private(set) var fields = 0
    /// Numbers in lists: the locations and values of samples.
    private(set) var numbers = 0

    /// Far more than any heap has call stacks.
    static let fieldsLimit = 1 << 25
    static let numbersLimit = 1 << 26

    /// Counts, up to the first byte that makes no sense; what reads the profile says what is wrong there.
    init(_ profile: [UInt8]) {
        profile.withUnsafeBytes { count($0, from: 0, to: $0.count, field: 0) }
    }

    func check() throws(ProfileError) {
        guard fields <= Self.fieldsLimit, numbers <= Self.numbersLimit else {
            throw .inconsistent("it has more samples than can be read")
        }
    }

    /// The numbers of fields in profile.proto.
    private enum Field {
        static let sample: UInt64 = 2
        static let location: UInt64 = 4
        static let comment: UInt64 = 13
    }

    /// Counts the bytes of a message that is in the field `field` of the profile, or is the profile: 0.
    private mutating func count(
        _ bytes: UnsafeRawBufferPointer, from start: Int, to end: Int, field: UInt64
    ) {
        var position = start
        while position < end, fields <= Self.fieldsLimit, numbers <= Self.numbersLimit {
            guard let tag = Self.takeNumber(bytes, &position, end) else { return }
            fields += 1
            switch tag & 7 {
            case 0:
                guard Self.takeNumber(bytes, &position, end) != nil else { return }
            case 1: position += 8
            case 5: position += 4
            case 2:
                guard let length = Self.takeNumber(bytes, &position, end),
                    length <= UInt64(end - position)
                else { return }
                let contentEnd = position + Int(length)
                let isInProfile = field == 0
                if isInProfile && (tag >> 3 == Field.sample || tag >> 3 == Field.location) {
                    count(bytes, from: position, to: contentEnd, field: tag >> 3)
                } else if field == Field.sample || isInProfile && tag >> 3 == Field.comment {
                    // A packed list: a number ends with each byte that has no highest bit. Labels have few.
                    while position < contentEnd {
                        if bytes[position] & 0x80 == 0 { numbers += 1 }
                        position += 1
                    }
                }
                position = contentEnd
            default: return
            }
        }
    }

    /// The number at `position`, which is moved behind it.
    private static func takeNumber(
        _ bytes: UnsafeRawBufferPointer, _ position: inout Int, _ end: Int
    ) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < end, shift < 64 {
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
        return nil
    }
}
