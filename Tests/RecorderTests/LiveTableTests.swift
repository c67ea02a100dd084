import CLeakprofRecorder
import Dispatch
import Glibc
import LeakprofTestSupport
import Testing

/// A live table of the test's own; levels stay mapped until the process ends.
private final class Table: @unchecked Sendable {
    let pointer = UnsafeMutablePointer<lp_live_table>.allocate(capacity: 1)

    /// With `hasOwnWords`, no two blocks may share 32 bytes, as in glibc.
    init(maxBytes: UInt64 = 256 << 20, hasOwnWords: Bool = false) {
        pointer.initialize(to: lp_live_table())
        pointer.pointee.max_bytes = maxBytes
        pointer.pointee.has_own_words = hasOwnWords
    }

    func insert(_ address: UInt, size: UInt64, counter: UInt32 = 1, interval: UInt32 = 0) -> Bool {
        var block = lp_live_block(size: size, counter: counter, interval_index: interval)
        var stale = lp_live_block()
        return lp_live_insert(pointer, address, &block, &stale)
    }

    func remove(_ address: UInt) -> lp_live_block? {
        var block = lp_live_block()
        let isFound = lp_live_find(pointer, address, &block)
        let size = block.size
        let isRemoved = lp_live_remove(pointer, address, &block, nil)
        // Looking finds what removing does, and changes nothing.
        #expect(isFound == isRemoved && (!isFound || size == block.size))
        return isRemoved ? block : nil
    }
}

@Suite struct LiveTableTests {
    @Test func `returns what was put in, once`() {
        let table = Table()

        #expect(
            table.insert(0x7fff_1234_5678, size: (1 << 43) - 1, counter: 0xff_ffff, interval: 62))

        let block = table.remove(0x7fff_1234_5678)
        #expect(block?.size == (1 << 43) - 1)
        #expect(block?.counter == 0xff_ffff)
        #expect(block?.interval_index == 62)
        #expect(table.remove(0x7fff_1234_5678) == nil)
    }

    @Test func `refuses what a slot has no room for`() {
        var block = lp_live_block(size: 1 << 43, counter: 1, interval_index: 0)
        #expect(!lp_live_is_representable(16, &block))
        block.size = 1
        #expect(lp_live_is_representable(16, &block))
        #expect(!lp_live_is_representable(17, &block))
        #expect(!lp_live_is_representable(1 << 48, &block))
        for counter: UInt32 in [0, 1 << 24] {
            block.counter = counter
            #expect(!lp_live_is_representable(16, &block))
        }
    }

    /// Small blocks and large ones, 16 bytes apart or as far as glibc's.
    @Test(arguments: [16, 32])
    func `agrees with a dictionary over random operations`(distance: Int) {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededGenerator(seed: seed)
        let table = Table(hasOwnWords: distance == 32)
        var expected: [UInt: UInt64] = [:]

        for _ in 0..<200_000 {
            let address = UInt((random.next(below: 40_000) + 1) * distance)
            if let size = expected.removeValue(forKey: address) {
                guard let block = table.remove(address), block.size == size else {
                    Issue.record("lost block \(address) with seed \(seed)")
                    return
                }
            } else {
                let size = random.next() >> (random.next() % 2 == 0 ? 21 : 55)
                expected[address] = size
                guard table.insert(address, size: size) else {
                    Issue.record("no room for block \(address) with seed \(seed)")
                    return
                }
            }
        }

        for (address, size) in expected { #expect(table.remove(address)?.size == size) }
        for address in expected.keys { #expect(table.remove(address) == nil) }
    }

    @Test(arguments: [false, true])
    func `misses what is not there, however full it is`(hasOwnWords: Bool) {
        let table = Table(hasOwnWords: hasOwnWords)
        for number in 1...100_000 { _ = table.insert(UInt(number) * 32, size: 1) }

        for number in 1...100_000 where table.remove(UInt(number) * 32 + 16) != nil {
            Issue.record("found block \(number), which was never there")
        }
    }

    /// A block whose free was not seen, found at the address of the next one.
    @Test(arguments: [(5, 6), (5, 5000), (5000, 5001)])
    func `tells of a block that is still there`(sizes: (UInt64, UInt64)) {
        let table = Table(hasOwnWords: true)
        var stale = lp_live_block()
        var first = lp_live_block(size: sizes.0, counter: 7, interval_index: 0)
        var second = lp_live_block(size: sizes.1, counter: 8, interval_index: 0)

        #expect(lp_live_insert(table.pointer, 64, &first, &stale))
        #expect(stale.counter == 0)
        #expect(lp_live_insert(table.pointer, 64, &second, &stale))

        #expect(stale.counter == 7)
        #expect(stale.size == sizes.0)
        #expect(table.remove(64)?.counter == 8)
        #expect(table.remove(64) == nil)
    }

    /// CPython's debug hooks give out what lies 16 bytes into malloc's block: nothing, if that was asked for.
    @Test(arguments: [24, 5000])
    func `keeps an empty block of the debug hooks beside a larger one of malloc's`(size: UInt64) {
        for isEmptyFirst in [true, false] {
            let table = Table(hasOwnWords: true)
            lp_live_expect_close_blocks(table.pointer, true)
            var stale = lp_live_block()
            var empty = lp_live_block(size: 0, counter: 7, interval_index: 0)
            var other = lp_live_block(size: size, counter: 8, interval_index: 0)
            let insertEmpty = { #expect(lp_live_insert(table.pointer, 64, &empty, &stale)) }

            if isEmptyFirst { insertEmpty() }
            #expect(lp_live_insert(table.pointer, 80, &other, &stale))
            if !isEmptyFirst { insertEmpty() }

            #expect(stale.counter == 0)
            #expect(table.remove(64)?.counter == 7)
            #expect(table.remove(80)?.counter == 8)
        }
    }

    @Test func `stays within its memory, and keeps what it has when it is full`() {
        let table = Table(maxBytes: 200 << 10)
        var kept: [UInt] = []

        var address: UInt = 16
        while table.insert(address, size: 5) {
            kept.append(address)
            address += 16
        }

        #expect(table.pointer.pointee.bytes <= 200 << 10)
        #expect(kept.count > 6000)
        for address in kept { #expect(table.remove(address)?.size == 5) }
        #expect(table.insert(16, size: 6))
    }

    @Test(arguments: [16, 32])
    func `keeps every block under threads that free each other's`(distance: Int) {
        let threads = 8
        let perThread = 50_000
        let table = Table(hasOwnWords: distance == 32)

        // Each round, a thread inserts its own blocks and removes those its neighbor inserted.
        for round in 0..<3 {
            DispatchQueue.concurrentPerform(iterations: threads) { thread in
                for number in 0..<perThread {
                    let address = UInt(
                        ((round * threads + thread) * perThread + number + 1) * distance)
                    #expect(table.insert(address, size: UInt64(number % 1000)))
                }
            }
            DispatchQueue.concurrentPerform(iterations: threads) { thread in
                let owner = (thread + 1) % threads
                for number in 0..<perThread {
                    let address = UInt(
                        ((round * threads + owner) * perThread + number + 1) * distance)
                    #expect(table.remove(address)?.size == UInt64(number % 1000))
                }
            }
        }
    }
}
