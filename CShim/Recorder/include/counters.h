// Sums of what was allocated and freed, per stack trace and birth epoch.
#ifndef LEAKPROF_COUNTERS_H
#define LEAKPROF_COUNTERS_H

#include <stdint.h>

#include "live_table.h"

// Returns the counter for blocks born now at `stack` in `epoch`, 0 when none is left. Any thread.
uint32_t lp_counter_for(uint32_t stack, uint32_t epoch);

// Adds a block to its counter's allocated or freed sums. A sampled block's weight is added as well; it
// depends on the block's size and interval alone, so what a free takes away is what its allocation
// added.
void lp_count_allocated(const struct lp_live_block *block);
void lp_count_freed(const struct lp_live_block *block);

#endif
