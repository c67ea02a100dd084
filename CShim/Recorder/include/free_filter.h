// Which frees can be of a recorded block: for a few cycles, in front of the live table.
//
// When sampling, nearly no block is recorded, and a free must find that out without a look into the
// table. So recorded addresses are counted by hash in 64 KiB that stay in the cache; where the count is
// 0, there is none. In exact mode every free has to look, and the mask sends all to one place that says
// so.
#ifndef LEAKPROF_FREE_FILTER_H
#define LEAKPROF_FREE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#define LP_FILTER_PLACES 65536U

struct lp_free_filter {
    uint32_t mask; // LP_FILTER_PLACES - 1, or 0: all frees are looked up; atomic
    // How many recorded addresses there are at a place. 255 means more, or that it was never counted
    // down; it stays. Place 0 is 255 from the start.
    uint8_t counts[LP_FILTER_PLACES];
};
extern struct lp_free_filter lp_free_filter;

static inline uint8_t *lp_filter_place(uintptr_t block) {
    uint32_t mask = __atomic_load_n(&lp_free_filter.mask, __ATOMIC_ACQUIRE);
    uint32_t hash = (uint32_t)((uint64_t)block * 0x9e3779b97f4a7c15ULL >> 48);
    return &lp_free_filter.counts[hash & mask];
}

// False when the block is certainly not recorded. Any thread.
static inline bool lp_filter_may_hold(const void *block) {
    return __atomic_load_n(lp_filter_place((uintptr_t)block), __ATOMIC_RELAXED) != 0;
}

// Whether only counted addresses are let through, or all.
void lp_filter_use(bool is_used);

// Counts a block that is recorded, or no longer is, while the filter may be in use.
void lp_filter_add(uintptr_t block);
void lp_filter_remove(uintptr_t block);

// Lets the block's frees through for good.
void lp_filter_pin(uintptr_t block);

#endif
