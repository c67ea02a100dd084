#include "counters.h"

#include <stdbool.h>

#include "process.h"
#include "sampler.h"

// Takes the next record of the counter table; 0 when it is full.
static uint32_t take_record(void) {
    uint32_t *used = &lp_process.header->counters_used;
    if (lp_load_relaxed_u32(used) >= lp_process.counters_capacity) return 0;
    uint32_t index = lp_add_relaxed_u32(used, 1);
    return index < lp_process.counters_capacity ? index : 0;
}

// Takes as much off both sides of a difference as was freed, and returns how much that was. The freed
// side goes first, so that no reader sees more freed than allocated.
static uint64_t settle(uint64_t *freed, uint64_t *allocated) {
    uint64_t amount = lp_load_relaxed_u64(freed);
    lp_add_relaxed_u64(freed, -amount);
    lp_add_relaxed_u64(allocated, -amount);
    return amount;
}

// Moves what was freed to the retired sums; what is live stays as it is, and so does every count in
// all.
static void retire(struct lp_counter *counter) {
    uint64_t objects = settle(&counter->freed_objects, &counter->allocated_objects);
    uint64_t bytes = settle(&counter->freed_bytes, &counter->allocated_bytes);
    uint32_t index = lp_load_acquire_u32(&counter->sampled);
    if (index != 0) {
        struct lp_sampled *sampled = (struct lp_sampled *)&lp_process.counters[index];
        objects += settle(&sampled->freed_extra_objects, &sampled->allocated_extra_objects) /
                   LP_EXTRA_OBJECTS_ONE;
        bytes += settle(&sampled->freed_extra_bytes, &sampled->allocated_extra_bytes);
        settle(&sampled->freed_variance_objects, &sampled->allocated_variance_objects);
        settle(&sampled->freed_variance_bytes, &sampled->allocated_variance_bytes);
    }
    lp_add_relaxed_u64(&counter->retired_objects, objects);
    lp_add_relaxed_u64(&counter->retired_bytes, bytes);
}

// Whether the counter belongs to `epoch` or a later one, which can only have begun while the caller was
// on its way here. A counter of an earlier epoch is taken over if nothing of that epoch is left.
static bool is_of_epoch(struct lp_counter *counter, uint32_t epoch) {
    uint32_t old = lp_load_acquire_u32(&counter->epoch);
    if (old >= epoch) return true;
    uint64_t allocated = lp_load_relaxed_u64(&counter->allocated_objects);
    if (lp_load_relaxed_u64(&counter->freed_objects) != allocated) return false;
    // Who sets the epoch settles the sums; blocks that others count meanwhile are of the new epoch.
    if (lp_compare_exchange_u32(&counter->epoch, &old, epoch)) retire(counter);
    return true;
}

uint32_t lp_counter_for(uint32_t stack, uint32_t epoch) {
    uint32_t *newest = &lp_process.nodes[stack].newest_counter;
    uint32_t current = lp_load_acquire_u32(newest);
    if (current != 0 && is_of_epoch(&lp_process.counters[current], epoch)) return current;

    // The last quarter is for stacks that have no counter yet: an older epoch is better than no count.
    uint32_t used = lp_load_relaxed_u32(&lp_process.header->counters_used);
    if (current != 0 && used >= lp_process.counters_capacity / 4 * 3) {
        lp_count(LP_STAT_EPOCHS_MERGED, 1);
        return current;
    }
    uint32_t index = take_record();
    if (index == 0) return 0;
    struct lp_counter *counter = &lp_process.counters[index];
    counter->stack = stack;
    lp_store_release_u32(&counter->epoch, epoch);
    while (!lp_compare_exchange_u32(newest, &current, index)) {
        // Another thread made one first; ours stays empty and unused.
        if (is_of_epoch(&lp_process.counters[current], epoch)) return current;
    }
    return index;
}

// Returns the counter's record for weights, made on first use; NULL when the table is full.
static struct lp_sampled *sampled_of(struct lp_counter *counter) {
    uint32_t index = lp_load_acquire_u32(&counter->sampled);
    if (index == 0) {
        uint32_t taken = take_record();
        if (taken == 0) return NULL;
        if (lp_compare_exchange_u32(&counter->sampled, &index, taken)) index = taken;
    }
    return (struct lp_sampled *)&lp_process.counters[index];
}

void lp_count_allocated(const struct lp_live_block *block) {
    struct lp_counter *counter = &lp_process.counters[block->counter];
    uint64_t interval = lp_process.intervals[block->interval_index];
    if (interval != 0) {
        struct lp_sampled *sampled = sampled_of(counter);
        struct lp_weight weight = lp_weight_of(block->size, interval);
        if (sampled != NULL) {
            lp_add_relaxed_u64(&sampled->allocated_extra_objects, weight.extra_objects);
            lp_add_relaxed_u64(&sampled->allocated_extra_bytes, weight.extra_bytes);
            lp_add_relaxed_u64(&sampled->allocated_variance_objects, weight.variance_objects);
            lp_add_relaxed_u64(&sampled->allocated_variance_bytes, weight.variance_bytes);
        }
    }
    lp_add_relaxed_u64(&counter->allocated_objects, 1);
    lp_add_relaxed_u64(&counter->allocated_bytes, block->size);
}

void lp_count_freed(const struct lp_live_block *block) {
    struct lp_counter *counter = &lp_process.counters[block->counter];
    uint64_t interval = lp_process.intervals[block->interval_index];
    lp_add_relaxed_u64(&counter->freed_objects, 1);
    lp_add_relaxed_u64(&counter->freed_bytes, block->size);
    if (interval != 0) {
        struct lp_sampled *sampled = sampled_of(counter);
        struct lp_weight weight = lp_weight_of(block->size, interval);
        if (sampled != NULL) {
            lp_add_relaxed_u64(&sampled->freed_extra_objects, weight.extra_objects);
            lp_add_relaxed_u64(&sampled->freed_extra_bytes, weight.extra_bytes);
            lp_add_relaxed_u64(&sampled->freed_variance_objects, weight.variance_objects);
            lp_add_relaxed_u64(&sampled->freed_variance_bytes, weight.variance_bytes);
        }
    }
}
