// The mark of a call into an allocator whose own calls are part of it: where on the stack the thread
// entered it. Deeper calls belong to the outer one. A longjmp out of a signal handler leaves the mark
// behind; it lies below the caller's frame then and is ignored. So is a mark on another stack.
#ifndef LEAKPROF_NEXT_ENTRY_H
#define LEAKPROF_NEXT_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "thread_state.h"

// How deep into its stack an allocator is when it calls another of its functions, at most. What is
// further away from the mark is on another stack.
#define LP_MAX_NEXT_STACK ((uintptr_t)65536)

struct lp_entry {
    bool is_nested;
};

// A macro, so that the frame address is the hook's own.
#define LP_ENTER_NEXT() lp_enter_next((uintptr_t)__builtin_frame_address(0))

static inline struct lp_entry lp_enter_next(uintptr_t frame) {
    struct lp_entry entry = {.is_nested = false};
    // Without a mark, the difference is out of range.
    if (lp_thread.inside_next - frame - 1 < LP_MAX_NEXT_STACK) {
        entry.is_nested = true;
    } else {
        lp_thread.inside_next = frame;
    }
    return entry;
}

static inline void lp_leave_next(struct lp_entry entry) {
    if (entry.is_nested) return;
    lp_thread.inside_next = 0;
    lp_thread.is_inside_python = 0;
}

#endif
