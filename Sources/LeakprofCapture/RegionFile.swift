internal import CLeakprofLayout
internal import Glibc
internal import SystemPackage

/// An open region: copies of its bytes, and nothing else.
///
/// The target may be hostile and may change or truncate the file at any time. So nothing is mapped;
/// every byte is read with pread(2) into private memory, and a short read is an error, not a fault.
struct RegionFile: ~Copyable {
    let path: String
    let bytes: Int
    private let descriptor: FileDescriptor

    /// Opens a region of this user, or of any user for root.
    ///
    /// With `forRequests` it is opened for writing too, which what asks something of the shim needs.
    init(path: String, forRequests: Bool = false) throws(CaptureError) {
        (descriptor, bytes) = try Self.open(path, forRequests ? .readWrite : .readOnly)
        self.path = path
    }

    /// `O_PATH`, which is declared for _GNU_SOURCE alone.
    private static let pathOnly: Int32 = 0o10_000_000

    private static func open(
        _ path: String, _ mode: FileDescriptor.AccessMode
    ) throws(CaptureError) -> (FileDescriptor, bytes: Int) {
        // Looked at before it is opened: a pipe would block, and a device may act on being opened.
        let place: FileDescriptor
        do {
            place = try FileDescriptor.open(
                FilePath(path), .readOnly,
                options: [.noFollow, .closeOnExec, .init(rawValue: pathOnly)])
        } catch {
            throw .unreadable(path: path, reason: "\(error)")
        }
        defer { try? place.close() }
        var status = stat()
        let refusal: CaptureError? =
            if fstat(place.rawValue, &status) != 0 {
                .unreadable(path: path, reason: "\(Errno(rawValue: errno))")
            } else if status.st_mode & S_IFMT == S_IFLNK {
                .unreadable(path: path, reason: "it is a symbolic link")
            } else if status.st_mode & S_IFMT != S_IFREG {
                .unreadable(path: path, reason: "it is not a file")
            } else if status.st_uid != geteuid() && geteuid() != 0 {
                .foreignOwner(path: path, owner: status.st_uid)
            } else if status.st_size > LP_REGION_BYTES_MAX {
                .damaged(path: path, what: "it is larger than any region")
            } else {
                nil
            }
        if let refusal { throw refusal }
        do {
            let descriptor = try FileDescriptor.open(
                FilePath("/proc/self/fd/\(place.rawValue)"), mode,
                options: [.closeOnExec, .nonBlocking])
            return (descriptor, Int(status.st_size))
        } catch {
            throw .unreadable(path: path, reason: "\(error)")
        }
    }

    deinit { try? descriptor.close() }

    /// Copies `count` bytes from `offset`, upwards.
    func read(at offset: Int, count: Int) throws(CaptureError) -> [UInt8] {
        try readRecords(UInt8.self, at: offset, count: count)
    }

    /// Copies `count` records of one table, upwards.
    func readRecords<Record: BitwiseCopyable>(
        _ type: Record.Type, at offset: Int, count: Int
    ) throws(CaptureError) -> [Record] {
        let (length, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Record>.stride)
        guard !overflow, offset >= 0, length >= 0, offset <= bytes, length <= bytes - offset else {
            throw .damaged(path: path, what: "it refers to bytes behind its end")
        }
        var failure: CaptureError?
        let records = [Record](unsafeUninitializedCapacity: count) { buffer, initializedCount in
            failure = fill(UnsafeMutableRawBufferPointer(buffer)[..<length], from: offset)
            initializedCount = failure == nil ? count : 0
        }
        if let failure { throw failure }
        return records
    }

    /// Copies bytes from `offset`, upwards, until `buffer` is full; returns why it can't be.
    private func fill(
        _ buffer: Slice<UnsafeMutableRawBufferPointer>, from offset: Int
    ) -> CaptureError? {
        var offset = Int64(offset)
        var rest = UnsafeMutableRawBufferPointer(rebasing: buffer)
        while !rest.isEmpty {
            do {
                let got = try descriptor.read(fromAbsoluteOffset: offset, into: rest)
                guard got > 0 else { return .damaged(path: path, what: "it was cut short") }
                offset += Int64(got)
                rest = UnsafeMutableRawBufferPointer(rebasing: rest[got...])
            } catch {
                return .unreadable(path: path, reason: "\(error)")
            }
        }
        return nil
    }

    /// Asks the shim to start the epoch after `epoch`.
    ///
    /// Best effort: the target starts it with its next allocation, and a region that can't be written
    /// is read all the same.
    func requestEpoch(after epoch: UInt32) {
        if epoch < UInt32.max { write(epoch + 1, to: \lp_header.epoch_request) }
    }

    /// Asks the shim to record or to pause; `wanted` is one of LP_WANTED_*.
    func request(wanted: Int32) { write(UInt32(wanted), to: \lp_header.wanted) }

    /// Keeps other analyzers from asking, until this is released; false when one does so already.
    ///
    /// Never waits: whoever holds the lock may be the target.
    func lock() -> Bool { flock(descriptor.rawValue, LOCK_EX | LOCK_NB) == 0 }

    /// Asks which block begins at `address`; `wanted` is what is wanted besides.
    func ask(about address: UInt64, wanted: UInt32) {
        write(address, to: \lp_header.lookup_address)
        write(UInt32(LP_LOOKUP_ASKED), to: \lp_header.lookup)
        write(wanted | UInt32(LP_WANTED_LOOKUP), to: \lp_header.wanted)
    }

    /// Takes the question back, answered or not.
    func withdrawQuestion(wanted: UInt32) {
        write(wanted, to: \lp_header.wanted)
        write(UInt32(LP_LOOKUP_NONE), to: \lp_header.lookup)
    }

    private func write(
        _ value: some FixedWidthInteger & BitwiseCopyable, to field: PartialKeyPath<lp_header>
    ) {
        guard let offset = MemoryLayout<lp_header>.offset(of: field) else { return }
        _ = withUnsafeBytes(of: value) { bytes in
            try? descriptor.writeAll(toAbsoluteOffset: Int64(offset), bytes)
        }
    }
}
