// The recorder's state in this process.
//
// It lies on pages of its own that the kernel hands to a forked child filled with zeros
// (MADV_WIPEONFORK, Linux 4.14). So a child, also one made by a raw clone(2), starts with a recorder
// that has not started: no lock to inherit, no handler to run, no way to write into its parent's
// region. A vfork child shares the parent's memory and stays part of the parent.
#ifndef LEAKPROF_PROCESS_H
#define LEAKPROF_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "budget.h"
#include "live_table.h"
#include "region_layout.h"
#include "sampler.h"

// Values of lp_process.state.
enum {
    LP_PROCESS_NEW = 0, // before start, and in a child right after fork
    LP_PROCESS_STARTING,
    LP_PROCESS_RECORDING,
    LP_PROCESS_OFF,
    LP_PROCESS_ENDED,  // exit handlers ran: frees are still counted, allocations are not
    LP_PROCESS_PAUSED, // likewise, until an analyzer wants otherwise
};

// Threads that can have a block (thread_block.h) at a time.
#define LP_MAX_BLOCKS 4096

// Blocks that are there from the start; see thread_block.c.
#define LP_FIRST_BLOCKS 16

// Places for modules by their start address: twice the modules a region can hold.
#define LP_MODULE_SLOTS 4096

struct lp_pool;
struct lp_python_codes;

struct lp_process {
    uint32_t state; // LP_PROCESS_*; atomic
    uint64_t token; // changes with what threads have to do on allocations; 0 in a child; atomic

    // The region and its tables. Capacities are kept here, out of reach of other writers of the file.
    struct lp_header *header;
    uint64_t *statistics;
    uint64_t *intervals;
    struct lp_epoch *epochs;
    struct lp_module *modules;
    char *strings;
    uint32_t *buckets;
    struct lp_node *nodes;
    struct lp_counter *counters;
    uint32_t epochs_capacity;
    uint32_t modules_capacity;
    uint32_t strings_capacity;
    uint32_t buckets_mask;
    uint32_t nodes_capacity;
    uint32_t counters_capacity;
    uint32_t max_depth;
    uintptr_t loader_start; // where ld.so is mapped, 0 without one
    uintptr_t stack_end;    // of the main thread's stack, or a little less
    uint32_t copies;        // snapshots written so far; atomic
    struct lp_random_source random;

    struct lp_pool *pool; // pool.c; atomic
    struct lp_live_table live;
    struct lp_budget budget;
    bool can_thin;    // the kernel can do what that needs
    bool is_confined; // lp_recorder_confine(); atomic
    bool is_strict;   // and no system call at all may be made; atomic

    // rule_cache.c
    uint32_t rules_generation; // atomic

    // thread_block.c
    uint32_t blocks_used;  // atomic; may exceed the most there can be
    uint32_t block_search; // atomic; where the search for an ended thread's block goes on
    char *block_chunks[LP_MAX_BLOCKS / 16];  // NULL: not mapped yet; atomic
    uint32_t block_threads[LP_MAX_BLOCKS];   // thread IDs, 0: never used; atomic
    uintptr_t first_owners[LP_FIRST_BLOCKS]; // addresses of their thread-local memory; atomic

    uint32_t module_slots[LP_MODULE_SLOTS]; // module index, 0: free; atomic

    struct lp_python_codes *python_codes; // python_code.c; atomic
    uint32_t python_module;               // mixed_stack.c; 0: not met yet; atomic
};

// One page at the least, and no neighbour on it: the kernel wipes whole pages.
union lp_process_pages {
    struct lp_process process;
    char pages[(sizeof(struct lp_process) + 4095) / 4096 * 4096];
};
extern union lp_process_pages lp_process_pages;
#define lp_process (lp_process_pages.process)

static inline uint32_t lp_process_state(void) {
    return lp_load_acquire_u32(&lp_process.state);
}

// Whether frees are counted: there may be blocks that were recorded.
static inline bool lp_process_has_region(void) {
    uint32_t state = lp_process_state();
    return state == LP_PROCESS_RECORDING || state == LP_PROCESS_ENDED || state == LP_PROCESS_PAUSED;
}

// Makes every thread ask at its next allocation what is to be done.
static inline void lp_process_change_token(void) {
    __atomic_fetch_add(&lp_process.token, 1, __ATOMIC_SEQ_CST);
}

// Counts `amount` events in the region's statistics; a no-op when there is no region.
static inline void lp_count(uint32_t statistic, uint64_t amount) {
    if (lp_process.statistics != NULL) {
        lp_add_relaxed_u64(&lp_process.statistics[statistic], amount);
    }
}

#endif
