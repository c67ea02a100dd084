// Auto mode: exact while recording costs little of the target's CPU time, sampled while it would cost
// more than its budget.
//
// Threads count what they record and time one operation in 64. A few times a second, whoever comes by
// compares that with the CPU time of the process and chooses the interval for everyone. A block's
// weight depends on the interval it was recorded under and nothing else, and the choice is made before
// the blocks it concerns, so estimates stay unbiased across changes.
#ifndef LEAKPROF_BUDGET_H
#define LEAKPROF_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "thread_block.h"

#define LP_OPERATIONS_PER_TIMED 64U

// Auto mode's state in this process; only who holds `is_deciding` writes it.
struct lp_budget {
    bool is_on;           // atomic
    uint32_t limit_ppm;   // millionths of the process's CPU time
    uint32_t is_deciding; // atomic
    uint64_t next_ns;     // when the next decision is due, coarse monotonic clock; atomic
    uint32_t periods_over;
    uint32_t periods_under;
    uint64_t refreshed_for;  // the interval under which lp_interval_refresh() was called last
    uint64_t least_interval; // for want of memory; atomic
    uint64_t exact_cost_ps;  // picoseconds of one operation in exact mode, as measured last

    uint64_t last_cpu_ns;
    uint64_t last_clock_ns;
    uint64_t last_ticks;
    struct lp_work last_work;
};

// Starts measuring. `limit_ppm`: see struct lp_budget.
void lp_budget_begin(uint32_t limit_ppm);

// Stops measuring, and stays at the interval that is in force. Any thread.
void lp_budget_pause(void);

// Called now and then with the coarse monotonic time; decides when a decision is due. Any thread, also
// in signal handlers.
void lp_budget_look(uint64_t now);

// Called when the live table is full and may not grow, in every mode: records fewer blocks from now on,
// and thins out those that are recorded. Any thread, also in signal handlers.
void lp_budget_save_memory(void);

// The time stamp counter, or 0 when this operation is not timed.
static inline uint64_t lp_work_begin(struct lp_thread_block *block) {
    if (block == NULL || !__atomic_load_n(&block->is_measured, __ATOMIC_RELAXED)) return 0;
    lp_add_own(&block->work.operations, 1);
    if (block->work.operations % LP_OPERATIONS_PER_TIMED != 0) return 0;
    return __builtin_ia32_rdtsc();
}

// A timed operation takes no longer; what does was interrupted.
#define LP_LONGEST_TICKS 20000U

static inline void lp_work_end(struct lp_thread_block *block, uint64_t begun) {
    if (begun == 0) return;
    uint64_t ticks = __builtin_ia32_rdtsc() - begun;
    lp_add_own(&block->work.timed_ticks, ticks < LP_LONGEST_TICKS ? ticks : LP_LONGEST_TICKS);
    lp_add_own(&block->work.timed, 1);
}

#endif
