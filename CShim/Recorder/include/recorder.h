// The recorder: what the hooks call. It defines no malloc, so tests link it.
//
// Every function may be called on any thread, in signal handlers and in forked children. None of them
// allocates, takes a lock, or changes errno. What can't be recorded is counted.
#ifndef LEAKPROF_RECORDER_H
#define LEAKPROF_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call_stack.h"
#include "config.h"
#include "live_table.h"
#include "process.h"
#include "thread_state.h"

// Starts recording with `config`, which is copied. Once per process image.
void lp_recorder_start(const struct lp_config *config);

// In place of lp_recorder_start() when nothing is to be recorded.
void lp_recorder_stay_off(void);

// Looks up what has changed: a forked child begins to record, an analyzer wants recording to pause or
// to go on. Returns whether allocations are recorded now.
bool lp_recorder_look(void);

// How many bytes a thread may allocate before it looks again, where nothing is recorded.
uint64_t lp_recorder_rest_bytes(void);

// Ends recording of allocations when the process ends by itself: removes the region, or gives back the
// part of it that was never used when it is to be kept. Frees are counted still.
void lp_recorder_end(void);

// Called before the calling thread may lose the right to make system calls, or be killed for one: gets
// what that thread will need, and does without the rest from here on. What is done without: auto mode
// stays at the interval it is at, the region stays when the process ends, copies are not made, children
// are not recorded. With `is_strict`, no call at all is possible. Returns whether this is the first
// time; if not, nothing is done. Any thread, not in signal handlers.
bool lp_recorder_confine(const struct lp_caller *caller, bool is_strict);

// Takes that back: nothing was lost. By the thread for which it was the first time, before it
// allocates.
void lp_recorder_release(void);

// Writes a copy of the region as "<pid>.<ticks>.<name>.copy" beside it and starts a new epoch. `name`
// has up to 32 letters, digits, '-' and '_'; NULL numbers the copy. Returns 0 or a negated errno.
// Async-signal-safe.
int lp_recorder_copy(const char *name);

// Whether nothing has to be done about an allocation of `size` bytes; then it is taken off the room. A
// size of 0 is no more than any room.
static inline bool lp_is_not_recorded(size_t size) {
    if (size - 1 >= lp_thread.room || lp_thread.token != lp_load_relaxed_u64(&lp_process.token))
        return false;
    lp_thread.room -= size;
    return true;
}

// Records a block of `size` bytes that the next allocator returned at `block` to a hook that was called
// by `caller`.
void lp_record_allocation(void *block, size_t size, const struct lp_caller *caller);

// The same for a block that one of an interpreter's memory domains gave out: LP_FRAME_DOMAIN_*, 0:
// none.
void lp_record_in_domain(void *block, size_t size, const struct lp_caller *caller, uint64_t domain);

// The same with a stack trace the caller has: `count` frames as lp_frame() packs them, leaf first.
void lp_record_stack(void *block, size_t size, const uint64_t *frames, uint32_t count);

// Counts an allocation that is not recorded because the next allocator made it for itself.
void lp_record_nested(void);

// Records that `block` is about to be freed. Before the next allocator's free: once it has the block
// back, another thread may get the same address.
void lp_record_free(void *block);

// realloc in two steps, for the same reason: the block is withdrawn before the next allocator's
// realloc. Then either it is gone, and its free is counted, or the call failed, and it is put back.
// Between the two a snapshot counts it as live. lp_withdraw() returns false when the block was not
// recorded.
bool lp_withdraw(void *block, struct lp_live_block *withdrawn);
void lp_record_withdrawn_free(const struct lp_live_block *withdrawn);
void lp_put_back(void *block, const struct lp_live_block *withdrawn);

// Counts allocations served before the next allocator was found, and the memory set aside for them.
void lp_record_early(uint64_t allocations, uint64_t bytes_in_use);

#endif
