// The Python frames of the calling thread.
#ifndef LEAKPROF_PYTHON_STACK_H
#define LEAKPROF_PYTHON_STACK_H

#include <stdint.h>

#include "python_layout.h"
#include "thread_block.h"

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

// The node's word for a Python frame; 0 for a frame of no function.
uint64_t lp_python_word(const struct lp_python_layout *layout, struct lp_python_frame *frame);

#endif
