internal import LeakprofModel

/// Turns Go's heap profile into a snapshot with symbols.
struct GoSnapshotBuilder {
    private let reader: GoReader
    private var snapshot: Snapshot
    /// By return address.
    private var locationIndices: [UInt64: Int] = [:]
    private var sampleIndices: [[Int]: Int] = [:]

    /// `program` becomes the only mapping.
    init(_ reader: GoReader, program: Mapping) {
        self.reader = reader
        snapshot = Snapshot(mappings: [program])
    }

    /// The blocks as of the last completed garbage collection, or all when there was none yet.
    consuming func build(_ heap: GoHeap) -> Snapshot {
        let hasCollected = heap.hasCollected
        for bucket in heap.buckets {
            for share in heap.shares(of: bucket) {
                let counts = hasCollected ? share.active : share.pending
                add(bucket, counts, at: share.rate, heap)
            }
        }
        return snapshot
    }

    private mutating func add(
        _ bucket: GoHeap.Bucket, _ counts: GoHeap.Counts, at rate: Int64, _ heap: GoHeap
    ) {
        guard counts.allocations != 0 else { return }
        let allocated = heap.estimate(counts.allocations, of: bucket.blockSize, at: rate)
        let live = max(0, counts.allocations.saturatingSubtract(counts.frees))
        let inUse = heap.estimate(live, of: bucket.blockSize, at: rate)
        let sums = AllocationCounts(
            allocObjects: allocated.objects, allocSpace: allocated.bytes,
            inuseObjects: inUse.objects, inuseSpace: inUse.bytes)
        let variance = heap.variance(live, of: bucket.blockSize, at: rate)
        let stack = stack(bucket.stack)
        // Blocks of several sizes come from one line.
        if let known = sampleIndices[stack] {
            snapshot.samples[known].counts += sums
            snapshot.samples[known].variance += variance
        } else {
            sampleIndices[stack] = snapshot.samples.count
            snapshot.samples.append(Sample(stack: stack, counts: sums, variance: variance))
        }
    }

    private mutating func stack(_ addresses: [UInt64]) -> [Int] {
        var addresses = addresses
        // A stack that was cut within inlined calls goes on to the function they are in.
        if let last = addresses.last, let caller = reader.frame(returningTo: last)?.caller {
            addresses += callers(from: caller)
        }
        if addresses.last.flatMap(name) == "runtime.goexit" { addresses.removeLast() }
        let shown = addresses.drop { isRuntime($0) }
        let stack = (shown.isEmpty ? addresses[...] : shown).map { location(returningTo: $0) }
        return stack.isEmpty ? [location(returningTo: 0)] : stack
    }

    private func name(_ address: UInt64) -> String? {
        reader.frame(returningTo: address)?.frame.function
    }

    /// Return addresses that stand for the functions that inlined calls are in.
    private func callers(from offset: UInt64) -> [UInt64] {
        let inliningLimit = 1 << 10
        var addresses: [UInt64] = []
        var place: UInt64? = offset
        while let current = place, addresses.count < inliningLimit {
            let address = reader.returnAddress(after: current)
            guard let frame = reader.frame(returningTo: address) else { break }
            addresses.append(address)
            place = frame.caller
        }
        return addresses
    }

    /// Whether the frame is one of the runtime's own, which runtime/pprof hides at the leaf.
    private func isRuntime(_ address: UInt64) -> Bool {
        guard let name = name(address) else { return false }
        return name.hasPrefix("runtime.") || name.hasPrefix("internal/runtime/")
    }

    private mutating func location(returningTo address: UInt64) -> Int {
        if let known = locationIndices[address] { return known }
        let index = snapshot.locations.count
        let lookup = address == 0 ? 0 : address - 1
        let frame = reader.frame(returningTo: address)?.frame
        snapshot.locations.append(
            frame.map { Location(address: lookup, mapping: 0, frames: [$0]) }
                ?? Location(
                    address: lookup, frames: [.unsymbolized(address: lookup, in: nil)]))
        locationIndices[address] = index
        return index
    }
}
