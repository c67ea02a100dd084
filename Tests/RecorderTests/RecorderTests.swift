import CLeakprofLayout
import CLeakprofRecorder
import Dispatch
import LeakprofCapture
import LeakprofModel
import LeakprofTestSupport
import Testing

/// An address for a block nobody has.
private func block(_ owner: UInt64, _ number: Int) -> UnsafeMutableRawPointer? {
    UnsafeMutableRawPointer(bitPattern: UInt(owner) << 36 | UInt(number + 1) * 16)
}

// Blocks are recorded on new threads, one after the other: each takes the next stream of random numbers,
// so the same blocks are sampled in every run.
@Suite(.serialized) struct RecorderTests {
    private func nodesUsed() throws -> String? {
        try RecorderSession.region.inspect().first { $0.name == "stack nodes" }?.value
    }

    @Test func `a stack is interned once, also by many threads at once`() throws {
        _ = RecorderSession.region
        let stacks = (0..<500).map { RecorderSession.stack(1, UInt64($0)) }
        let first = stacks.map { lp_stack_intern($0, 3) }
        let used = try nodesUsed()

        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            for (stack, node) in zip(stacks, first) { #expect(lp_stack_intern(stack, 3) == node) }
        }

        #expect(Set(first).count == 500)
        #expect(!first.contains(0))
        #expect(try nodesUsed() == used)
    }

    @Test func `a block larger than any interval is recorded exactly`() throws {
        _ = RecorderSession.region
        let stack = RecorderSession.stack(2, 0)
        let size = 100 << 20

        onNewThread {
            for number in 0..<20 { lp_record_stack(block(2, number), size, stack, 3) }
            for number in 0..<5 { lp_record_free(block(2, number)) }
        }

        let snapshot = try RecorderSession.region.capture(startsEpoch: false)
        let sample = try #require(RecorderSession.samples(of: 2, in: snapshot)[0])
        #expect(
            sample.counts
                == AllocationCounts(
                    allocObjects: 20, allocSpace: Int64(20 * size), inuseObjects: 15,
                    inuseSpace: Int64(15 * size)))
    }

    @Test func `an address that comes again without a free replaces the block`() throws {
        _ = RecorderSession.region
        let stack = RecorderSession.stack(3, 0)

        onNewThread {
            for _ in 0..<4 { lp_record_stack(block(3, 0), 100 << 20, stack, 3) }
        }

        let snapshot = try RecorderSession.region.capture(startsEpoch: false)
        let sample = try #require(RecorderSession.samples(of: 3, in: snapshot)[0])
        #expect(sample.counts.allocObjects == 4)
        #expect(sample.counts.inuseObjects == 1)
        #expect(snapshot.facts.recording?.statistics["replaced_blocks"] == 3)
    }

    @Test func `a withdrawn block is live until its free is recorded`() throws {
        _ = RecorderSession.region
        let stack = RecorderSession.stack(4, 0)
        func live() throws -> Int64? {
            let snapshot = try RecorderSession.region.capture(startsEpoch: false)
            return RecorderSession.samples(of: 4, in: snapshot)[0]?.counts.inuseObjects
        }
        onNewThread { lp_record_stack(block(4, 0), 100 << 20, stack, 3) }
        var withdrawn = lp_live_block()

        #expect(lp_withdraw(block(4, 0), &withdrawn))
        #expect(!lp_withdraw(block(4, 0), &withdrawn))
        #expect(try live() == 1)
        lp_put_back(block(4, 0), &withdrawn)
        #expect(lp_withdraw(block(4, 0), &withdrawn))
        lp_record_withdrawn_free(&withdrawn)
        #expect(try live() == 0)
    }

    @Test func `a snapshot starts an epoch that later blocks are born in`() throws {
        _ = RecorderSession.region
        let stack = RecorderSession.stack(5, 0)
        onNewThread { lp_record_stack(block(5, 0), 100 << 20, stack, 3) }

        let before = try RecorderSession.region.capture(startsEpoch: true)
        onNewThread {
            lp_record_stack(block(5, 1), 100 << 20, stack, 3)
            lp_record_stack(block(5, 2), 100 << 20, stack, 3)
        }
        let after = try RecorderSession.region.capture(startsEpoch: false)

        let cut = try #require(before.facts.recording?.cutEpoch)
        let born = after.samples.filter { sample in
            sample.epoch > cut && sample.stack.count == 3
                && after.locations[sample.stack[1]].address + 1 == 0x20_0000 + 5 * 16
        }
        #expect(born.map(\.counts.inuseObjects).reduce(0, +) == 2)
        #expect(after.facts.recording?.epochs[Int(cut)].reason == "snapshot")
    }

    @Test func `epochs of which nothing is left take no more counters`() throws {
        _ = RecorderSession.region
        let stack = RecorderSession.stack(6, 0)
        func used() throws -> String? {
            try RecorderSession.region.inspect().first { $0.name == "counters" }?.value
        }
        let size = 100 << 20
        onNewThread {
            lp_record_stack(block(6, 0), size, stack, 3)
            lp_record_free(block(6, 0))
        }
        let before = try used()

        for _ in 0..<20 {
            _ = try RecorderSession.region.capture(startsEpoch: true)
            onNewThread {
                for number in 0..<3 {
                    lp_record_stack(block(6, number), size, stack, 3)
                    lp_record_free(block(6, number))
                }
            }
        }
        #expect(try used() == before)

        // A survivor keeps its epoch; the next one needs a counter of its own.
        onNewThread { lp_record_stack(block(6, 9), size, stack, 3) }
        let cut = try RecorderSession.region.capture(startsEpoch: true).facts.recording?.cutEpoch
        onNewThread { lp_record_stack(block(6, 8), size, stack, 3) }

        let snapshot = try RecorderSession.region.capture(startsEpoch: false)
        let samples = snapshot.samples.filter { sample in
            sample.stack.count == 3
                && snapshot.locations[sample.stack[1]].address + 1 == 0x20_0000 + 6 * 16
        }
        #expect(samples.reduce(0) { $0 + $1.counts.allocObjects } == 1 + 60 + 2)
        #expect(samples.reduce(0) { $0 + $1.counts.allocSpace } == Int64(63 * size))
        #expect(
            samples.filter { $0.counts.inuseObjects > 0 }.map(\.epoch) == [cut, cut.map { $0 + 1 }])
        let older = try #require(samples.first { $0.epoch == cut })
        #expect(older.counts.allocObjects == 4)
    }

    /// The standard error a report prints must be the true one: of 400 trials with seeds of their own, the
    /// truth has to lie within 1.96 standard errors in 95 ± 3 %.
    @Test func `standard errors cover the truth`() throws {
        _ = RecorderSession.region
        let trials = 400
        let blocksPerSite = 20_000
        let sizes = (0..<10).map { 64 << $0 }
        let owner = 1000
        @Sendable func count(_ site: Int) -> Int { blocksPerSite * 64 / sizes[site] + 200 }

        for trial in 0..<trials {
            // Each thread draws from a stream of its own, which the session's seed begins.
            let first = trial * 1_000_000
            onNewThread {
                var number = first
                for site in 0..<10 {
                    let stack = RecorderSession.stack(UInt64(owner + trial), UInt64(site))
                    for index in 0..<count(site) {
                        number += 1
                        let address = block(100, number)
                        lp_record_stack(address, sizes[site], stack, 3)
                        // Every third one is freed, so that what is left is a difference.
                        if index % 3 == 0 { lp_record_free(address) }
                    }
                }
            }
        }

        let snapshot = try RecorderSession.region.capture(startsEpoch: false)
        var covered = 0
        var coveredTotals = 0
        for trial in 0..<trials {
            let samples = RecorderSession.samples(of: UInt64(owner + trial), in: snapshot)
            var estimate = 0.0
            var truth = 0.0
            var variance = 0.0
            for site in 0..<10 {
                let live = Double((count(site) - (count(site) + 2) / 3) * sizes[site])
                truth += live
                guard let sample = samples[UInt64(site)] else { continue }
                estimate += Double(sample.counts.inuseSpace)
                variance += Double(sample.variance.inuseSpace)
                let error = Double(sample.variance.inuseSpace).squareRoot()
                if abs(Double(sample.counts.inuseSpace) - live) <= 1.96 * error { covered += 1 }
            }
            if abs(estimate - truth) <= 1.96 * variance.squareRoot() { coveredTotals += 1 }
        }
        let share = Double(coveredTotals) / Double(trials)
        print(
            "the standard error of the total covered the truth in \(share * 100) % of \(trials) trials"
        )
        print("that of single sites in \(Double(covered) / Double(trials * 10) * 100) %")
        #expect(abs(share - 0.95) <= 0.03)
    }
}
