// The live table's part for small blocks: a word for every 32 bytes of addresses.
//
// The word of a block lies where its address says: there is nothing to search, and blocks that are
// neighbours in memory have neighbouring words. glibc's blocks are at least 32 bytes apart, so a word
// belongs to whoever owns the block, and is written without a locked instruction; other allocators have
// blocks that share 32 bytes, and the second one goes to the buckets. CPython's has such blocks only
// among those of at most 16 bytes: the others are 32 bytes apart at least (Objects/obmalloc.c). Its
// empty blocks, which its debug hooks may place 16 bytes before any other, have no words.
//
// The words cost up to a quarter of the memory they stand for, however few are in use. So only small
// blocks have one, and only blocks that are recorded exactly, since samples lie far apart.
#ifndef LEAKPROF_LIVE_SHADOW_H
#define LEAKPROF_LIVE_SHADOW_H

#include "live_area.h"

// Blocks of at most so many bytes.
#define LP_SHADOW_BLOCK_BYTES 512

#define LP_SHADOW_LEAF_BITS 23  // of the addresses a leaf stands for
#define LP_SHADOW_PIECE_BITS 18 // and of a piece, 64 KiB of words
#define LP_SHADOW_PIECES 32

// Of a word, from the top: the place of the address within 32 bytes, in 8; the interval; the size; the
// counter, which is never 0.
#define LP_SHADOW_PLACE_SHIFT 62
#define LP_SHADOW_INTERVAL_SHIFT 56
#define LP_SHADOW_SIZE_SHIFT 24

_Static_assert(LP_SHADOW_INTERVAL_SHIFT + LP_LIVE_INTERVAL_BITS == LP_SHADOW_PLACE_SHIFT,
               "no bit is used twice");
_Static_assert(LP_LIVE_COUNTER_BITS == LP_SHADOW_SIZE_SHIFT, "no bit is used twice");

// Takes the piece that `address` lies in into use, and makes its leaf. False when there is no memory.
bool lp_shadow_make(struct lp_live_table *table, struct lp_live_area *area, uintptr_t address);

// A block that has no word itself lies at `address`, where blocks that have one may lie later: maps
// what they will need, if that has not been tried yet.
void lp_shadow_prepare(struct lp_live_table *table, struct lp_live_area *area, uintptr_t address);

// Revises the area's blocks; its first address is `base`.
void lp_shadow_revise(const struct lp_revising *revising, struct lp_live_area *area, uintptr_t base);

static inline uint64_t lp_shadow_pack(uintptr_t address, const struct lp_live_block *block) {
    return (uint64_t)(address >> 3 & 3) << LP_SHADOW_PLACE_SHIFT |
           (uint64_t)block->interval_index << LP_SHADOW_INTERVAL_SHIFT |
           block->size << LP_SHADOW_SIZE_SHIFT | block->counter;
}

static inline struct lp_live_block lp_shadow_unpack(struct lp_live_table *table, uint64_t word) {
    uint32_t interval = (uint32_t)lp_slot_interval(word, LP_SHADOW_INTERVAL_SHIFT);
    if (interval == LP_SLOT_MARK) interval = lp_load_relaxed_u32(&table->revised);
    return (struct lp_live_block){
        .size = (uint32_t)(word >> LP_SHADOW_SIZE_SHIFT),
        .counter = LP_SLOT_COUNTER(word),
        .interval_index = interval,
    };
}

// The word of `address`; NULL when its piece is not in use.
static inline uint64_t *lp_shadow_word(struct lp_live_area *area, uintptr_t address) {
    unsigned leaf = address >> LP_SHADOW_LEAF_BITS & (LP_SHADOW_LEAVES - 1);
    unsigned piece = address >> LP_SHADOW_PIECE_BITS & (LP_SHADOW_PIECES - 1);
    if ((lp_load_acquire_u32(&area->pieces[leaf]) >> piece & 1) == 0) return NULL;
    uintptr_t word = address >> 5 & ((1U << (LP_SHADOW_LEAF_BITS - 5)) - 1);
    return &area->shadow[leaf][word];
}

static inline bool lp_shadow_insert(struct lp_live_table *table, struct lp_live_area *area,
                                    uintptr_t address, const struct lp_live_block *block,
                                    struct lp_live_block *stale) {
    uint64_t *slot = lp_shadow_word(area, address);
    if (__builtin_expect(slot == NULL, 0)) {
        if (!lp_shadow_make(table, area, address)) return false;
        slot = lp_shadow_word(area, address);
    }
    uint64_t old = lp_load_relaxed_u64(slot);
    uint64_t word = lp_shadow_pack(address, block);
    bool is_close = block->size <= 16 && __atomic_load_n(&table->has_close_blocks, __ATOMIC_RELAXED);
    bool is_own = table->has_own_words && !is_close;
    if (__builtin_expect(old == 0 && is_own, 1)) {
        lp_store_release_u64(slot, word);
        return true;
    }
    if (old != 0) {
        bool is_same = old >> LP_SHADOW_PLACE_SHIFT == word >> LP_SHADOW_PLACE_SHIFT;
        if (!is_same && !is_own) return false;
        if (lp_slot_take(slot, &old, LP_SHADOW_INTERVAL_SHIFT, false))
            *stale = lp_shadow_unpack(table, old);
        old = 0;
    }
    return lp_compare_exchange_u64(slot, &old, word);
}

static inline bool lp_shadow_find(struct lp_live_table *table, struct lp_live_area *area,
                                  uintptr_t address, struct lp_live_block *block) {
    uint64_t *slot = lp_shadow_word(area, address);
    uint64_t word = slot == NULL ? 0 : lp_load_acquire_u64(slot);
    if (word == 0 || word >> LP_SHADOW_PLACE_SHIFT != (address >> 3 & 3)) return false;
    *block = lp_shadow_unpack(table, word);
    return true;
}

static inline bool lp_shadow_remove(struct lp_live_table *table, struct lp_live_area *area,
                                    uintptr_t address, struct lp_live_block *block, bool is_announced) {
    uint64_t *slot = lp_shadow_word(area, address);
    if (slot == NULL) return false;
    uint64_t word = lp_load_relaxed_u64(slot);
    if (word == 0 || word >> LP_SHADOW_PLACE_SHIFT != (address >> 3 & 3)) return false;
    if (!lp_slot_take(slot, &word, LP_SHADOW_INTERVAL_SHIFT, is_announced)) return false;
    *block = lp_shadow_unpack(table, word);
    return true;
}

#endif
