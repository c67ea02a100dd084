import LeakprofModel
import LeakprofTestSupport
import Testing

@testable import LeakprofCapture

/// A process's memory with a heap profile of Go in it, in a file.
private struct GoMemory {
    static let head: UInt64 = 0x100
    static let rate: UInt64 = 0x108

    private var bytes = [UInt8](repeating: 0, count: 0x1000)

    init(rate: Int64) { put(UInt64(bitPattern: rate), at: Self.rate) }

    mutating func put(_ word: UInt64, at address: UInt64) {
        while bytes.count < Int(address) + 8 { bytes.append(0) }
        for index in 0..<8 {
            bytes[Int(address) + index] = UInt8(truncatingIfNeeded: word >> UInt64(index * 8))
        }
    }

    /// `cycles` are active and the three that are pending, of which only allocs and frees are of interest.
    mutating func putBucket(
        at address: UInt64, next: UInt64, size: UInt64, stack: [UInt64], cycles: [(UInt64, UInt64)],
        version: GoVersion, type: UInt64 = 1, depth: UInt64? = nil
    ) {
        let header: [UInt64] = [
            0xdead, next, type, 0, size, depth ?? UInt64(stack.count),
        ]
        var words = header + stack
        for (allocations, frees) in cycles {
            words += [allocations, frees]
            if version.profileCycleBytes == 32 { words += [allocations &* size, frees &* size] }
        }
        for (index, word) in words.enumerated() { put(word, at: address + UInt64(index * 8)) }
    }

    /// Reads it back.
    func heap(_ version: GoVersion) throws -> GoHeap {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/memory"
        try Files.write(bytes, to: path)
        return try GoHeap.read(
            try PagedBytes(path: path), buckets: Self.head, rate: Self.rate, version)
    }
}

@Suite struct GoHeapImageTests {
    static let versions = GoVersion.known.compactMap { GoVersion("go1.\($0).1") }
    /// One with each layout of buckets.
    static let layouts = ["go1.19", "go1.27.3"].compactMap { GoVersion($0) }

    @Test(arguments: versions)
    func `buckets are read with what is active and what is pending`(version: GoVersion) throws {
        var memory = GoMemory(rate: 1)
        memory.put(0x400, at: GoMemory.head)
        memory.putBucket(
            at: 0x400, next: 0xff0, size: 48, stack: [1, 2, 3],
            cycles: [(10, 4), (5, 1), (7, 0), (0, 2)], version: version)
        // Over the end of a page.
        memory.putBucket(
            at: 0xff0, next: 0, size: 16, stack: [9],
            cycles: [(1, 0), (0, 0), (0, 0), (0, 1)], version: version)
        let heap = try memory.heap(version)
        #expect(
            heap.buckets == [
                GoHeap.Bucket(
                    address: 0x400, stack: [1, 2, 3], blockSize: 48,
                    active: GoHeap.Counts(allocations: 10, frees: 4),
                    pending: GoHeap.Counts(allocations: 12, frees: 3)),
                GoHeap.Bucket(
                    address: 0xff0, stack: [9], blockSize: 16,
                    active: GoHeap.Counts(allocations: 1, frees: 0),
                    pending: GoHeap.Counts(allocations: 0, frees: 1)),
            ])
        #expect(heap.hasCollected)
    }

    /// Numbers that no block can have, each of which overflows something.
    @Test(arguments: layouts) func `absurd sums saturate`(version: GoVersion) throws {
        for rate in [Int64.min, -1, 0, 1, 2, 524_288, .max] {
            for size in [0, 1, 48, UInt64(Int64.max), .max] {
                var memory = GoMemory(rate: rate)
                memory.put(0x400, at: GoMemory.head)
                memory.putBucket(
                    at: 0x400, next: 0, size: size, stack: [],
                    cycles: [(.max, 0), (.max, .max), (.max, 1), (0, .max)], version: version)
                let heap = try memory.heap(version)
                let bucket = try #require(heap.buckets.first)
                #expect(bucket.active.allocations == .max)
                #expect(bucket.pending.frees == .max)
                for blocks in [Int64.min, -1, 0, 1, .max] {
                    let (objects, bytes) = heap.estimate(blocks, of: bucket.blockSize)
                    #expect(objects.signum() == (size == 0 ? 0 : blocks.signum()))
                    #expect(bytes.signum() == objects.signum())
                    #expect(heap.variance(blocks, of: bucket.blockSize).inuseSpace >= 0)
                }
            }
        }
    }

    @Test(arguments: layouts) func `lists without an end are refused`(version: GoVersion) throws {
        for next: UInt64 in [0x400, 0x800] {
            var memory = GoMemory(rate: 1)
            memory.put(0x400, at: GoMemory.head)
            memory.putBucket(
                at: 0x400, next: next, size: 8, stack: [1],
                cycles: [(1, 0), (0, 0), (0, 0), (0, 0)], version: version)
            memory.putBucket(
                at: 0x800, next: 0x400, size: 8, stack: [1],
                cycles: [(1, 0), (0, 0), (0, 0), (0, 0)], version: version)
            let error = #expect(throws: GoFailure.self) { try memory.heap(version) }
            #expect(error?.reason == "the list of its heap profile has no end")
        }
    }

    @Test(arguments: layouts)
    func `records that can't be ones are refused`(version: GoVersion) throws {
        func read(
            at address: UInt64 = 0x400, next: UInt64 = 0, type: UInt64 = 1, depth: UInt64 = 1
        ) throws {
            var memory = GoMemory(rate: 1)
            memory.put(address, at: GoMemory.head)
            memory.putBucket(
                at: 0x400, next: next, size: 8, stack: [1],
                cycles: [(1, 0), (0, 0), (0, 0), (0, 0)], version: version, type: type,
                depth: depth)
            _ = try memory.heap(version)
        }
        try read()
        for address: UInt64 in [0x10_0000, UInt64(Int64.max) - 7, .max - 47, .max] {
            #expect(throws: GoFailure.self) { try read(at: address) }
            #expect(throws: GoFailure.self) { try read(next: address) }
        }
        // Of blocking profiles, which are in lists of their own.
        #expect(throws: GoFailure.self) { try read(type: 2) }
        for depth: UInt64 in [1027, 1 << 32, 1 << 61, .max] {
            #expect(throws: GoFailure.self) { try read(depth: depth) }
        }
        // More than there is behind it.
        #expect(throws: GoFailure.self) { try read(depth: 1024) }
    }

    @Test func `estimates are runtime/pprof's`() {
        // By its scaleHeapSample.
        let heap = GoHeap(buckets: [], rate: 524_288)
        #expect(heap.estimate(1, of: 16) == (32768, 524_296))
        #expect(heap.estimate(3, of: 8192) == (193, 1_585_183))
        #expect(heap.estimate(2, of: 1 << 20) == (2, 2_425_393))
        #expect(heap.estimate(-1, of: 16) == (-32768, -524_296))
        // Of one block that stands for w: w (w − 1).
        #expect(heap.variance(1, of: 1 << 20).inuseObjects == 0)
        #expect(abs(heap.variance(1, of: 16).inuseObjects - 32768 * 32768) < 32768)
        #expect(GoHeap(buckets: [], rate: 1).estimate(5, of: 16) == (5, 80))
        #expect(GoHeap(buckets: [], rate: 0).estimate(5, of: 16) == (5, 80))
    }
}
