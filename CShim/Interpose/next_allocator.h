// The next allocator: what the hooks forward to, found with dlsym(RTLD_NEXT) so that jemalloc, tcmalloc
// or mimalloc, linked or preloaded, keeps working. Forwarding to glibc's own functions instead would
// mix allocators in a program that brings another one.
#ifndef LEAKPROF_NEXT_ALLOCATOR_H
#define LEAKPROF_NEXT_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hooks.h"

struct lp_next_allocator {
    uint32_t is_found; // atomic; 1 once all pointers are set
// Types can't be put in parentheses.
#define LP_HOOK(name, result, parameters)                                                              \
    result(*name) parameters; // NOLINT(bugprone-macro-parentheses)
    LP_HOOKS(LP_HOOK)
#undef LP_HOOK
};
extern struct lp_next_allocator lp_next;

// Whether ld.so has relocated the shim. It relocates the libraries a program needs before those that
// are preloaded, and runs their IFUNC resolvers meanwhile; when one of these allocates, the shim can
// call nothing outside of itself yet, and has no thread-local memory.
bool lp_is_relocated(void);

// Looks the functions up. Returns false while the lookup is under way further up this thread's stack,
// as dlsym itself allocates, and before the shim is relocated: such calls have to be served from the
// early arena.
bool lp_find_next_allocator(void);

// Whether the libc is glibc. musl's loader brings the shim in as well; it forwards then, and that is
// all.
bool lp_runs_on_glibc(void);

// The malloc that is called in place of the shim's: the program's own, or that of a library preloaded
// in front. 0 when it is the shim's. Takes the loader's lock unless it is.
uintptr_t lp_other_malloc(void);

// The shim's malloc, whoever defines another one.
void *lp_own_malloc(void);

// Whether the functions found are glibc's own; so no two blocks begin less than 32 bytes apart, which
// is what its smallest chunk takes (MINSIZE in malloc.c).
bool lp_next_is_glibc(void);

static inline bool lp_has_next_allocator(void) {
    return __builtin_expect(__atomic_load_n(&lp_next.is_found, __ATOMIC_ACQUIRE) != 0, 1) ||
           lp_find_next_allocator();
}

#endif
