#include "counters.h"

#include <stdbool.h>

#include "heap.h"
#include "sampler.h"

// Records are taken in groups that share no cache line with the next group's, so that threads that add
// to their own do not slow each other down. Record 0 is not used, nor is its group.
#define GROUP 4U

_Static_assert(sizeof(struct lp_counter) * GROUP % 64 == 0, "a group is a number of cache lines");

// How many of a stack's records are looked at for one of this thread's own.
#define LOOKS 64U

// Takes the next record for this thread; 0 when the table is full. Without a block it takes a whole
// group, which is why only what can't have one does so.
static uint32_t take_record(struct lp_thread_block *block) {
    if (block != NULL && block->counters_next < block->counters_end) return block->counters_next++;
    uint32_t index = lp_heap_take_counters(GROUP);
    if (index == 0) return 0;
    if (block != NULL) {
        block->counters_next = index + 1;
        block->counters_end = index + GROUP;
    }
    return index;
}

// ---- Epochs ----

static void retire_sampled(struct lp_counter *counter) {
    uint32_t index = lp_load_acquire_u32(&counter->sampled);
    if (index == 0) return;
    struct lp_sampled *sampled = (struct lp_sampled *)&lp_process.counters[index];
    lp_store_relaxed_u64(&sampled->retired_extra_objects,
                         lp_load_relaxed_u64(&sampled->freed_extra_objects));
    lp_store_relaxed_u64(&sampled->retired_extra_bytes,
                         lp_load_relaxed_u64(&sampled->freed_extra_bytes));
}

// Whether the counter belongs to `epoch` or a later one, which can only have begun while the caller was
// on its way here. A counter of an earlier epoch is taken over if nothing of that epoch is left.
static bool is_of_epoch(struct lp_counter *counter, uint32_t epoch) {
    uint16_t old = lp_load_acquire_u16(&counter->epoch);
    if (old >= epoch) return true;
    uint64_t objects = lp_load_relaxed_u64(&counter->freed_objects) +
                       lp_load_relaxed_u64(&counter->foreign_freed_objects);
    uint64_t bytes =
        lp_load_relaxed_u64(&counter->freed_bytes) + lp_load_relaxed_u64(&counter->foreign_freed_bytes);
    if (objects != lp_load_relaxed_u64(&counter->allocated_objects)) return false;
    // Who sets the epoch retires the sums; blocks that others count meanwhile are of the new epoch.
    if (!lp_compare_exchange_u16(&counter->epoch, &old, (uint16_t)epoch)) return true;
    lp_store_relaxed_u64(&counter->retired_objects, objects);
    lp_store_relaxed_u64(&counter->retired_bytes, bytes);
    retire_sampled(counter);
    return true;
}

// ---- Finding ----

// A stack's records that this thread may add to.
struct found {
    uint32_t own;    // of the epoch
    uint32_t shared; // of the epoch
    uint32_t any;    // of whatever epoch
};

static struct found look_for(uint32_t newest, uint16_t owner, uint32_t epoch) {
    struct found found = {0, 0, 0};
    uint32_t index = newest;
    for (uint32_t looks = 0; index != 0 && looks < LOOKS; looks++) {
        struct lp_counter *counter = &lp_process.counters[index];
        if (counter->owner == owner) {
            if (is_of_epoch(counter, epoch)) {
                found.own = index;
                return found;
            }
            found.any = index;
        } else if (counter->owner == 0) {
            if (found.shared == 0 && is_of_epoch(counter, epoch)) found.shared = index;
            if (found.any == 0) found.any = index;
        }
        index = counter->next;
    }
    return found;
}

// Makes a record and puts it in front of the stack's others. Another thread may do the same at the same
// time: then there are two shared ones, and their sums are added.
static uint32_t make(struct lp_thread_block *block, uint16_t owner, uint32_t stack, uint32_t epoch) {
    uint32_t index = take_record(block);
    if (index == 0) return 0;
    struct lp_counter *counter = &lp_process.counters[index];
    counter->stack = stack;
    counter->owner = owner;
    uint32_t *newest = &lp_process.nodes[stack].newest_counter;
    uint32_t older = lp_load_acquire_u32(newest);
    do {
        counter->next = older;
        lp_store_release_u16(&counter->epoch, (uint16_t)epoch);
    } while (!lp_compare_exchange_u32(newest, &older, index));
    return index;
}

// Whether no other thread has a block: they are claimed in order.
static bool is_only_thread(void) {
    return __atomic_load_n(&lp_process.first_owners[1], __ATOMIC_RELAXED) == 0;
}

uint32_t lp_counter_find(struct lp_thread_block *block, uint32_t stack, uint32_t epoch) {
    uint16_t number = block == NULL ? LP_NO_NUMBER : block->number;
    uint32_t newest = lp_load_acquire_u32(&lp_process.nodes[stack].newest_counter);
    struct found found = look_for(newest, number, epoch);
    uint32_t index = found.own;
    uint32_t used = lp_load_relaxed_u32(&lp_process.header->counters_used);
    // Half of the table is for records of one thread, as long as there are others; what is behind three
    // quarters, for stacks that have none yet: an older epoch is better than no count.
    bool is_scarce = used >= lp_process.counters_capacity / 4 * 3 && found.any != 0;
    bool may_own = used < lp_process.counters_capacity / 2 || (is_only_thread() && !is_scarce);
    if (index == 0 && block != NULL && may_own) index = make(block, number, stack, epoch);
    if (index == 0) index = found.shared;
    if (index == 0 && is_scarce) {
        lp_count(LP_STAT_EPOCHS_MERGED, 1);
        return found.any;
    }
    if (index == 0) index = make(block, 0, stack, epoch);
    if (index != 0 && block != NULL)
        block->counters[stack % LP_COUNTER_PLACES] = (struct lp_counter_place){stack, index};
    return index;
}

// ---- Counting ----

// Returns the counter's record for weights, made on first use; NULL when the table is full.
static struct lp_sampled *sampled_of(struct lp_thread_block *block, struct lp_counter *counter) {
    uint32_t index = lp_load_acquire_u32(&counter->sampled);
    if (index == 0) {
        uint32_t taken = take_record(block);
        if (taken == 0) return NULL;
        if (lp_compare_exchange_u32(&counter->sampled, &index, taken)) index = taken;
    }
    return (struct lp_sampled *)&lp_process.counters[index];
}

static void weigh_allocated(struct lp_thread_block *block, struct lp_counter *counter,
                            const struct lp_live_block *allocated, uint64_t interval) {
    struct lp_sampled *sampled = sampled_of(block, counter);
    if (sampled == NULL) return;
    struct lp_weight weight = lp_weight_of(allocated->size, interval);
    lp_add_relaxed_u64(&sampled->allocated_extra_objects, weight.extra_objects);
    lp_add_relaxed_u64(&sampled->allocated_extra_bytes, weight.extra_bytes);
    lp_add_relaxed_u64(&sampled->allocated_variance_objects, weight.variance_objects);
    lp_add_relaxed_u64(&sampled->allocated_variance_bytes, weight.variance_bytes);
}

static void weigh_freed(struct lp_counter *counter, const struct lp_live_block *freed,
                        uint64_t interval) {
    struct lp_sampled *sampled = sampled_of(NULL, counter);
    if (sampled == NULL) return;
    struct lp_weight weight = lp_weight_of(freed->size, interval);
    lp_add_relaxed_u64(&sampled->freed_extra_objects, weight.extra_objects);
    lp_add_relaxed_u64(&sampled->freed_extra_bytes, weight.extra_bytes);
    lp_add_relaxed_u64(&sampled->freed_variance_objects, weight.variance_objects);
    lp_add_relaxed_u64(&sampled->freed_variance_bytes, weight.variance_bytes);
}

void lp_count_other_allocated(struct lp_thread_block *block, const struct lp_live_block *allocated) {
    struct lp_counter *counter = &lp_process.counters[allocated->counter];
    uint64_t interval = lp_process.intervals[allocated->interval_index];
    if (interval != 0) weigh_allocated(block, counter, allocated, interval);
    if (counter->owner != 0) {
        lp_add_own(&counter->allocated_objects, 1);
        lp_add_own(&counter->allocated_bytes, allocated->size);
    } else {
        lp_add_relaxed_u64(&counter->allocated_objects, 1);
        lp_add_relaxed_u64(&counter->allocated_bytes, allocated->size);
    }
}

void lp_count_other_freed(const struct lp_live_block *freed) {
    struct lp_counter *counter = &lp_process.counters[freed->counter];
    uint64_t interval = lp_process.intervals[freed->interval_index];
    if (counter->owner == lp_thread_number()) {
        lp_add_own(&counter->freed_objects, 1);
        lp_add_own(&counter->freed_bytes, freed->size);
    } else {
        lp_add_relaxed_u64(&counter->foreign_freed_objects, 1);
        lp_add_relaxed_u64(&counter->foreign_freed_bytes, freed->size);
    }
    if (interval != 0) weigh_freed(counter, freed, interval);
}

void lp_count_reweighed(const struct lp_live_block *block, uint64_t old_interval) {
    struct lp_counter *counter = &lp_process.counters[block->counter];
    struct lp_sampled *sampled = sampled_of(NULL, counter);
    if (sampled == NULL) return;
    struct lp_weight old = lp_weight_of(block->size, old_interval);
    struct lp_weight now = lp_weight_of(block->size, lp_process.intervals[block->interval_index]);
    lp_add_relaxed_u64(&sampled->freed_extra_objects, old.extra_objects - now.extra_objects);
    lp_add_relaxed_u64(&sampled->freed_extra_bytes, old.extra_bytes - now.extra_bytes);
    lp_add_relaxed_u64(&sampled->freed_variance_objects, old.variance_objects - now.variance_objects);
    lp_add_relaxed_u64(&sampled->freed_variance_bytes, old.variance_bytes - now.variance_bytes);
}
