// The Python frames of the calling thread.
#ifndef LEAKPROF_PYTHON_STACK_H
#define LEAKPROF_PYTHON_STACK_H

#include <stdbool.h>
#include <stdint.h>

#include "python_layout.h"
#include "thread_block.h"

// The address of a frame's code object; the low bits of the word are the interpreter's own.
static inline uintptr_t lp_python_code_of(uint64_t code_word) {
    return code_word & ~(uintptr_t)3;
}

// What has become of the frames that a block kept.
struct lp_python_change {
    uint32_t kept;   // so many of the outermost are as they were
    bool is_longer;  // there are frames behind them that are new
    bool is_shorter; // there were others behind them
};

// Brings the block's Python frames up to date with the calling thread's; new ones have no node yet.
// Reads this thread's own frames only, whether or not it has the interpreter's lock.
struct lp_python_change lp_python_walk(const struct lp_python_layout *layout,
                                       struct lp_thread_block *block);

// The node's word for a Python frame; 0 for a frame of no function. `*is_lasting` says whether every
// frame that has the same code object and the same instruction has this word.
uint64_t lp_python_word(const struct lp_python_layout *layout, struct lp_python_frame *frame,
                        bool *is_lasting);

#endif
