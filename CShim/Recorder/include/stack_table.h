// Interned stack traces: a tree of frames that grows from the outermost functions, so traces that share
// their callers share the nodes, and a trace is one node index.
#ifndef LEAKPROF_STACK_TABLE_H
#define LEAKPROF_STACK_TABLE_H

#include <stdint.h>

// Packs a return address and the index of the module it lies in (0: none known).
static inline uint64_t lp_frame(uint64_t address, uint32_t module) {
    return address | (uint64_t)module << 48;
}

// Returns the node of the trace that `frame` adds to the trace `parent`, made when there is none yet; 0
// when the table is full. Any thread, lock-free; writes nothing when the node exists.
uint32_t lp_stack_child(uint32_t parent, uint64_t frame);

// Returns the node of the trace `frames`, leaf first, and adds what is missing. Returns 0 and counts
// the trace as lost when the table is full. Any thread, lock-free; a trace seen before writes nothing.
uint32_t lp_stack_intern(const uint64_t *frames, uint32_t count);

#endif
