// The interned call stack of a hook's caller: found by unwind rules, and by what is left of the stack
// that this thread had the last time.
#ifndef LEAKPROF_CALL_STACK_H
#define LEAKPROF_CALL_STACK_H

#include <stdint.h>

#include "thread_block.h"

// The registers in a hook's caller, as they will be when the hook has returned.
struct lp_caller {
    uintptr_t return_address;
    uintptr_t sp;
    uintptr_t rbp;
};

// Of the function that uses it, which must keep a frame pointer: psABI 3.2.2.
#define LP_CALLER()                                                                                    \
    ((struct lp_caller){                                                                               \
        .return_address = (uintptr_t)__builtin_return_address(0),                                      \
        .sp = (uintptr_t)__builtin_frame_address(0) + 16,                                              \
        .rbp = *(const uintptr_t *)__builtin_frame_address(0),                                         \
    })

// Returns the node of the call stack that ends in `caller`, at most `lp_process.max_depth` frames from
// the leaf; 0 when the stack table is full. `block` is this thread's, entered, or NULL: then nothing is
// remembered, and it takes much longer. Counts what cuts a stack short. Any thread, also in signal
// handlers.
uint32_t lp_call_stack(struct lp_thread_block *block, const struct lp_caller *caller);

#endif
