// Sums of what was allocated and freed, per stack trace and birth epoch.
#ifndef LEAKPROF_COUNTERS_H
#define LEAKPROF_COUNTERS_H

#include <stdint.h>

#include "live_table.h"
#include "process.h"
#include "thread_block.h"

// Finds or makes the record; see lp_counter_for().
uint32_t lp_counter_find(struct lp_thread_block *block, uint32_t stack, uint32_t epoch);

// Returns the counter for blocks born now at `stack` in `epoch`, 0 when none is left. `block` is this
// thread's, entered, or NULL. Any thread.
static inline uint32_t lp_counter_for(struct lp_thread_block *block, uint32_t stack, uint32_t epoch) {
    if (block == NULL) return lp_counter_find(NULL, stack, epoch);
    const struct lp_counter_place *place = &block->counters[stack % LP_COUNTER_PLACES];
    const struct lp_counter *counter = &lp_process.counters[place->counter];
    // An empty place names record 0, which is of no epoch.
    if (__builtin_expect(place->stack == stack && counter->epoch == epoch, 1)) return place->counter;
    return lp_counter_find(block, stack, epoch);
}

// What the two below leave: blocks that are sampled, or whose counter is not this thread's.
void lp_count_other_allocated(struct lp_thread_block *block, const struct lp_live_block *allocated);
void lp_count_other_freed(const struct lp_live_block *freed);

// Adds a block to its counter's allocated or freed sums. A sampled block's weight is added as well; it
// depends on the block's size and interval alone, so what a free takes away is what its allocation
// added. Any thread, also in signal handlers.
static inline void lp_count_allocated(struct lp_thread_block *block,
                                      const struct lp_live_block *allocated) {
    struct lp_counter *counter = &lp_process.counters[allocated->counter];
    if (__builtin_expect(allocated->interval_index != 0 || counter->owner == 0, 0)) {
        lp_count_other_allocated(block, allocated);
        return;
    }
    lp_add_own(&counter->allocated_objects, 1);
    lp_add_own(&counter->allocated_bytes, allocated->size);
}

static inline void lp_count_freed(const struct lp_live_block *freed) {
    struct lp_counter *counter = &lp_process.counters[freed->counter];
    if (__builtin_expect(freed->interval_index != 0 || counter->owner != lp_thread_number(), 0)) {
        lp_count_other_freed(freed);
        return;
    }
    lp_add_own(&counter->freed_objects, 1);
    lp_add_own(&counter->freed_bytes, freed->size);
}

// Makes a live block, counted under `old_interval`, stand for as much as its interval says now. What
// was allocated stays as it is: the difference goes to what was freed, which may be negative for a
// while.
void lp_count_reweighed(const struct lp_live_block *block, uint64_t old_interval);

#endif
