import CLeakprofRecorder
import Dispatch
import Glibc
import LeakprofTestSupport
import Testing

/// A live table of the test's own; levels stay mapped until the process ends.
private final class Table: @unchecked Sendable {
    let pointer = UnsafeMutablePointer<lp_live_table>.allocate(capacity: 1)

    init(maxBytes: UInt64 = 256 << 20) {
        pointer.initialize(to: lp_live_table())
        pointer.pointee.max_bytes = maxBytes
    }

    func insert(_ address: UInt, size: UInt64, counter: UInt32 = 1, interval: UInt32 = 0) -> Bool {
        var block = lp_live_block(size: size, counter: counter, interval_index: interval)
        var stale = lp_live_block()
        return lp_live_insert(pointer, address, &block, &stale)
    }

    func remove(_ address: UInt) -> lp_live_block? {
        var block = lp_live_block()
        return lp_live_remove(pointer, address, &block, nil) ? block : nil
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

    @Test func `agrees with a dictionary over random operations`() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededGenerator(seed: seed)
        let table = Table()
        var expected: [UInt: UInt64] = [:]

        for _ in 0..<200_000 {
            let address = UInt(random.next(below: 40_000) + 1) * 16
            if let size = expected.removeValue(forKey: address) {
                guard let block = table.remove(address), block.size == size else {
                    Issue.record("lost block \(address) with seed \(seed)")
                    return
                }
            } else {
                let size = random.next() >> 21
                expected[address] = size
                guard table.insert(address, size: size) else {
                    Issue.record("no room for block \(address) with seed \(seed)")
                    return
                }
            }
        }

        for (address, size) in expected { #expect(table.remove(address)?.size == size) }
    }

    @Test func `misses what is not there, however full it is`() {
        let table = Table()
        for number in 1...100_000 { _ = table.insert(UInt(number) * 32, size: 1) }

        for number in 1...100_000 where table.remove(UInt(number) * 32 + 16) != nil {
            Issue.record("found block \(number), which was never there")
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

    @Test func `keeps every block under threads that free each other's`() {
        let threads = 8
        let perThread = 50_000
        let table = Table()

        // Each round, a thread inserts its own blocks and removes those its neighbor inserted.
        for round in 0..<3 {
            DispatchQueue.concurrentPerform(iterations: threads) { thread in
                for number in 0..<perThread {
                    let address = UInt((round * threads + thread) * perThread + number + 1) * 16
                    #expect(table.insert(address, size: UInt64(address)))
                }
            }
            DispatchQueue.concurrentPerform(iterations: threads) { thread in
                let owner = (thread + 1) % threads
                for number in 0..<perThread {
                    let address = UInt((round * threads + owner) * perThread + number + 1) * 16
                    #expect(table.remove(address)?.size == UInt64(address))
                }
            }
        }
    }
}
