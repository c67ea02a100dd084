// The sampling interval in force, and changing it while threads record.
#ifndef LEAKPROF_INTERVAL_H
#define LEAKPROF_INTERVAL_H

#include <stdint.h>

// Mean bytes between samples; 0: everything is recorded.
uint64_t lp_interval_now(void);

// Puts `interval_bytes` in force for allocations from now on. Where it is longer than before, the
// blocks recorded so far are thinned out to what it would have recorded of them. By one thread at a
// time.
void lp_interval_change(uint64_t interval_bytes);

// While sampling: thins out what was recorded in exact mode too late for lp_interval_change() to see
// it, so that frees at those addresses need not be looked up any more. By one thread at a time.
void lp_interval_refresh(void);

#endif
