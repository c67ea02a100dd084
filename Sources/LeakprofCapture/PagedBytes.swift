internal import SystemPackage

/// A file or the memory of a process, read by pages as they are asked for and kept.
///
/// Both may hold anything: whatever is outside of what can be read is `nil`. Memory goes on changing while it is
/// read; a page is as of one moment.
final class PagedBytes {
    private static let pageSize = 4096
    /// Pages that are kept: 64 MiB.
    private static let pagesLimit = 1 << 14

    private let file: FileDescriptor
    private var pages: [UInt64: [UInt8]] = [:]

    /// Opens the file at `path`; throws an `Errno`.
    init(path: String) throws {
        file = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec])
    }

    deinit { try? file.close() }

    /// Forgets what was read, so that memory is read again.
    func forget() { pages.removeAll(keepingCapacity: true) }

    /// The bytes from `address` on; `nil` when they are not all there.
    func bytes(at address: UInt64, count: Int) -> [UInt8]? {
        guard count >= 0, !address.addingReportingOverflow(UInt64(count)).overflow else {
            return nil
        }
        var result: [UInt8] = []
        result.reserveCapacity(min(count, 1 << 20))
        while result.count < count {
            let part = rest(ofPageAt: address + UInt64(result.count))
            guard !part.isEmpty else { return nil }
            result += part.prefix(count - result.count)
        }
        return result
    }

    /// The little-endian number at `address`.
    func number<Number: FixedWidthInteger & BitwiseCopyable>(
        at address: UInt64, as type: Number.Type = Number.self
    ) -> Number? {
        let part = rest(ofPageAt: address)
        let size = MemoryLayout<Number>.size
        if part.count >= size { return part.number(at: 0) }
        return bytes(at: address, count: size)?[...].number(at: 0)
    }

    /// The text from `address` to a terminating 0, as far as `limit` bytes go.
    func text(at address: UInt64, limit: Int) -> String? {
        var result: [UInt8] = []
        while result.count < limit {
            let (start, overflow) = address.addingReportingOverflow(UInt64(result.count))
            let part = overflow ? [] : rest(ofPageAt: start)
            guard !part.isEmpty else { return nil }
            let text = part.prefix(limit - result.count).prefix { $0 != 0 }
            result += text
            if text.count < part.count { break }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// What lies in the page from `address` on; nothing where nothing can be read.
    private func rest(ofPageAt address: UInt64) -> ArraySlice<UInt8> {
        let number = address / UInt64(Self.pageSize)
        let start = Int(address % UInt64(Self.pageSize))
        let page: [UInt8]
        if let known = pages[number] {
            page = known
        } else {
            if pages.count >= Self.pagesLimit { forget() }
            page = read(at: number * UInt64(Self.pageSize), count: Self.pageSize)
            pages[number] = page
        }
        return start < page.count ? page[start...] : []
    }

    private func read(at offset: UInt64, count: Int) -> [UInt8] {
        guard offset <= UInt64(Int64.max) - UInt64(count) else { return [] }
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                try? file.read(
                    fromAbsoluteOffset: Int64(offset) + Int64(filled),
                    into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            }
            guard let got, got > 0 else { break }
            filled += got
        }
        bytes.removeLast(count - filled)
        return bytes
    }
}

extension ArraySlice<UInt8> {
    /// The little-endian number that begins so many bytes after the start; `nil` when it is not all there.
    func number<Number: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: Number.Type = Number.self
    ) -> Number? {
        let size = MemoryLayout<Number>.size
        guard offset >= 0, offset <= count - size else { return nil }
        return withUnsafeBytes {
            Number(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Number.self))
        }
    }
}

extension [UInt8] {
    func number<Number: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: Number.Type = Number.self
    ) -> Number? {
        self[...].number(at: offset, as: type)
    }
}
