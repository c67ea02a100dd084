#include "interval.h"

#include <stdbool.h>

#include "free_filter.h"
#include "process.h"
#include "raw.h"
#include "thin.h"

uint64_t lp_interval_now(void) {
    return lp_process.intervals[lp_load_acquire_u32(&lp_process.header->interval_index)];
}

// The index of the interval in the region's table; that of the last one when the table is full.
static uint32_t index_of(uint64_t interval_bytes) {
    struct lp_header *header = lp_process.header;
    uint32_t used = header->intervals_used;
    for (uint32_t index = 0; index < used; index++) {
        if (lp_process.intervals[index] == interval_bytes) return index;
    }
    if (used == LP_INTERVALS) return used - 1;
    lp_process.intervals[used] = interval_bytes;
    lp_store_release_u32(&header->intervals_used, used + 1);
    return used;
}

// Makes all threads pass a barrier; false where the kernel can't, or a sandbox might not let us ask.
static bool pass_barrier(void) {
    return !__atomic_load_n(&lp_process.is_confined, __ATOMIC_RELAXED) && lp_sys_barrier() == 0;
}

void lp_interval_change(uint64_t interval_bytes) {
    uint32_t *current = &lp_process.header->interval_index;
    uint32_t old = lp_load_relaxed_u32(current);
    uint32_t index = index_of(interval_bytes);
    if (old == 0) lp_filter_forget_exact();
    if (index == 0) lp_filter_use(false);
    __atomic_store_n(current, index, __ATOMIC_SEQ_CST);
    lp_process_change_token();
    // Who inserts a block under the old interval looks at the new one afterwards (insert() in
    // recorder.c). Now that all threads have passed a barrier, each such block is found by it or by the
    // pass over the table. Where the kernel can't do that, or a sandbox forbids it, every free is
    // looked at, as in exact mode.
    bool is_passed = pass_barrier();
    bool is_longer = interval_bytes > lp_process.intervals[old];
    uint32_t used = lp_load_relaxed_u32(&lp_process.header->intervals_used);
    for (uint32_t from = 0; is_longer && from < used; from++) {
        if (lp_process.intervals[from] < interval_bytes) lp_thin(from, index);
    }
    if (index != 0 && is_passed) lp_filter_use(true);
}

void lp_interval_refresh(void) {
    uint32_t index = lp_load_relaxed_u32(&lp_process.header->interval_index);
    if (index == 0 || !pass_barrier()) return;
    lp_filter_use(false);
    lp_filter_forget_exact();
    lp_thin(0, index);
    lp_filter_use(true);
}
