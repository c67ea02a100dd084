internal import Glibc
internal import LeakprofModel

/// The heap profile that Go's runtime keeps in memory: a list of buckets, one per stack and size of blocks
/// (runtime/mprof.go).
///
/// Buckets are added at the list's head and never freed or moved, so the list can be walked while the program runs.
struct GoHeap {
    /// Sampled blocks.
    struct Counts: Equatable {
        var allocations: Int64 = 0
        var frees: Int64 = 0

        static func += (left: inout Counts, right: Counts) {
            left.allocations = left.allocations.saturatingAdd(right.allocations)
            left.frees = left.frees.saturatingAdd(right.frees)
        }
    }

    struct Bucket: Equatable {
        /// Return addresses, leaf first, one per function: inlined calls have made-up ones of their own.
        var stack: [UInt64]
        /// Of each block, in bytes.
        var blockSize: Int64
        /// As of the last garbage collection that has been completed, sweeping included.
        var active: Counts
        /// What was allocated, and found to be garbage, since.
        var pending: Counts
    }

    var buckets: [Bucket]
    /// Mean bytes between samples; 1 or less when every block is recorded, or none.
    var rate: Int64
    /// Whether a garbage collection was completed; before, everything is pending.
    var hasCollected: Bool {
        buckets.contains { $0.active.allocations != 0 || $0.active.frees != 0 }
    }

    /// Far more than programs have: a bucket takes 300 bytes or more, which are never given back.
    private static let bucketsLimit = 1 << 20
    private static let framesLimit = 1 << 22
    /// GODEBUG=profstackdepth takes no more, and two are reserved.
    private static let depthLimit: UInt64 = 1024 + 2
    private static let headerBytes: UInt64 = 48
    private static let memoryProfile: UInt64 = 1

    /// How often the list is read until it does not change in between.
    private static let attempts = 4

    /// Reads the list whose head is in the variable at `buckets`.
    ///
    /// It is read twice: when a garbage collection ended in between, some buckets would be as of that one and others
    /// as of the one before.
    static func read(
        _ memory: PagedBytes, buckets: UInt64, rate: UInt64, _ version: GoVersion
    ) throws(GoFailure) -> GoHeap {
        var before = try readOnce(memory, buckets: buckets, rate: rate, version)
        for _ in 1..<attempts {
            let after = try readOnce(memory, buckets: buckets, rate: rate, version)
            // New ones are at the front.
            let isSame = zip(before.buckets.reversed(), after.buckets.reversed()).allSatisfy {
                $0.active == $1.active
            }
            before = after
            if isSame { break }
        }
        return before
    }

    private static func readOnce(
        _ memory: PagedBytes, buckets: UInt64, rate: UInt64, _ version: GoVersion
    ) throws(GoFailure) -> GoHeap {
        memory.forget()
        guard let interval = memory.number(at: rate, as: Int64.self),
            var next = memory.number(at: buckets, as: UInt64.self)
        else { throw .damaged("the variables of its heap profile can't be read") }
        var heap = GoHeap(buckets: [], rate: interval)
        var seen: Set<UInt64> = []
        var frames = 0
        while next != 0 {
            guard seen.insert(next).inserted, seen.count <= bucketsLimit else {
                throw .damaged("the list of its heap profile has no end")
            }
            let (bucket, following) = try self.bucket(at: next, memory, version)
            frames += bucket.stack.count
            guard frames <= framesLimit else {
                throw .damaged("its heap profile has more stacks than can be read")
            }
            heap.buckets.append(bucket)
            next = following
        }
        return heap
    }

    private static func bucket(
        at address: UInt64, _ memory: PagedBytes, _ version: GoVersion
    ) throws(GoFailure) -> (Bucket, next: UInt64) {
        guard let header = memory.bytes(at: address, count: Int(headerBytes)),
            let next = header.number(at: 8, as: UInt64.self),
            header.number(at: 16, as: UInt64.self) == memoryProfile,
            let size = header.number(at: 32, as: UInt64.self),
            let depth = header.number(at: 40, as: UInt64.self), depth <= depthLimit,
            let body = memory.bytes(
                at: address &+ headerBytes,
                count: Int(depth) * 8 + 4 * version.profileCycleBytes)
        else { throw .damaged("a record of its heap profile can't be one") }
        func counts(_ index: Int) -> Counts {
            let start = Int(depth) * 8 + index * version.profileCycleBytes
            let allocations = body.number(at: start, as: UInt64.self) ?? 0
            let frees = body.number(at: start + 8, as: UInt64.self) ?? 0
            return Counts(
                allocations: Int64(clamping: allocations), frees: Int64(clamping: frees))
        }
        var pending = Counts()
        for index in 1...3 { pending += counts(index) }
        let stack = (0..<Int(depth)).compactMap { body.number(at: $0 * 8, as: UInt64.self) }
        let bucket = Bucket(
            stack: stack, blockSize: Int64(clamping: size), active: counts(0), pending: pending)
        return (bucket, next)
    }

    // MARK: Estimates

    /// What so many sampled blocks of one size stand for, to the byte what runtime/pprof says.
    func estimate(_ blocks: Int64, of size: Int64) -> (objects: Int64, bytes: Int64) {
        guard blocks != 0, size > 0 else { return (0, 0) }
        let bytes = Double(blocks) * Double(size)
        guard rate > 1 else { return (blocks, Int64(towardZero: bytes)) }
        let weight = weight(of: size)
        return (Int64(towardZero: Double(blocks) * weight), Int64(towardZero: bytes * weight))
    }

    func variance(_ blocks: Int64, of size: Int64) -> SamplingVariance {
        guard blocks > 0, size > 0, rate > 1 else { return .zero }
        let weight = weight(of: size)
        let objects = Double(blocks) * weight * (weight - 1)
        return SamplingVariance(
            inuseObjects: Int64(towardZero: objects),
            inuseSpace: Int64(towardZero: objects * Double(size) * Double(size)))
    }

    /// A block of k bytes is sampled with the probability 1 − exp(−k/rate).
    private func weight(of size: Int64) -> Double {
        1 / (1 - exp(-Double(size) / Double(rate)))
    }
}

extension Int64 {
    /// Without the fraction; the nearest there is for numbers that are larger than any.
    fileprivate init(towardZero number: Double) {
        self = Int64(exactly: number.rounded(.towardZero)) ?? (number < 0 ? .min : .max)
    }
}

/// Why nothing can be read of a Go process, and what to do about it.
struct GoFailure: Error {
    let reason: String
    let advice: String

    static let ownProfile =
        "the program's own profile, if it has one: leakprof snapshot http://HOST/debug/pprof/heap"

    static func damaged(_ what: String) -> GoFailure {
        GoFailure(reason: what, advice: "again, or " + ownProfile)
    }
}
