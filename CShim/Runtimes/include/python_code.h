// Python code objects in the region's heap: what an analyzer needs to name a frame and its line, copied
// once per code object.
#ifndef LEAKPROF_PYTHON_CODE_H
#define LEAKPROF_PYTHON_CODE_H

#include <stdbool.h>
#include <stdint.h>

#include "python_layout.h"

// Where the description of the code object at `code` lies in the heap, made when there is none yet; 0
// when there is no room. The code object is one that this thread executes. Any thread, lock-free.
uint32_t lp_python_code(const struct lp_python_layout *layout, uintptr_t code);

// The code object at `block`, if there is one, is about to be freed, and another one may come to lie
// there.
void lp_python_code_freed(const void *block);

// Changes whenever a code object that was described goes away: frames that look unchanged may be of
// another one.
uint32_t lp_python_code_generation(void);

// A bit for every code object's address, by hash; bits stay set.
#define LP_PYTHON_CODE_BITS 65536U
extern uint64_t lp_python_code_bits[LP_PYTHON_CODE_BITS / 64];

// What a frame has of `offset` in the bytecode of `code`, see LP_FRAME_PYTHON; the same for all offsets
// of a line: a line is one frame, whichever of its instructions is executed. `position` is what
// lp_python_code() returned, not 0.
uint64_t lp_python_code_place(const struct lp_python_layout *layout, uintptr_t code, uint32_t position,
                              uint32_t offset);

// Whether `block` may be a code object that was described: false for nearly everything else.
static inline bool lp_python_may_be_code(const void *block) {
    uint32_t bit = (uint32_t)((uintptr_t)block >> 4) % LP_PYTHON_CODE_BITS;
    return (__atomic_load_n(&lp_python_code_bits[bit / 64], __ATOMIC_RELAXED) >> bit % 64 & 1) != 0;
}

#endif
