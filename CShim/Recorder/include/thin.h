// Thinning: what is recorded under one sampling interval becomes what a longer one would have recorded.
#ifndef LEAKPROF_THIN_H
#define LEAKPROF_THIN_H

#include <stdint.h>

// Keeps each live block that was recorded under the interval `from` with the probability that makes it
// as likely as under the longer interval `to` (indices of intervals), and forgets the others. What is
// kept stands for what is forgotten, so no estimate of what is live is biased; what was allocated in
// all stays as it was counted. By one thread at a time; others allocate and free meanwhile.
void lp_thin(uint32_t from, uint32_t to);

#endif
