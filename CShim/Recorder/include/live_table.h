// The live table: block address → what to give back when the block is freed.
//
// Lock-free, because a lock could be lost: a signal handler may longjmp out of the hook, a fork may
// copy it held. What makes that simple is that the allocator hands an address to one owner at a time:
// between malloc's return and free's entry nobody else looks that address up, so an insertion has to
// claim an empty slot and nothing more.
//
// Every 64 MiB of address space, an area, have tables of their own, since allocators give threads
// memory that far apart: threads that free what they allocate don't share cache lines, and tables grow
// one at a time. Small blocks are in the area's shadow (live_shadow.h), the others in its buckets
// (live_buckets.h). Private anonymous memory: only counters live in the region.
#ifndef LEAKPROF_LIVE_TABLE_H
#define LEAKPROF_LIVE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct lp_live_area;

struct lp_live_table {
    uint64_t bytes;             // of all levels; atomic
    uint64_t max_bytes;         // LEAKPROF_MAX_MEMORY
    struct lp_live_area *areas; // NULL: not made yet; atomic
    uint32_t is_revising;       // atomic
    uint32_t revised;           // the interval of the blocks that are being revised; atomic
    uint32_t leaves;            // of the shadow; atomic
    uint32_t pieces;            // of these, in use; atomic
    bool has_own_words;         // set before use: no two blocks share 32 bytes
    bool has_close_blocks;      // but for those of at most 16 bytes, which may; atomic, only set
};

// A recorded block that has not been freed.
struct lp_live_block {
    uint64_t size;           // requested, bytes
    uint32_t counter;        // index of its stack trace's counter
    uint32_t interval_index; // sampling interval it was recorded under
};

// What a slot has room for.
#define LP_LIVE_SIZE_BITS 43
#define LP_LIVE_COUNTER_BITS 24
#define LP_LIVE_INTERVAL_BITS 6
// The last interval is not one: it marks blocks that are being written or revised.
#define LP_LIVE_MAX_INTERVAL 62

// Maps what the first insertion would; that does it otherwise.
void lp_live_begin(struct lp_live_table *table);

// Whether `address` and `block` fit a slot: addresses of 48 bits, 8-byte aligned, counters from 1.
bool lp_live_is_representable(uintptr_t address, const struct lp_live_block *block);

// Adds a block; the caller owns `address`. Returns false when the table is full and may not grow. Any
// thread; makes no system calls but mmap and madvise.
//
// If the address is still there, its last free was not seen. That is noticed where it costs nothing, in
// the newest level: then the old entry goes to `*stale`, whose counter is otherwise set to 0.
bool lp_live_insert(struct lp_live_table *table, uintptr_t address, const struct lp_live_block *block,
                    struct lp_live_block *stale);

// Removes the block at `address` into `*block`; false when it is not in the table. Any thread.
//
// `removing` is a word of the calling thread's that lp_live_revise() can see, or NULL. With it, a
// removal needs no locked instruction, which would wait for all that the program has written so far;
// that is most of the time where memory is slow.
bool lp_live_remove(struct lp_live_table *table, uintptr_t address, struct lp_live_block *block,
                    uintptr_t *removing);

// Reads the block at `address` into `*block`; false when it is not in the table, or is just being
// revised. Any thread; the block may be freed meanwhile.
bool lp_live_find(struct lp_live_table *table, uintptr_t address, struct lp_live_block *block);

// What lp_live_revise() asks and tells; `argument` is passed through.
struct lp_live_revision {
    // Decides on a block that was recorded under the interval; it may change the block's interval.
    bool (*keeps)(uintptr_t address, struct lp_live_block *block, void *argument);
    // Told whether the decision took effect: it does not when the block is freed meanwhile.
    void (*settle)(uintptr_t address, const struct lp_live_block *block, bool is_kept, bool is_settled,
                   void *argument);
    // Calls `each` with every thread's `removing` word that is not 0.
    void (*removals)(void (*each)(uintptr_t address, void *list), void *list);
    void *argument;
};

// Prepares this process for lp_live_revise(); false when the kernel can't do what that needs.
bool lp_live_can_revise(void);

// Revises all blocks that were recorded under the interval `from`. Blocks that come or go while this
// runs may be left out. By one thread at a time.
void lp_live_revise(struct lp_live_table *table, uint32_t from,
                    const struct lp_live_revision *revision);

// Makes room for blocks that are 16 bytes apart: only for those of at most 16 bytes, or for all. Before
// there are any.
static inline void lp_live_expect_close_blocks(struct lp_live_table *table, bool are_small) {
    __atomic_store_n(&table->has_close_blocks, true, __ATOMIC_RELAXED);
    if (!are_small) table->has_own_words = false;
}

#endif
