// The live table: block address → what to give back when the block is freed.
//
// Lock-free, because a lock could be lost: a signal handler may longjmp out of the hook, a fork may
// copy it held. What makes that simple is that the allocator hands an address to one owner at a time:
// between malloc's return and free's entry nobody else looks that address up, so an insertion has to
// claim an empty slot and nothing more.
//
// The table is a row of levels, each twice as large as the one before, made when the others are full;
// entries never move. A bucket is a cache line of three slots and a count of the entries whose home it
// is but which had to go to one of the next buckets, so a miss usually ends after one line per level.
// Private anonymous memory: only counters live in the region.
#ifndef LEAKPROF_LIVE_TABLE_H
#define LEAKPROF_LIVE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define LP_LIVE_LEVELS 24

struct lp_live_bucket;

struct lp_live_table {
    uint64_t bytes;                                // mapped; atomic
    uint64_t max_bytes;                            // LEAKPROF_MAX_MEMORY
    struct lp_live_bucket *levels[LP_LIVE_LEVELS]; // NULL: not made yet; atomic
};

// A recorded block that has not been freed.
struct lp_live_block {
    uint64_t size;           // requested, bytes
    uint32_t counter;        // index of its stack trace's counter
    uint32_t interval_index; // sampling interval it was recorded under
};

// What a slot has room for.
#define LP_LIVE_SIZE_BITS 47
#define LP_LIVE_COUNTER_BITS 24
#define LP_LIVE_INTERVAL_BITS 6

// Whether `address` and `block` fit a slot: addresses of 48 bits, 8-byte aligned.
bool lp_live_is_representable(uintptr_t address, const struct lp_live_block *block);

// Adds a block; the caller owns `address` and knows that it is not in the table. Returns false when the
// table is full and may not grow. Any thread; makes no system call but mmap.
bool lp_live_insert(struct lp_live_table *table, uintptr_t address, const struct lp_live_block *block);

// Removes the block at `address` into `*block`; false when it is not in the table. Any thread.
bool lp_live_remove(struct lp_live_table *table, uintptr_t address, struct lp_live_block *block);

// Unmaps all levels. For the single thread of a forked child, with the parent's `levels`.
void lp_live_unmap(struct lp_live_bucket *const levels[LP_LIVE_LEVELS]);

#endif
