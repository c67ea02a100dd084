private import CZlib

/// gzip, as `profile.proto` files are stored.
package enum Gzip {
    /// The first two bytes of every gzip file.
    package static let magic: [UInt8] = [0x1f, 0x8b]

    /// Compresses `bytes`; the same bytes always give the same file.
    package static func compress(_ bytes: [UInt8]) throws(ProfileError) -> [UInt8] {
        var stream = z_stream()
        guard leakprof_gzip_begin(&stream) == Z_OK else { throw .compression("zlib has no memory") }
        defer { deflateEnd(&stream) }
        return try process(bytes, with: &stream, limit: .max) { deflate(&$0, Z_FINISH) }
    }

    /// Decompresses a gzip file of one or more members.
    ///
    /// A file that holds more than `limit` bytes is refused, however small it is itself.
    package static func decompress(_ bytes: [UInt8], limit: Int) throws(ProfileError) -> [UInt8] {
        var stream = z_stream()
        guard leakprof_gunzip_begin(&stream) == Z_OK else {
            throw .compression("zlib has no memory")
        }
        defer { inflateEnd(&stream) }
        return try process(bytes, with: &stream, limit: limit) { stream in
            let status = inflate(&stream, Z_NO_FLUSH)
            // Another member may follow.
            guard status == Z_STREAM_END, stream.avail_in > 0 else { return status }
            return inflateReset(&stream)
        }
    }

    /// Feeds `bytes` to `step` until it reports the end of the stream, and collects the output.
    private static func process(
        _ bytes: [UInt8], with stream: inout z_stream, limit: Int,
        step: (inout z_stream) -> Int32
    ) throws(ProfileError) -> [UInt8] {
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        var input = bytes
        var failure: ProfileError?
        input.withUnsafeMutableBufferPointer { inputBuffer in
            stream.next_in = inputBuffer.baseAddress
            stream.avail_in = UInt32(clamping: inputBuffer.count)
            var status = Z_OK
            while status != Z_STREAM_END {
                let produced = chunk.withUnsafeMutableBufferPointer { chunkBuffer in
                    stream.next_out = chunkBuffer.baseAddress
                    stream.avail_out = UInt32(chunkBuffer.count)
                    status = step(&stream)
                    return chunkBuffer.count - Int(stream.avail_out)
                }
                guard status == Z_OK || status == Z_STREAM_END else {
                    failure = .compression("the gzip data is damaged or cut short")
                    return
                }
                guard output.count <= limit - produced else {
                    failure = .compression("it holds more than \(limit) bytes uncompressed")
                    return
                }
                output.append(contentsOf: chunk.prefix(produced))
            }
        }
        if let failure { throw failure }
        return output
    }
}
