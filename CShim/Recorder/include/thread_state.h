// What the recorder keeps per thread: plain bytes that stay valid until the thread is gone, with no
// destructor, so that a free after the last thread-local destructor still finds them.
#ifndef LEAKPROF_THREAD_STATE_H
#define LEAKPROF_THREAD_STATE_H

#include <stdint.h>

struct lp_escape;
struct lp_thread_block;

struct lp_thread {
    struct lp_thread_block *block; // what the recorder remembers of this thread, NULL: nothing yet
    int64_t bytes_until_sample;    // below 0: the allocation that got it there is recorded
    uint64_t random;               // state of the sampling generator
    uint64_t random_owner;    // seed of the source it drew its stream from: a forked child's differs
    uintptr_t inside_next;    // stack address of the call into the next allocator, 0: none
    struct lp_escape *escape; // where lp_unwind() continues when the unwinder gives up
    uint32_t clock_countdown; // recorded allocations until the epoch clock is looked at
};

// initial-exec keeps every access free of __tls_get_addr, which may allocate on first use and would
// bring us back into the hook.
extern _Thread_local struct lp_thread lp_thread __attribute__((tls_model("initial-exec")));

#endif
