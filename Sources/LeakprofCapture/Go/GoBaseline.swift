internal import Glibc
internal import LeakprofModel
internal import LeakprofPprof

/// What had been sampled when leakprof changed the rate of a running program, and at which rate.
///
/// The runtime keeps one sum per bucket, whatever the rate was when a block was sampled, so the difference to the
/// baseline is what was sampled since.
struct GoBaseline: Equatable {
    let oldRate: Int64
    let newRate: Int64
    /// What was allocated and freed by then, pending or not, by the bucket's address.
    private let sums: [UInt64: GoHeap.Counts]
    private let sizes: [UInt64: Int64]

    init(oldRate: Int64, newRate: Int64, buckets: [GoHeap.Bucket]) {
        self.oldRate = oldRate
        self.newRate = newRate
        sums = Dictionary(
            buckets.map { ($0.address, $0.active + $0.pending) }, uniquingKeysWith: { $1 })
        sizes = Dictionary(
            buckets.map { ($0.address, $0.blockSize) }, uniquingKeysWith: { $1 })
    }

    /// `nil` when it has no buckets, as in ordinary snapshots, or half of one.
    init?(_ attachment: GoAttachment) {
        let count = GoAttachment.numbersPerBucket
        guard let numbers = attachment.buckets, numbers.count % count == 0 else { return nil }
        self.init(
            oldRate: attachment.oldRate, newRate: attachment.newRate,
            buckets: stride(from: 0, to: numbers.count, by: count).map { start in
                GoHeap.Bucket(
                    address: UInt64(bitPattern: numbers[start]), stack: [],
                    blockSize: numbers[start + 1],
                    active: GoHeap.Counts(
                        allocations: numbers[start + 2], frees: numbers[start + 3]),
                    pending: GoHeap.Counts(
                        allocations: numbers[start + 4], frees: numbers[start + 5]))
            })
    }

    /// The buckets as ``GoAttachment/buckets`` has them.
    static func numbers(of buckets: [GoHeap.Bucket]) -> [Int64] {
        buckets.flatMap { bucket in
            [
                Int64(bitPattern: bucket.address), bucket.blockSize, bucket.active.allocations,
                bucket.active.frees, bucket.pending.allocations, bucket.pending.frees,
            ]
        }
    }

    /// Tells blocks that were sampled before the change from those since.
    ///
    /// `counts` is what was counted of the bucket up to some garbage collection, or up to now. The runtime publishes
    /// what it counts in order, so that what was counted before the change is in it first. Frees since the change may
    /// be of blocks of either kind: as many as blocks were allocated since are taken for theirs, and of those
    /// `ambiguousFrees` may be of older ones.
    func split(
        _ counts: GoHeap.Counts, of bucket: GoHeap.Bucket
    ) -> (before: GoHeap.Counts, since: GoHeap.Counts, ambiguousFrees: Int64) {
        guard let old = sums[bucket.address], sizes[bucket.address] == bucket.blockSize else {
            return (GoHeap.Counts(), counts, 0)
        }
        let allocations = max(0, counts.allocations.saturatingSubtract(old.allocations))
        let newFrees = max(0, counts.frees.saturatingSubtract(old.frees))
        let since = GoHeap.Counts(allocations: allocations, frees: min(newFrees, allocations))
        let before = counts - since
        let wasLive = max(
            0, before.allocations.saturatingSubtract(min(counts.frees, old.frees)))
        let surely = max(0, newFrees.saturatingSubtract(wasLive))
        return (before, since, max(0, since.frees.saturatingSubtract(surely)))
    }
}

/// The file in the recording directory that says what `leakprof attach` changed in a Go process: an ordinary snapshot,
/// of just before, with a ``GoAttachment``.
struct GoBaselineFile {
    let path: String
    let attachment: GoAttachment

    private static let suffix = ".baseline"
    private static let sizeLimit = 64 << 20

    private static func name(of process: LiveProcess) -> String {
        "\(process.pid).\(process.startTicks)\(suffix)"
    }

    /// The file of this run of the process; `nil` when there is none.
    static func find(
        of process: LiveProcess, in directory: String?
    ) throws(CaptureError) -> GoBaselineFile? {
        let image = GoReader.image(of: process.pid)
        for directory in RegionDirectory.all(directory) {
            let path = "\(directory)/\(name(of: process))"
            guard let attachment = try read(path, owner: process.owner?.user) else { continue }
            if attachment.image == image {
                return GoBaselineFile(path: path, attachment: attachment)
            }
        }
        return nil
    }

    /// Files about the process's number that are of no running program: it was given to another process, or the
    /// process runs another program by now (exec).
    static func left(ofPid pid: Int32, in directory: String?) -> [String] {
        let process = LiveProcess(pid: pid)
        let image = process.map { GoReader.image(of: $0.pid) }
        return RegionDirectory.all(directory).flatMap { directory in
            ProcFile.names(in: directory).filter {
                $0.hasPrefix("\(pid).") && $0.hasSuffix(suffix)
            }.map { "\(directory)/\($0)" }
        }.filter { path in
            guard let process, path.lastPathComponent == name(of: process) else { return true }
            let attachment = try? read(path, owner: process.owner?.user)
            return attachment.map { $0.image != image } ?? false
        }
    }

    /// Reads one that this user wrote, or for root the user whose process it is about; `nil` when it is not there.
    private static func read(
        _ path: String, owner: UInt32?
    ) throws(CaptureError) -> GoAttachment? {
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw .unreadable(path: path, reason: String(cString: strerror(errno)))
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            status.st_uid == geteuid() || (geteuid() == 0 && status.st_uid == owner),
            status.st_mode & (S_IWGRP | S_IWOTH) == 0, status.st_size <= sizeLimit
        else {
            throw .unreadable(
                path: path, reason: "it is not a file that leakprof attach wrote for this user")
        }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        let got = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
        do {
            guard got == bytes.count,
                let go = try ProfileDecoder.decode(bytes).facts.recording?.go,
                let attachment = go.attachment, GoBaseline(attachment) != nil
            else { throw CaptureError.badProfile(path: path, reason: "it is no baseline") }
            return attachment
        } catch {
            throw .badProfile(path: path, reason: "\(error)")
        }
    }

    // MARK: Writing

    /// Writes the file whole, for this user alone, in a directory of this user alone; returns its path.
    ///
    /// Throws ``CaptureError/unchanged(_:advice:)`` when it is there already, or the directory is not fit for it.
    static func create(
        _ bytes: [UInt8], for process: LiveProcess, in chosen: String?
    ) throws(CaptureError) -> String {
        let directory = chosen ?? "/dev/shm/leakprof-\(geteuid())"
        let elsewhere = "LEAKPROF_DIR=DIR leakprof attach \(process.pid), with a directory of yours"
        func refusal(_ what: String, _ reason: String) -> CaptureError {
            .unchanged(
                "can't keep what there is before attaching to process \(process.pid): \(what): "
                    + "\(reason); nothing was written to the process", advice: elsewhere)
        }
        func failure(_ what: String) -> CaptureError {
            refusal(what, String(cString: strerror(errno)))
        }
        guard mkdir(directory, 0o700) == 0 || errno == EEXIST else {
            throw failure("can't make \(directory)")
        }
        let folder = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard folder >= 0 else { throw failure("can't open \(directory)") }
        defer { close(folder) }
        var status = stat()
        guard fstat(folder, &status) == 0 else { throw failure("can't examine \(directory)") }
        guard status.st_uid == geteuid() else {
            throw refusal(directory, "it belongs to user \(status.st_uid)")
        }
        guard status.st_mode & (S_IWGRP | S_IWOTH) == 0 else {
            throw refusal(directory, "it is writable for others")
        }
        let name = name(of: process)
        let path = "\(directory)/\(name)"
        let temporary = "\(name).partial-\(getpid())"
        let file = openat(
            folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure("can't write \(path)") }
        defer {
            close(file)
            unlinkat(folder, temporary, 0)
        }
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes {
                Glibc.write(file, $0.baseAddress, $0.count)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw failure("can't write \(path)") }
            written += count
        }
        guard fsync(file) == 0 else { throw failure("can't write \(path)") }
        // Two that attach at the same time: link(2) refuses to replace what the first one kept.
        guard linkat(folder, temporary, folder, name, 0) == 0 else {
            throw failure("can't write \(path)")
        }
        return path
    }
}
