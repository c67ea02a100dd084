#include "counters.h"

#include "process.h"
#include "sampler.h"

// Takes the next record of the counter table; 0 when it is full.
static uint32_t take_record(void) {
    uint32_t *used = &lp_process.header->counters_used;
    if (lp_load_relaxed_u32(used) >= lp_process.counters_capacity) return 0;
    uint32_t index = lp_add_relaxed_u32(used, 1);
    return index < lp_process.counters_capacity ? index : 0;
}

uint32_t lp_counter_for(uint32_t stack, uint32_t epoch) {
    uint32_t *newest = &lp_process.nodes[stack].newest_counter;
    uint32_t current = lp_load_acquire_u32(newest);
    // A later epoch than ours can only have begun while this call was under way.
    if (current != 0 && lp_load_relaxed_u32(&lp_process.counters[current].epoch) >= epoch)
        return current;

    uint32_t index = take_record();
    if (index == 0) return 0;
    struct lp_counter *counter = &lp_process.counters[index];
    counter->stack = stack;
    lp_store_release_u32(&counter->epoch, epoch);
    while (!lp_compare_exchange_u32(newest, &current, index)) {
        // Another thread made one first; ours stays empty and unused.
        if (lp_load_relaxed_u32(&lp_process.counters[current].epoch) >= epoch) return current;
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
