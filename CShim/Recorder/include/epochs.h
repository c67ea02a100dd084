// Birth epochs: every block carries the epoch it was born in.
#ifndef LEAKPROF_EPOCHS_H
#define LEAKPROF_EPOCHS_H

#include <stdbool.h>
#include <stdint.h>

#include "process.h"
#include "thread_state.h"

// As lp_epoch_now(), after `epoch` was found in force: asks the clock, which is not done for every
// block.
uint32_t lp_epoch_look(uint32_t epoch);

// The epoch for a block born now. Starts a new one when an analyzer asked for it or the clock says so.
// Any thread, lock-free.
static inline uint32_t lp_epoch_now(void) {
    struct lp_header *header = lp_process.header;
    uint32_t epoch = lp_load_acquire_u32(&header->epoch);
    // Only the next epoch can be asked for, so a stray write to the field can't use the table up.
    bool is_asked = lp_load_relaxed_u32(&header->epoch_request) == epoch + 1;
    if (__builtin_expect(!is_asked && lp_thread.clock_countdown-- != 0, 1)) return epoch;
    return lp_epoch_look(epoch);
}

// Starts the first epoch. Once, before recording.
void lp_epochs_begin(void);

// Starts the epoch after `current` for `reason` (LP_EPOCH_*), unless another thread did or the table is
// full. Returns the epoch in force.
uint32_t lp_epoch_advance(uint32_t current, uint32_t reason);

#endif
