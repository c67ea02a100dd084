internal import CCurl
internal import LeakprofPprof

/// The address of a heap profile that a service offers, such as `http://127.0.0.1:6060/debug/pprof/heap`.
package struct ProfileURL: Sendable, Equatable {
    /// As the user wrote it, credentials included: for the transfer alone.
    private let address: String

    /// What `text` says if it is an http or https URL; `nil` otherwise.
    ///
    /// - Throws: ``CaptureError/unsupported(_:)`` for one without a path: what is shown of a source and named after it
    ///   comes from there.
    package init?(_ text: String) throws(CaptureError) {
        let scheme = text.prefix { $0 != ":" }.lowercased()
        guard ["http", "https"].contains(scheme), text.dropFirst(scheme.count).hasPrefix("://")
        else { return nil }
        address = text
        let path = text.utf8.dropFirst(scheme.utf8.count + 3).drop { $0 != UInt8(ascii: "/") }
        guard path.count > 1 else {
            throw .unsupported(
                "\(description) has no path; Go's heap profile is at /debug/pprof/heap")
        }
    }

    /// For messages and files: without user and password, and without a query's values, which may be tokens.
    package var description: String {
        let bytes = Array(address.utf8)
        let text = { (part: ArraySlice<UInt8>) in String(decoding: part, as: UTF8.self) }
        let slash = UInt8(ascii: "/")
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")), colon + 3 <= bytes.count else {
            return ""
        }
        let rest = bytes[(colon + 3)...]
        let host = rest.prefix { ![slash, UInt8(ascii: "?"), UInt8(ascii: "#")].contains($0) }
        let shown =
            host.lastIndex(of: UInt8(ascii: "@")).map { host[($0 + 1)...] } ?? host
        let path = rest[host.endIndex...].prefix {
            ![UInt8(ascii: "?"), UInt8(ascii: "#")].contains($0)
        }
        return text(bytes[..<(colon + 3)]) + text(shown) + text(path)
    }

    /// How long connecting may take, and everything: a service may collect garbage first.
    private static let limits = leakprof_fetch_limits(
        connect_ms: 10_000, whole_ms: 120_000, bytes: curl_off_t(ProfileDecoder.sizeLimit))

    /// The bytes the service answers with.
    ///
    /// - Throws: ``CaptureError/unreachable(url:reason:)`` when there is no answer, one that is no success, or one of
    ///   more than ``ProfileDecoder/sizeLimit`` bytes.
    func contents() throws(CaptureError) -> [UInt8] {
        let body = Body(limit: ProfileDecoder.sizeLimit)
        var result = leakprof_fetch(
            address, "leakprof/\(Leakprof.version)", Self.limits,
            { bytes, size, count, context in
                guard let bytes, let context else { return 0 }
                let body = Unmanaged<Body>.fromOpaque(context).takeUnretainedValue()
                return body.append(UnsafeRawBufferPointer(start: bytes, count: size * count))
            }, Unmanaged.passUnretained(body).toOpaque())
        guard result.code != Int32(LEAKPROF_NO_LIBCURL) else {
            throw failure("libcurl.so.4 is needed for that and is not installed (Debian: libcurl4)")
        }
        guard !body.isTooLong, result.code != Int32(CURLE_FILESIZE_EXCEEDED.rawValue) else {
            throw failure("it has more than \(ProfileDecoder.sizeLimit) bytes")
        }
        guard result.code == Int32(CURLE_OK.rawValue) else {
            let words = withUnsafeBytes(of: &result.reason) { reason in
                String(decoding: reason.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw failure(words)
        }
        guard (200..<300).contains(result.http_status) else {
            throw failure("the server answered with status \(result.http_status)")
        }
        return body.bytes
    }

    private func failure(_ reason: String) -> CaptureError {
        // libcurl's words may repeat the address.
        .unreachable(
            url: description, reason: reason.contains("@") ? "the transfer failed" : reason)
    }
}

/// What has been received.
private final class Body {
    private(set) var bytes: [UInt8] = []
    private(set) var isTooLong = false
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    /// Returns how many bytes were taken: all, or none of them to end the transfer.
    func append(_ part: UnsafeRawBufferPointer) -> Int {
        guard bytes.count <= limit - part.count else {
            isTooLong = true
            return 0
        }
        bytes.append(contentsOf: part)
        return part.count
    }
}
