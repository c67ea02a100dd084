// Thinning: what is recorded under one sampling interval becomes what a longer one would have recorded.
#ifndef LEAKPROF_THIN_H
#define LEAKPROF_THIN_H

#include <stdbool.h>
#include <stdint.h>

#include "live_table.h"

// Keeps each live block that was recorded under the interval `from` with the probability that makes it
// as likely as under the longer interval `to` (indices of intervals), and forgets the others. What is
// kept stands for what is forgotten, so no estimate of what is live is biased; what was allocated in
// all stays as it was counted. By one thread at a time; others allocate and free meanwhile.
void lp_thin(uint32_t from, uint32_t to);

// The same decision on one block that is not in the live table: whether it is kept, and then under the
// interval `to`.
bool lp_thin_block(struct lp_live_block *block, uint32_t to);

#endif
