package import LeakprofModel
package import LeakprofPprof

/// Reads heap profiles of all tools leakprof knows, each recognized by what it holds.
///
/// The bytes may come from anywhere: every reader checks every index and number, and limits what it keeps.
package enum HeapProfile {
    /// The snapshot that the bytes hold, compressed with gzip or not.
    ///
    /// Locations of tools that write addresses alone have no frames yet; whoever wants them symbolizes.
    package static func decode(_ bytes: [UInt8]) throws(ProfileError) -> Snapshot {
        let isCompressed = bytes.starts(with: Gzip.magic)
        let plain =
            isCompressed
            ? try Gzip.decompress(
                bytes, limit: ProfileDecoder.decompressedLimit(ofFile: bytes.count)) : bytes
        guard plain.count <= ProfileDecoder.sizeLimit else {
            throw .compression("it holds more than \(ProfileDecoder.sizeLimit) bytes")
        }
        if AddressProfile.recognizes(plain) { return try AddressProfile.decode(plain) }
        if MassifProfile.recognizes(plain) { return try MassifProfile.decode(plain) }
        if GraphFile.recognizes(plain) { return try GraphFile.decode(plain) }
        if plain.first == UInt8(ascii: "{") { return try JSONProfile.decode(plain) }
        if FoldedProfile.recognizes(plain) { return try FoldedProfile.decode(plain) }
        return try ProfileDecoder.decode(plain)
    }
}
