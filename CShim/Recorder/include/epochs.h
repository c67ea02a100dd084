// Birth epochs: every block carries the epoch it was born in.
#ifndef LEAKPROF_EPOCHS_H
#define LEAKPROF_EPOCHS_H

#include <stdint.h>

// The epoch for a block born now. Starts a new one when an analyzer asked for it or the clock says so.
// Any thread, lock-free.
uint32_t lp_epoch_now(void);

// Starts the first epoch. Once, before recording.
void lp_epochs_begin(void);

// Starts the epoch after `current` for `reason` (LP_EPOCH_*), unless another thread did or the table is
// full. Returns the epoch in force.
uint32_t lp_epoch_advance(uint32_t current, uint32_t reason);

#endif
