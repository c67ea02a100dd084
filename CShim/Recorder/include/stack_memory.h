// Reading a stack without ever touching what can't be read.
//
// Unwind information that is wrong must not make us fault. Pages are tried once, by a system call that
// fails instead of faulting, and remembered; a stack does not go away under the thread that runs on it.
// A thread may run on several, one after the other, and those it has left may go away; as long as a
// walk goes from a frame to its caller, it stays on the one that is there.
#ifndef LEAKPROF_STACK_MEMORY_H
#define LEAKPROF_STACK_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "thread_block.h"

// The furthest, in bytes, that a stack is followed over pages not tried yet. A frame may be as large.
#define LP_STACK_MAX_GAP ((uintptr_t)16 << 20)

// Makes the range that is known to be readable contain `sp`, which is on a page in use. Forgets the
// kept stack when it is another one.
void lp_stack_enter(struct lp_thread_block *block, uintptr_t sp);

// Forgets all of the range but the page of `address`, a word of the stack that was read just now.
void lp_stack_distrust(struct lp_thread_block *block, uintptr_t address);

// Makes the range contain `address`, at most `max_gap` bytes above it; false when that can't be, or the
// address is not a word's.
bool lp_stack_extend(struct lp_thread_block *block, uintptr_t address, uintptr_t max_gap);

// Reads a word of the stack; false when that can't be.
static inline bool lp_stack_read(struct lp_thread_block *block, uintptr_t address, uintptr_t max_gap,
                                 uint64_t *word) {
    bool is_known =
        address >= block->readable_low && address < block->readable_high && address % 8 == 0;
    if (__builtin_expect(!is_known, 0) && !lp_stack_extend(block, address, max_gap)) return false;
    *word = *(const uint64_t *)address;
    return true;
}

#endif
