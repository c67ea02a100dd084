// What the parts of the live table share: one area of the address space, and how a slot is taken.
#ifndef LEAKPROF_LIVE_AREA_H
#define LEAKPROF_LIVE_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "live_table.h"
#include "region_layout.h"

#define LP_AREA_BITS 26

// The shadow of an area comes in leaves of 2 MiB, a large page, for 8 MiB of addresses each.
#define LP_SHADOW_LEAVES 8

// Levels of buckets: 4 KiB and 16 MiB, so that all together have room for the two million smallest
// blocks of an area.
#define LP_LEVELS 13

struct lp_bucket;

struct lp_live_area {
    uint64_t name;                       // atomic; the addresses' upper bits plus one, 0: free
    uint64_t *shadow[LP_SHADOW_LEAVES];  // NULL: not made yet; atomic
    uint32_t pieces[LP_SHADOW_LEAVES];   // of each leaf, bit set of the 64 KiB in use; atomic
    struct lp_bucket *levels[LP_LEVELS]; // NULL: not made yet; atomic
    uint32_t prepared;                   // bit set of leaves; see lp_shadow_prepare(); atomic
    uint32_t reserved[11];               // four cache lines
};

_Static_assert(sizeof(struct lp_live_area) == 256, "areas share no cache line");

// Anonymous memory that a forked child does not get; NULL when there is none. What is no larger than
// LP_POOL_LARGEST comes from the pool and can't be unmapped.
void *lp_live_map(size_t bytes);

// What memory is wanted for; see lp_live_reserve().
enum lp_live_use {
    LP_LIVE_FIRST_LEVEL, // without one, nothing of an area is recorded
    LP_LIVE_LEVEL,
    LP_LIVE_SHADOW,
};

// Adds `bytes` to the table's memory; false when that were more than it may have for this use.
bool lp_live_reserve(struct lp_live_table *table, uint64_t bytes, enum lp_live_use use);

// ---- Slots ----
//
// A slot is a word with the block's counter below and the interval it was recorded under at `shift`. A
// slot whose interval is the mark is being revised, or, when its counter is 0, being written.

#define LP_SLOT_MARK ((1ULL << LP_LIVE_INTERVAL_BITS) - 1)
#define LP_SLOT_COUNTER(word) ((uint32_t)(word) & ((1U << LP_LIVE_COUNTER_BITS) - 1))

static inline uint64_t lp_slot_interval(uint64_t word, unsigned shift) {
    return word >> shift & LP_SLOT_MARK;
}

// Empties the slot that was just read as `word`; false when a revision was faster. Unless
// `is_announced`, another thread may be revising it unseen.
static inline bool lp_slot_take(uint64_t *slot, uint64_t *word, unsigned shift, bool is_announced) {
    if (__builtin_expect(is_announced && lp_slot_interval(*word, shift) != LP_SLOT_MARK, 1)) {
        lp_store_release_u64(slot, 0);
        return true;
    }
    // lp_live_revise() may be about to forget the block: one of the two gets it.
    *word = __atomic_exchange_n(slot, 0, __ATOMIC_ACQ_REL);
    return *word != 0;
}

// ---- Revising ----

struct lp_revising {
    struct lp_live_table *table;
    const struct lp_live_revision *revision;
    uint32_t from;
};

// Marks the slot when it holds a block to be revised.
static inline bool lp_slot_mark(const struct lp_revising *revising, uint64_t *slot, unsigned shift) {
    uint64_t word = lp_load_acquire_u64(slot);
    if (LP_SLOT_COUNTER(word) == 0 || lp_slot_interval(word, shift) != revising->from) return false;
    return lp_compare_exchange_u64(slot, &word, word | LP_SLOT_MARK << shift);
}

// Makes all threads pass a barrier and learns what they are removing. Between marking and deciding.
void lp_revising_wait(const struct lp_revising *revising);

// Decides on the marked block of `size` bytes at `address`. True when it was forgotten.
bool lp_revising_decide(const struct lp_revising *revising, uint64_t *slot, unsigned shift,
                        uintptr_t address, uint64_t size);

static inline bool lp_slot_is_marked(uint64_t word, unsigned shift) {
    return lp_slot_interval(word, shift) == LP_SLOT_MARK && LP_SLOT_COUNTER(word) != 0;
}

#endif
