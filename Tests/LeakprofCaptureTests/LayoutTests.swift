import CLeakprofLayout
import Testing

/// Both compilers must lay the region out alike; layout_asserts.c checks the same numbers for C.
@Suite struct LayoutTests {
    @Test func `Swift sees the sizes that C sees`() {
        #expect(MemoryLayout<lp_header>.size == LP_HEADER_BYTES)
        #expect(MemoryLayout<lp_epoch>.stride == LP_EPOCH_BYTES)
        #expect(MemoryLayout<lp_module>.stride == LP_MODULE_BYTES)
        #expect(MemoryLayout<lp_node>.stride == LP_NODE_BYTES)
        #expect(MemoryLayout<lp_counter>.stride == LP_COUNTER_BYTES)
        #expect(MemoryLayout<lp_sampled>.stride == LP_COUNTER_BYTES)
    }

    @Test func `Swift sees the offsets that C sees`() {
        #expect(MemoryLayout<lp_header>.offset(of: \.state) == Int(LP_HEADER_STATE_OFF))
        #expect(MemoryLayout<lp_header>.offset(of: \.epochs_used) == Int(LP_HEADER_EPOCHS_USED_OFF))
        #expect(
            MemoryLayout<lp_counter>.offset(of: \.allocated_objects)
                == Int(LP_COUNTER_ALLOCATED_OFF))
        #expect(MemoryLayout<lp_counter>.offset(of: \.stack) == Int(LP_COUNTER_STACK_OFF))
        #expect(
            MemoryLayout<lp_sampled>.offset(of: \.allocated_extra_objects)
                == Int(LP_SAMPLED_ALLOCATED_OFF))
    }

    @Test func `the magic reads LEAKREG1 in the file`() {
        #expect(withUnsafeBytes(of: LP_MAGIC) { Array($0) } == Array("LEAKREG1".utf8))
        #expect(withUnsafeBytes(of: LP_STATUS_MARK_LOW) { Array($0) } == Array("leakshim".utf8))
    }

    @Test func `accessors do what their names say`() {
        var small: UInt32 = 5
        var large: UInt64 = 7
        lp_store_release_u32(&small, 6)
        lp_store_release_u64(&large, 8)
        #expect(lp_load_acquire_u32(&small) == 6)
        #expect(lp_load_acquire_u64(&large) == 8)
        #expect(lp_add_relaxed_u32(&small, 4) == 6)
        #expect(lp_add_relaxed_u64(&large, 2) == 8)
        var expected: UInt32 = 1
        #expect(lp_compare_exchange_u32(&small, &expected, 99) == 0)
        #expect(expected == 10)
        #expect(lp_compare_exchange_u32(&small, &expected, 99) == 1)
        #expect(small == 99)
    }
}
