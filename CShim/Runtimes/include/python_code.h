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

// The same for the code object at `code` and others, by hash, so that steps outlive most of what goes.
#define LP_PYTHON_GENERATIONS 1024U
extern uint32_t lp_python_generations[LP_PYTHON_GENERATIONS];

static inline uint32_t *lp_python_generation_of(uintptr_t code) {
    return &lp_python_generations[(code >> 4 ^ code >> 14) % LP_PYTHON_GENERATIONS];
}

// A bit for every code object's address, by hash; bits stay set.
#define LP_PYTHON_CODE_BITS 65536U
extern uint64_t lp_python_code_bits[LP_PYTHON_CODE_BITS / 64];

// What a frame has of `offset` in the bytecode of `code`, see LP_FRAME_PYTHON; the same for all offsets
// of a line: a line is one frame, whichever of its instructions is executed. `position` is what
// lp_python_code() returned, not 0.
uint64_t lp_python_code_place(const struct lp_python_layout *layout, uintptr_t code, uint32_t position,
                              uint32_t offset);

// The trace that a step led to before, from its caller's trace to its own; 0 when that is not known. A
// step is a number for all that decides on it, with so many bits that two steps never share one.
uint32_t lp_python_known_step(uint64_t step);
void lp_python_note_step(uint64_t step, uint32_t node);

// Whether `block` may be a code object that was described: false for nearly everything else.
static inline bool lp_python_may_be_code(const void *block) {
    uint32_t bit = (uint32_t)((uintptr_t)block >> 4) % LP_PYTHON_CODE_BITS;
    return (__atomic_load_n(&lp_python_code_bits[bit / 64], __ATOMIC_RELAXED) >> bit % 64 & 1) != 0;
}

#endif
