// What the recorder keeps per thread: plain bytes that stay valid until the thread is gone, with no
// destructor, so that a free after the last thread-local destructor still finds them.
#ifndef LEAKPROF_THREAD_STATE_H
#define LEAKPROF_THREAD_STATE_H

#include <stdint.h>

struct lp_escape;
struct lp_thread_block;

struct lp_thread {
    // While `token` is the process's, this many bytes may be allocated before the recorder has to be
    // asked again: the rest of the gap to the next sample. 0 in exact mode.
    uint64_t room;
    uint64_t token;
    uint64_t interval_bytes;       // that the gap was drawn for
    uint64_t random;               // state of the sampling generator, 0: not seeded yet
    struct lp_thread_block *block; // what the recorder remembers of this thread, NULL: nothing yet
    uintptr_t inside_next;         // stack address of the call into the next allocator, 0: none
    struct lp_escape *escape;      // where lp_unwind() continues when the unwinder gives up
    uint32_t clock_countdown;      // recorded allocations until the epoch clock is looked at
    uint16_t is_finding_next;      // dlsym is under way for the next allocator: it allocates itself
    uint16_t is_inside_python;     // `inside_next` is of a call into one of CPython's allocators
};

// initial-exec keeps every access free of __tls_get_addr, which may allocate on first use and would
// bring us back into the hook.
extern _Thread_local struct lp_thread lp_thread __attribute__((tls_model("initial-exec")));

#endif
