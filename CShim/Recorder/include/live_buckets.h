// The live table's part for blocks that have no slot in the shadow: a hash table per area.
//
// A row of levels, each twice as large as the one before, made when the others are full; entries never
// move. A bucket is a cache line of five slots and a count of the entries whose home it is but which
// had to go to one of the next buckets, so a miss usually ends after one line per level.
#ifndef LEAKPROF_LIVE_BUCKETS_H
#define LEAKPROF_LIVE_BUCKETS_H

#include "live_area.h"

// As lp_live_insert() and lp_live_remove(), within an area.
bool lp_buckets_insert(struct lp_live_table *table, struct lp_live_area *area, uintptr_t address,
                       const struct lp_live_block *block, struct lp_live_block *stale);
bool lp_buckets_remove(struct lp_live_table *table, struct lp_live_area *area, uintptr_t address,
                       struct lp_live_block *block, bool is_announced);

// As lp_live_find(), within an area.
bool lp_buckets_find(struct lp_live_area *area, uintptr_t address, struct lp_live_block *block);

// Revises the area's blocks; its first address is `base`.
void lp_buckets_revise(const struct lp_revising *revising, struct lp_live_area *area, uintptr_t base);

#endif
