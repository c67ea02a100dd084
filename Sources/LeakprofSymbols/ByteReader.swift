/// Reads numbers upwards from bytes, as DWARF has them.
///
/// Never reads outside of the bytes: past their end it is exhausted, and everything it reads is 0.
/// Called some ten times for each of millions of DIEs, so the calls are worth inlining.
struct ByteReader {
    private let bytes: UnsafeRawBufferPointer
    private(set) var offset: Int
    private(set) var isExhausted = false

    init(_ bytes: UnsafeRawBufferPointer, from offset: Int = 0) {
        self.bytes = bytes
        self.offset = offset
        if offset < 0 || offset > bytes.count { exhaust() }
    }

    /// Reads no more.
    mutating func exhaust() {
        isExhausted = true
        offset = bytes.count
    }

    @inline(__always)
    mutating func skip(_ count: UInt64) {
        guard count <= UInt64(bytes.count - offset) else { return exhaust() }
        offset += Int(count)
    }

    /// A little-endian number of at most eight bytes.
    @inline(__always)
    mutating func number(bytes count: Int) -> UInt64 {
        guard count <= bytes.count - offset else {
            exhaust()
            return 0
        }
        defer { offset += count }
        switch count {
        case 1: return UInt64(bytes[offset])
        case 2: return UInt64(load(UInt16.self))
        case 4: return UInt64(load(UInt32.self))
        case 8: return load(UInt64.self)
        default:
            return bytes[offset..<offset + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    /// Reads without looking at the end, nor moving.
    private func load<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type) -> Number {
        Number(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: type))
    }

    /// A number in LEB128, unsigned; bits beyond the 64th are lost.
    @inline(__always)
    mutating func leb128() -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < bytes.count {
            let byte = bytes[offset]
            offset += 1
            // A smart shift: beyond 63 it gives 0.
            value |= UInt64(byte & 0x7f) << shift
            guard byte & 0x80 != 0 else { return value }
            shift += 7
        }
        exhaust()
        return 0
    }

    /// Skips text up to and with its terminating 0.
    mutating func skipText() {
        while offset < bytes.count {
            offset += 1
            if bytes[offset - 1] == 0 { return }
        }
        exhaust()
    }
}
