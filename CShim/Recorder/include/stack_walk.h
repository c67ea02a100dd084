// The call stack of the calling thread.
#ifndef LEAKPROF_STACK_WALK_H
#define LEAKPROF_STACK_WALK_H

#include <stdint.h>

// How a walk ended.
enum lp_unwind_end {
    LP_UNWIND_COMPLETE,  // at the thread's first function
    LP_UNWIND_DEPTH,     // `capacity` frames were not enough
    LP_UNWIND_NO_CALLER, // the last frame's code has no unwind information
};

// Stores the return addresses of the stack in `frames`, leaf first, their number in `*count`, and tells
// how the walk ended. The first is `return_address`, where the hook returns to; the frames inside the
// shim are left out. An address that is not a return address (the instruction a signal interrupted) is
// stored plus one, so that the byte before every stored address belongs to the frame's instruction.
//
// Any thread, also in a signal handler. Allocates nothing and takes no lock.
enum lp_unwind_end lp_unwind(uintptr_t return_address, uint64_t *frames, uint32_t capacity,
                             uint32_t *count);

// Ends the lp_unwind() call under way on this thread with what it has found so far. For the functions
// that the unwinder calls when it can't go on. `call` is the address that belongs to no module, which
// ends the trace; 0 when that is not the reason.
_Noreturn void lp_unwind_give_up(uintptr_t call);

#endif
