#include "free_filter.h"

#define PINNED 255U

struct lp_free_filter lp_free_filter = {.mask = 0, .places = {{PINNED, 0}}};

// Where the block is counted, whether or not the filter is in use.
static struct lp_filter_place *place_of(uintptr_t block) {
    uint32_t hash = (uint32_t)((uint64_t)block * 0x9e3779b97f4a7c15ULL >> 48);
    return &lp_free_filter.places[hash];
}

void lp_filter_use(bool is_used) {
    __atomic_store_n(&lp_free_filter.mask, is_used ? LP_FILTER_PLACES - 1 : 0, __ATOMIC_SEQ_CST);
}

static void change(uintptr_t block, uint8_t by) {
    uint8_t *place = &place_of(block)->sampled;
    uint8_t count = __atomic_load_n(place, __ATOMIC_RELAXED);
    // Below 0 it can't come: what is removed was added.
    do {
        if (count == PINNED) return;
    } while (!__atomic_compare_exchange_n(place, &count, (uint8_t)(count + by), false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
}

void lp_filter_add(uintptr_t block) {
    change(block, 1);
}

void lp_filter_remove(uintptr_t block) {
    change(block, (uint8_t)-1);
}

void lp_filter_pin(uintptr_t block) {
    __atomic_store_n(&place_of(block)->sampled, PINNED, __ATOMIC_RELEASE);
}

void lp_filter_add_exact(uintptr_t block) {
    __atomic_store_n(&place_of(block)->is_exact, 1, __ATOMIC_RELEASE);
}

void lp_filter_forget_exact(void) {
    for (uint32_t i = 0; i < LP_FILTER_PLACES; i++)
        __atomic_store_n(&lp_free_filter.places[i].is_exact, 0, __ATOMIC_RELAXED);
}
