// Private memory of the recorder, mapped ahead of need.
//
// A program may give up system calls (seccomp) at any time, and nothing tells us: a call that it no
// longer makes itself may end it. So what the recorder will need while the program's heap stays as it
// is has been mapped before, at the start or when the heap last grew: then the allocator makes system
// calls of the same kind.
#ifndef LEAKPROF_POOL_H
#define LEAKPROF_POOL_H

#include <stddef.h>
#include <stdint.h>

// Mapped at a time; memory that is not used costs address space only.
#define LP_POOL_BYTES ((size_t)8 << 20)

// The largest piece that is taken from the pool.
#define LP_POOL_LARGEST ((size_t)1 << 20)

// Zeroed memory of up to LP_POOL_LARGEST bytes at a multiple of 4096, which a forked child does not
// get. NULL when there is none. It can't be given back. Makes no system call while the pool has room.
// Any thread, also in signal handlers.
void *lp_pool_take(size_t bytes);

// Tells that the allocator has just got memory from the kernel, or that the process has just begun:
// makes sure that the pool has room. Any thread.
void lp_pool_refill(void);

#endif
