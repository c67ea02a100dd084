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
    struct lp_filter_place {
        uint8_t sampled;  // how many sampled addresses there are here; 255 means more, and stays
        uint8_t is_exact; // whether there may be one that was recorded in exact mode
    } places[LP_FILTER_PLACES] __attribute__((aligned(64)));
    // Place 0 is never empty.
};
extern struct lp_free_filter lp_free_filter;

static inline const struct lp_filter_place *lp_filter_place_of(uintptr_t block) {
    uint32_t mask = __atomic_load_n(&lp_free_filter.mask, __ATOMIC_ACQUIRE);
    uint32_t hash = (uint32_t)((uint64_t)block * 0x9e3779b97f4a7c15ULL >> 48);
    return &lp_free_filter.places[hash & mask];
}

typedef uint16_t __attribute__((may_alias)) lp_filter_word;

// False when the block is certainly not recorded. Any thread.
static inline bool lp_filter_may_hold(const void *block) {
    // Both bytes at once.
    return __atomic_load_n((const lp_filter_word *)lp_filter_place_of((uintptr_t)block),
                           __ATOMIC_RELAXED) != 0;
}

// Whether only counted addresses are let through, or all.
void lp_filter_use(bool is_used);

// Counts a block that is sampled, or no longer is.
void lp_filter_add(uintptr_t block);
void lp_filter_remove(uintptr_t block);

// Blocks recorded in exact mode are added when that mode ends, and forgotten before it ends again: in
// between, the filter is not in use.
void lp_filter_add_exact(uintptr_t block);
void lp_filter_forget_exact(void);

// Lets the block's frees through for good.
void lp_filter_pin(uintptr_t block);

#endif
