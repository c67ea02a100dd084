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

        static func + (left: Counts, right: Counts) -> Counts {
            var sum = left
            sum += right
            return sum
        }

        static func - (left: Counts, right: Counts) -> Counts {
            Counts(
                allocations: left.allocations.saturatingSubtract(right.allocations),
                frees: left.frees.saturatingSubtract(right.frees))
        }
    }

    struct Bucket: Equatable {
        /// In the process, where it stays.
        var address: UInt64
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
    /// What there was when leakprof changed the rate; `nil` when it did not.
    var baseline: GoBaseline?
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
            address: address, stack: stack, blockSize: Int64(clamping: size), active: counts(0),
            pending: pending)
        return (bucket, next)
    }

    // MARK: Shares

    /// What of a bucket was sampled at one rate.
    struct Share: Equatable {
        var rate: Int64
        var active: Counts
        var pending: Counts
    }

    /// What of the bucket was sampled before the rate was changed, unless that was nothing, and what since.
    func shares(of bucket: Bucket) -> [Share] {
        guard let baseline else {
            return [Share(rate: rate, active: bucket.active, pending: bucket.pending)]
        }
        let active = baseline.split(bucket.active, of: bucket)
        let all = baseline.split(bucket.active + bucket.pending, of: bucket)
        let since = Share(
            rate: baseline.newRate, active: active.since, pending: all.since - active.since)
        // What was sampled at an unknown rate can't be scaled.
        guard baseline.oldRate != 0 else { return [since] }
        let before = Share(
            rate: baseline.oldRate, active: active.before, pending: all.before - active.before)
        return [before, since]
    }

    /// How far the bytes in use may be off because frees may be of blocks from before the change of the rate, or not.
    var ambiguousBytes: Int64 {
        guard let baseline, baseline.oldRate != 0 else { return 0 }
        let hasCollected = hasCollected
        return buckets.reduce(0) { sum, bucket in
            let counts = hasCollected ? bucket.active : bucket.active + bucket.pending
            let blocks = baseline.split(counts, of: bucket).ambiguousFrees
            let before = estimate(blocks, of: bucket.blockSize, at: baseline.oldRate).bytes
            let since = estimate(blocks, of: bucket.blockSize, at: baseline.newRate).bytes
            return sum.saturatingAdd(before.distance(since))
        }
    }

    // MARK: Estimates

    /// What so many sampled blocks of one size stand for, to the byte what runtime/pprof says; at the present rate,
    /// or at another.
    func estimate(
        _ blocks: Int64, of size: Int64, at rate: Int64? = nil
    ) -> (objects: Int64, bytes: Int64) {
        let rate = rate ?? self.rate
        guard blocks != 0, size > 0 else { return (0, 0) }
        let bytes = Double(blocks) * Double(size)
        guard rate > 1 else { return (blocks, Int64(towardZero: bytes)) }
        let weight = Self.weight(of: size, at: rate)
        return (Int64(towardZero: Double(blocks) * weight), Int64(towardZero: bytes * weight))
    }

    func variance(_ blocks: Int64, of size: Int64, at rate: Int64? = nil) -> SamplingVariance {
        let rate = rate ?? self.rate
        guard blocks > 0, size > 0, rate > 1 else { return .zero }
        let weight = Self.weight(of: size, at: rate)
        let objects = Double(blocks) * weight * (weight - 1)
        return SamplingVariance(
            inuseObjects: Int64(towardZero: objects),
            inuseSpace: Int64(towardZero: objects * Double(size) * Double(size)))
    }

    /// A block of k bytes is sampled with the probability 1 − exp(−k/rate).
    private static func weight(of size: Int64, at rate: Int64) -> Double {
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
