/// What Go's linker says of a program in its section `.go.buildinfo`, by which Go programs are recognized.
///
/// https://pkg.go.dev/debug/buildinfo reads the same.
struct GoBuildInfo {
    static let section = ".go.buildinfo"

    /// Such as `go1.26.6`.
    let version: String

    private static let magic = Array("\u{ff} Go buildinf:".unicodeScalars.map { UInt8($0.value) })
    private static let headerSize = 32
    private static let versionLimit = 256

    /// Reads the section's bytes; `nil` when they are not what Go 1.18 and later write.
    init?(_ bytes: [UInt8]) {
        let inlineVersion: UInt8 = 2
        guard bytes.starts(with: Self.magic), bytes.count > Self.headerSize,
            bytes[15] & inlineVersion != 0
        else { return nil }
        var offset = Self.headerSize
        var length = 0
        var shift = 0
        repeat {
            guard offset < bytes.count, shift < 21 else { return nil }
            length |= Int(bytes[offset] & 0x7f) << shift
            shift += 7
            offset += 1
        } while bytes[offset - 1] & 0x80 != 0
        guard length <= Self.versionLimit, length <= bytes.count - offset else { return nil }
        version = String(decoding: bytes[offset..<offset + length], as: UTF8.self)
    }

    /// Whether the file is a Go program, and of which version as far as it says so.
    static func version(of file: ElfFile) -> String? {
        guard let section = file.section(Self.section) else { return nil }
        let bytes = file.bytes.bytes(
            at: section.offset, count: Int(min(section.size, UInt64(headerSize + versionLimit + 3)))
        )
        return bytes.flatMap(GoBuildInfo.init)?.version ?? "an old Go"
    }
}
