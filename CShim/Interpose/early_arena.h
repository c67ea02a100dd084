// Memory for allocations made before the next allocator is found: dlsym allocates while we ask it for
// malloc. Blocks are never reused; every hook that takes a block recognizes them for the life of the
// process.
#ifndef LEAKPROF_EARLY_ARENA_H
#define LEAKPROF_EARLY_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LP_EARLY_ARENA_BYTES 65536

// Zeroed memory of `size` bytes at a multiple of `alignment` (a power of two); NULL when neither the
// arena nor mmap has room.
void *lp_early_allocate(size_t size, size_t alignment);

// The size that was asked for.
size_t lp_early_size(const void *block);

// How many allocations were served, and of how many bytes of memory.
uint64_t lp_early_allocations(void);
uint64_t lp_early_bytes(void);

bool lp_early_is_in_overflow(const void *block);
extern char lp_early_arena[LP_EARLY_ARENA_BYTES];
extern uint32_t lp_early_overflow_count;

// Whether `block` came from here.
static inline bool lp_early_owns(const void *block) {
    if ((uintptr_t)block - (uintptr_t)lp_early_arena < LP_EARLY_ARENA_BYTES) return true;
    return __builtin_expect(lp_early_overflow_count != 0, 0) && lp_early_is_in_overflow(block);
}

#endif
