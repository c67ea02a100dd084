import LeakprofModel
import LeakprofTestSupport
import Testing

@testable import LeakprofCapture

@Suite struct GoBaselineTests {
    private typealias Counts = GoHeap.Counts

    private func bucket(
        _ active: (Int64, Int64), _ pending: (Int64, Int64) = (0, 0), address: UInt64 = 0x400
    ) -> GoHeap.Bucket {
        GoHeap.Bucket(
            address: address, stack: [1], blockSize: 512,
            active: Counts(allocations: active.0, frees: active.1),
            pending: Counts(allocations: pending.0, frees: pending.1))
    }

    private func heap(
        _ buckets: [GoHeap.Bucket], since old: [GoHeap.Bucket], oldRate: Int64 = 524_288
    ) -> GoHeap {
        var heap = GoHeap(buckets: buckets, rate: 4096)
        heap.baseline = GoBaseline(oldRate: oldRate, newRate: 4096, buckets: old)
        return heap
    }

    @Test func `without a change there is one share`() {
        let bucket = bucket((10, 4), (3, 1))
        let heap = GoHeap(buckets: [bucket], rate: 4096)
        #expect(
            heap.shares(of: bucket) == [
                GoHeap.Share(rate: 4096, active: bucket.active, pending: bucket.pending)
            ])
        #expect(heap.ambiguousBytes == 0)
    }

    @Test func `what was pending at the change belongs to before, whenever it is published`() {
        let old = bucket((10, 4), (5, 2))
        // Nothing published yet; a part; all; all and some of what was sampled since.
        for (active, pending, before, since) in [
            ((10, 4), (7, 2), (10, 4), (0, 0)), ((12, 5), (5, 1), (12, 5), (0, 0)),
            ((15, 6), (2, 0), (15, 6), (0, 0)), ((17, 6), (0, 0), (15, 6), (2, 0)),
        ] as [((Int64, Int64), (Int64, Int64), (Int64, Int64), (Int64, Int64))] {
            let bucket = bucket(active, pending)
            let shares = heap([bucket], since: [old]).shares(of: bucket)
            #expect(shares.map(\.rate) == [524_288, 4096])
            #expect(shares[0].active == Counts(allocations: before.0, frees: before.1))
            #expect(shares[1].active == Counts(allocations: since.0, frees: since.1))
            #expect(
                shares[0].active + shares[0].pending == Counts(allocations: 15, frees: 6))
            #expect(shares[1].active + shares[1].pending == Counts(allocations: 2, frees: 0))
        }
    }

    @Test func `frees beyond what was allocated since are of before`() {
        let old = bucket((10, 0))
        let bucket = bucket((12, 5))
        let heap = heap([bucket], since: [old])
        let shares = heap.shares(of: bucket)
        #expect(shares[1].active == Counts(allocations: 2, frees: 2))
        #expect(shares[0].active == Counts(allocations: 10, frees: 3))
        // The two may have been of before.
        let difference =
            heap.estimate(2, of: 512, at: 524_288).bytes - heap.estimate(2, of: 512).bytes
        #expect(heap.ambiguousBytes == difference)
    }

    @Test func `frees beyond what was live at the change are of since`() {
        let heap = heap([bucket((30, 29))], since: [bucket((10, 9))])
        let since = heap.shares(of: heap.buckets[0])[1]
        #expect(since.active == Counts(allocations: 20, frees: 20))
        // 20 frees; one may have been of the block of before.
        let one =
            heap.estimate(1, of: 512, at: 524_288).bytes - heap.estimate(1, of: 512).bytes
        #expect(heap.ambiguousBytes == one)
    }

    @Test func `where nothing was sampled before, nothing is ambiguous, and all is of since`() {
        let bucket = bucket((12, 5))
        let heap = heap([bucket], since: [self.bucket((2, 1))], oldRate: 0)
        #expect(
            heap.shares(of: bucket) == [
                GoHeap.Share(
                    rate: 4096, active: Counts(allocations: 10, frees: 4), pending: Counts())
            ])
        #expect(heap.ambiguousBytes == 0)
    }

    @Test func `a bucket that is new, or is another one, has nothing of before`() {
        var other = bucket((10, 4))
        other.blockSize = 48
        for old in [bucket((10, 4), address: 0x800), other] {
            let bucket = bucket((12, 5))
            let shares = heap([bucket], since: [old]).shares(of: bucket)
            #expect(shares[0].active == Counts())
            #expect(shares[1].active == bucket.active)
        }
    }

    @Test func `a file's numbers become the same buckets, or none`() throws {
        let buckets = [bucket((10, 4), (5, 2)), bucket((1, 0), address: .max - 7)]
        var attachment = GoAttachment(
            attachedAt: 1, oldRate: 524_288, newRate: 4096,
            buckets: GoBaseline.numbers(of: buckets))
        #expect(
            try #require(GoBaseline(attachment))
                == GoBaseline(oldRate: 524_288, newRate: 4096, buckets: buckets))
        attachment.buckets?.removeLast()
        #expect(GoBaseline(attachment) == nil)
        attachment.buckets = nil
        #expect(GoBaseline(attachment) == nil)
    }

    /// What a file may say, as it is only numbers.
    @Test func `absurd numbers saturate`() {
        let extremes: [Int64] = [.min, -1, 0, 1, .max]
        for old in extremes {
            for now in extremes {
                for rate in extremes {
                    let heap = heap(
                        [bucket((now, old), (now, now))], since: [bucket((old, now), (old, old))],
                        oldRate: rate)
                    #expect(heap.shares(of: heap.buckets[0]).count == (rate == 0 ? 1 : 2))
                    #expect(heap.ambiguousBytes >= 0)
                }
            }
        }
    }
}
