#include <stdbool.h>
#include <stddef.h>

#include "budget.h"
#include "call_stack.h"
#include "counters.h"
#include "epochs.h"
#include "free_filter.h"
#include "process.h"
#include "python.h"
#include "python_allocators.h"
#include "python_code.h"
#include "recorder.h"
#include "sampler.h"
#include "stack_table.h"
#include "thin.h"
#include "thread_block.h"
#include "thread_state.h"

_Thread_local struct lp_thread lp_thread;

// ---- Allocations ----

// Puts a block into the live table, where its free will find it; false when there is no room.
static bool insert(void *block, const struct lp_live_block *live) {
    struct lp_live_block stale;
    uintptr_t address = (uintptr_t)block;
    if (live->interval_index != 0) lp_filter_add(address);
    bool is_inserted = lp_live_insert(&lp_process.live, address, live, &stale);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect(stale.counter != 0, 0)) {
        lp_count(LP_STAT_REPLACED, 1);
        lp_count_freed(&stale);
    }
    if (live->interval_index != 0) {
        if (!is_inserted) lp_filter_remove(address);
    } else if (lp_load_relaxed_u32(&lp_process.header->interval_index) != 0) {
        // The interval changed meanwhile, and who changed it may have looked for this block too early.
        lp_filter_add_exact(address);
    }
    return is_inserted;
}

// For a block that is counted as allocated and found no room: under the interval that is in force since
// then, it is most likely not recorded at all, and if it is, there should be room.
static void insert_thinned(void *block, struct lp_live_block *live) {
    lp_budget_save_memory();
    struct lp_live_block before = *live;
    uint32_t now = lp_load_acquire_u32(&lp_process.header->interval_index);
    bool is_kept = lp_thin_block(live, now);
    if (is_kept && now != before.interval_index && insert(block, live)) {
        lp_count_reweighed(live, lp_process.intervals[before.interval_index]);
        return;
    }
    if (is_kept) {
        lp_count(LP_STAT_DROPPED_MEMORY, 1);
        lp_count(LP_STAT_DROPPED_MEMORY_BYTES, live->size);
    } else {
        lp_count(LP_STAT_THINNED, 1);
    }
    lp_count_freed(&before);
}

static void record(struct lp_thread_block *own, void *block, size_t size, uint32_t stack,
                   uint32_t interval_index) {
    struct lp_live_block live = {.size = size, .interval_index = interval_index};
    uint32_t epoch = lp_epoch_now();
    live.counter = lp_counter_for(own, stack, epoch);
    if (__builtin_expect(live.counter == 0, 0)) {
        // Better without its stack than not at all.
        lp_count(LP_STAT_STACKS_LOST, 1);
        live.counter = lp_counter_for(own, 0, epoch);
    }
    if (live.counter == 0) {
        lp_count(LP_STAT_DROPPED_COUNTERS, 1);
        lp_count(LP_STAT_DROPPED_COUNTERS_BYTES, size);
        return;
    }
    if (!lp_live_is_representable((uintptr_t)block, &live)) {
        lp_count(LP_STAT_UNREPRESENTABLE, 1);
        return;
    }
    bool is_inserted = insert(block, &live);
    lp_count_allocated(own, &live);
    if (!is_inserted) insert_thinned(block, &live);
    uint64_t bytes = lp_load_relaxed_u64(&lp_process.live.bytes);
    if (bytes != lp_load_relaxed_u64(&lp_process.statistics[LP_STAT_LIVE_TABLE_BYTES]))
        lp_store_relaxed_u64(&lp_process.statistics[LP_STAT_LIVE_TABLE_BYTES], bytes);
    if (own != NULL) {
        uint64_t interval = lp_process.intervals[interval_index];
        // A sample stands for about an interval's bytes, or for itself.
        lp_add_own(&own->work.bytes, size > interval ? size : interval);
        lp_add_own(&own->work.blocks, size >= interval ? 1 : interval / (size | 1));
    }
}

static inline bool is_recording(void) {
    bool is_on = lp_process_state() == LP_PROCESS_RECORDING &&
                 lp_load_relaxed_u32(&lp_process.header->wanted) == LP_WANTED_RECORDING;
    return __builtin_expect(is_on, 1) || lp_recorder_look();
}

// Whether this allocation is recorded, and under which interval. What it reads is in force at least
// until the token changes again.
static inline bool is_taken(size_t size, uint32_t *interval_index) {
    uint64_t token = lp_load_acquire_u64(&lp_process.token);
    if (!is_recording()) {
        lp_sampler_rest(lp_recorder_rest_bytes());
        lp_thread.token = token;
        return false;
    }
    // A child has begun, and with it the token.
    if (token == 0) token = lp_load_acquire_u64(&lp_process.token);
    // A thread that has no token comes here with every allocation.
    lp_thread.token = lp_python_is_unsettled() ? ~token : token;
    // Acquire: the interval was written before its index.
    *interval_index = lp_load_acquire_u32(&lp_process.header->interval_index);
    return lp_sampler_takes(size, lp_process.intervals[*interval_index], &lp_process.random);
}

void lp_record_allocation(void *block, size_t size, const struct lp_caller *caller) {
    lp_record_in_domain(block, size, caller, 0);
}

void lp_record_in_domain(void *block, size_t size, const struct lp_caller *caller, uint64_t domain) {
    uint32_t interval_index;
    if (__builtin_expect(lp_python_is_unsettled(), 0)) lp_python_settle(domain != 0);
    if (!is_taken(size, &interval_index)) return;
    struct lp_thread_block *own = lp_block_enter(caller->sp);
    uint64_t begun = lp_work_begin(own);
    uint32_t stack = lp_call_stack(own, caller);
    if (domain != 0) {
        if (stack != 0) stack = lp_stack_child(stack, domain);
    } else {
        const struct lp_python_layout *python = lp_python_layout();
        bool is_due = interval_index != 0 || (own != NULL && own->python_mallocs++ % 64 == 0);
        if (python != NULL && is_due) lp_python_check_allocators(python);
    }
    record(own, block, size, stack, interval_index);
    lp_work_end(own, begun);
    lp_block_leave(own);
}

void lp_record_stack(void *block, size_t size, const uint64_t *frames, uint32_t count) {
    uint32_t interval_index;
    if (!is_taken(size, &interval_index)) return;
    struct lp_thread_block *own = lp_block_enter((uintptr_t)__builtin_frame_address(0));
    record(own, block, size, lp_stack_intern(frames, count), interval_index);
    lp_block_leave(own);
}

void lp_record_nested(void) {
    lp_count(LP_STAT_NESTED, 1);
}

// ---- Frees ----

bool lp_withdraw(void *block, struct lp_live_block *withdrawn) {
    if (!lp_process_has_region()) return false;
    struct lp_thread_block *own = lp_thread.block;
    bool has_own = own != NULL && own->number != LP_NO_NUMBER;
    if (!lp_live_remove(&lp_process.live, (uintptr_t)block, withdrawn, has_own ? &own->removing : NULL))
        return false;
    if (withdrawn->interval_index != 0) lp_filter_remove((uintptr_t)block);
    return true;
}

void lp_record_withdrawn_free(const struct lp_live_block *withdrawn) {
    lp_count_freed(withdrawn);
}

void lp_put_back(void *block, const struct lp_live_block *withdrawn) {
    // Its slot was free a moment ago; if others have filled the whole window since, the block is
    // dropped.
    if (insert(block, withdrawn)) return;
    lp_count(LP_STAT_DROPPED_MEMORY, 1);
    lp_count(LP_STAT_DROPPED_MEMORY_BYTES, withdrawn->size);
    lp_count_freed(withdrawn);
}

void lp_record_free(void *block) {
    // In a child that has not begun, nothing may be touched that was its parent's.
    if (!lp_process_has_region()) return;
    bool is_python = lp_python_layout() != NULL;
    if (__builtin_expect(is_python && lp_python_may_be_code(block), 0)) lp_python_code_freed(block);
    struct lp_live_block freed;
    // Entered or not: at worst, a signal handler's operation is not counted.
    struct lp_thread_block *own = lp_thread.block;
    if (own != NULL && own->number == LP_NO_NUMBER) own = NULL;
    uint64_t begun = lp_work_begin(own);
    bool is_recorded = lp_withdraw(block, &freed);
    if (is_recorded) lp_count_freed(&freed);
    lp_work_end(own, begun);
    if (!is_recorded && own != NULL) lp_add_own(&own->work.fruitless, 1);
    // What CPython's allocators free for themselves was recorded, if at all, by their own address.
    if (!is_recorded && lp_load_relaxed_u32(&lp_process.header->interval_index) == 0 &&
        lp_thread.is_inside_python == 0)
        lp_count(LP_STAT_UNKNOWN_FREES, 1);
}
