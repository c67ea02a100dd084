// One stack out of a thread's native frames and its Python frames.
#ifndef LEAKPROF_MIXED_STACK_H
#define LEAKPROF_MIXED_STACK_H

#include <stdbool.h>
#include <stdint.h>

#include "python_layout.h"
#include "thread_block.h"

// Interns the stack of the block's native frames, of which the outermost `native_kept` are as they were
// the last time, with the calling thread's Python frames put in where the interpreter evaluates them.
// `*marker` stands in front of the outermost frame, 0: nothing does; it becomes 0 where the Python
// frames make up for what is missing. Returns the leaf's node, 0 when the stack table is full.
uint32_t lp_mixed_intern(const struct lp_python_layout *layout, struct lp_thread_block *block,
                         uint32_t native_kept, uint64_t *marker);

// Interns the Python frames alone. False when this thread has none.
bool lp_python_intern(const struct lp_python_layout *layout, struct lp_thread_block *block,
                      uint32_t *node);

#endif
