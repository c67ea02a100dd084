internal import CLeakprofRecorder
internal import Glibc

/// Unwind information at the end of what is mapped, so that a read behind it ends the process.
///
/// An input is 4 bytes for the distance from the header to the code address that is looked up, 2 for the header's
/// place in the image, 1 of which the lowest bit makes a hole in the image and the next leaves unsaid that all of it
/// can be read, 1 that means nothing, and the image.
/// All numbers are little-endian.
struct CFIImage {
    private let image: ArraySlice<UInt8>
    private let distance: Int32
    private let headerOffset: Int
    private let hasHole: Bool
    private let isSegmentKnown: Bool

    private static let pageBytes = 4096
    /// Between two pages that can't be read.
    private static let arenaPages = 16
    nonisolated(unsafe) private static let arena: UnsafeMutableRawPointer = {
        let bytes = (arenaPages + 2) * pageBytes
        guard
            let start = mmap(
                nil, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
            start != MAP_FAILED
        else { fail("no memory") }
        return start + pageBytes
    }()

    /// `nil` when the input is too short or too long.
    init?(_ bytes: [UInt8]) {
        guard bytes.count > 8, bytes.count <= 8 + Self.arenaPages * Self.pageBytes else {
            return nil
        }
        image = bytes[8...]
        (distance, headerOffset) = bytes.withUnsafeBytes { raw in
            (
                Int32(littleEndian: raw.loadUnaligned(as: Int32.self)),
                Int(UInt16(littleEndian: raw.loadUnaligned(fromByteOffset: 4, as: UInt16.self)))
            )
        }
        hasHole = bytes[6] & 1 != 0
        isSegmentKnown = bytes[6] & 3 == 0
    }

    /// Looks up the rule; any answer will do, as long as it is one.
    func check() {
        let bytes = Self.arenaPages * Self.pageBytes
        mprotect(Self.arena, bytes, PROT_READ | PROT_WRITE)
        memset(Self.arena, 0, bytes)
        let start = Self.arena + (bytes - image.count)
        image.withUnsafeBytes { raw in
            if let source = raw.baseAddress { memcpy(start, source, raw.count) }
        }
        if hasHole {
            // The middle one of its pages.
            let middle = bytes - image.count / 2
            mprotect(
                Self.arena + middle / Self.pageBytes * Self.pageBytes, Self.pageBytes, PROT_NONE)
        }
        let header = start + headerOffset % image.count
        let address = UInt(bitPattern: Int(bitPattern: header) &+ Int(distance))
        let first = UInt(bitPattern: start)
        var segment = lp_segment(
            start: first, end: isSegmentKnown ? first + UInt(image.count) : first)
        let rule = lp_cfi_rule(address, header, &segment)
        require(rule & 7 != UInt64(LP_RULE_NONE), "no rule")
    }
}
