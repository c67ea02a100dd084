// The callers of frames whose code has no unwind information: what JIT compilers make, some assembly,
// and some of the functions that the Swift compiler adds by itself.
#ifndef LEAKPROF_FRAME_POINTER_H
#define LEAKPROF_FRAME_POINTER_H

#include "thread_block.h"

enum lp_guess {
    LP_GUESS_NONE,   // there is nothing that looks like a frame
    LP_GUESS_CALLER, // code without unwind information as well
    LP_GUESS_KNOWN,  // code that has unwind information
};

// How far above the stack pointer a frame pointer may point, in bytes.
#define LP_GUESS_MAX_FRAME ((uintptr_t)64 << 10)

// The furthest, in bytes, that a stack is followed over pages not tried yet once a guess has led to it.
#define LP_GUESS_MAX_GAP ((uintptr_t)256 << 10)

// Guesses the caller of `frame` by taking rbp for a frame pointer, as psABI 3.2.2 has it: the caller's
// lies there and the return address above. Sets sp, pc and rbp of `*caller`.
//
// A function that keeps no frame pointer leaves its caller's in rbp; that one is then missed out. And
// where rbp serves another purpose, what it points to may look like a frame and be none. So nothing
// that was remembered of the stack is relied on: the block's readable range is begun anew.
//
// The word below `frame->sp` must have been read, or be a return address under way.
enum lp_guess lp_guess_caller(struct lp_thread_block *block, const struct lp_frame_state *frame,
                              struct lp_frame_state *caller);

#endif
