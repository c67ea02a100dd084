#include "live_shadow.h"

#include <sys/mman.h>

#include "pool.h"
#include "raw.h"

#define LEAF_BYTES ((size_t)8 << (LP_SHADOW_LEAF_BITS - 5))
#define PIECE_BYTES (LEAF_BYTES / LP_SHADOW_PIECES)
#define PIECE_WORDS (PIECE_BYTES / sizeof(uint64_t))

// Leaves before large pages are thought of.
#define SMALL_LEAVES 4U

// ---- Making ----

// Takes the whole leaf into use, in a large page, when those before it are in use almost whole: small
// pages miss the TLB at almost every look, but a large one takes its memory at once.
static bool take_large_page(struct lp_live_table *table, void *leaf) {
    uint32_t leaves = lp_load_relaxed_u32(&table->leaves);
    uint32_t pieces = lp_load_relaxed_u32(&table->pieces);
    if (leaves < SMALL_LEAVES || pieces < leaves * (LP_SHADOW_PIECES / 4 * 3)) return false;
    if (!lp_live_reserve(table, LEAF_BYTES, LP_LIVE_SHADOW)) return false;
    // Without large pages it takes no more than what is used of it; that is counted all the same.
    lp_sys_advise(leaf, LEAF_BYTES, MADV_HUGEPAGE);
    return true;
}

// Maps a leaf at a multiple of its size.
static uint64_t *map_leaf(void) {
    char *memory = lp_sys_map(2 * LEAF_BYTES, -1);
    if (memory == LP_MAP_FAILED) return NULL;
    size_t before = (size_t)(-(uintptr_t)memory & (LEAF_BYTES - 1));
    if (before != 0) lp_sys_unmap(memory, before);
    lp_sys_unmap(memory + before + LEAF_BYTES, LEAF_BYTES - before);
    lp_sys_advise(memory + before, LEAF_BYTES, MADV_DONTFORK);
    return (uint64_t *)(memory + before);
}

static bool make_leaf(struct lp_live_table *table, struct lp_live_area *area, unsigned leaf) {
    uint64_t *none = NULL;
    if (__atomic_load_n(&area->shadow[leaf], __ATOMIC_ACQUIRE) != NULL) return true;
    uint64_t *made = map_leaf();
    if (made == NULL) return false;
    if (!__atomic_compare_exchange_n(&area->shadow[leaf], &none, made, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        lp_sys_unmap(made, LEAF_BYTES);
        return true;
    }
    if (take_large_page(table, made)) {
        lp_add_relaxed_u32(&table->pieces, LP_SHADOW_PIECES);
        lp_store_release_u32(&area->pieces[leaf], UINT32_MAX);
    }
    lp_add_relaxed_u32(&table->leaves, 1);
    return true;
}

static void prepare_leaf(struct lp_live_table *table, struct lp_live_area *area, unsigned leaf) {
    uint32_t bit = 1U << leaf;
    if ((lp_load_relaxed_u32(&area->prepared) & bit) != 0) return;
    // Once: where there is no memory, the next block must not ask again.
    if ((__atomic_fetch_or(&area->prepared, bit, __ATOMIC_RELAXED) & bit) != 0) return;
    make_leaf(table, area, leaf);
    lp_pool_refill();
}

// A block is the first at `address`, or nearly: most likely, the allocator has just got that memory
// from the kernel. It gets it in smaller parts than pieces, so a leaf that is made one piece ahead is
// there before it is needed.
void lp_shadow_prepare(struct lp_live_table *table, struct lp_live_area *area, uintptr_t address) {
    unsigned leaf = address >> LP_SHADOW_LEAF_BITS & (LP_SHADOW_LEAVES - 1);
    unsigned piece = address >> LP_SHADOW_PIECE_BITS & (LP_SHADOW_PIECES - 1);
    prepare_leaf(table, area, leaf);
    if (piece == LP_SHADOW_PIECES - 1 && leaf + 1 < LP_SHADOW_LEAVES)
        prepare_leaf(table, area, leaf + 1);
}

bool lp_shadow_make(struct lp_live_table *table, struct lp_live_area *area, uintptr_t address) {
    unsigned leaf = address >> LP_SHADOW_LEAF_BITS & (LP_SHADOW_LEAVES - 1);
    uint32_t piece = 1U << (address >> LP_SHADOW_PIECE_BITS & (LP_SHADOW_PIECES - 1));
    if (!make_leaf(table, area, leaf)) return false;
    if ((lp_load_acquire_u32(&area->pieces[leaf]) & piece) != 0) return true;
    if (!lp_live_reserve(table, PIECE_BYTES, LP_LIVE_SHADOW)) return false;
    if ((__atomic_fetch_or(&area->pieces[leaf], piece, __ATOMIC_ACQ_REL) & piece) != 0) {
        lp_add_relaxed_u64(&table->bytes, -PIECE_BYTES);
        return true;
    }
    lp_add_relaxed_u32(&table->pieces, 1);
    lp_shadow_prepare(table, area, address);
    return true;
}

// ---- Revising ----

static void revise_piece(const struct lp_revising *revising, uint64_t *words, uintptr_t base) {
    bool has_any = false;
    for (size_t i = 0; i < PIECE_WORDS; i++)
        has_any |= lp_slot_mark(revising, &words[i], LP_SHADOW_INTERVAL_SHIFT);
    if (!has_any) return;
    lp_revising_wait(revising);
    for (size_t i = 0; i < PIECE_WORDS; i++) {
        uint64_t word = lp_load_acquire_u64(&words[i]);
        if (!lp_slot_is_marked(word, LP_SHADOW_INTERVAL_SHIFT)) continue;
        uintptr_t address = base + i * 32 + (word >> LP_SHADOW_PLACE_SHIFT) * 8;
        lp_revising_decide(revising, &words[i], LP_SHADOW_INTERVAL_SHIFT, address,
                           (uint32_t)(word >> LP_SHADOW_SIZE_SHIFT));
    }
}

void lp_shadow_revise(const struct lp_revising *revising, struct lp_live_area *area, uintptr_t base) {
    for (uintptr_t address = base; address < base + (1UL << LP_AREA_BITS);
         address += 1UL << LP_SHADOW_PIECE_BITS) {
        uint64_t *words = lp_shadow_word(area, address);
        if (words != NULL) revise_piece(revising, words, address);
    }
}
