#include "next_allocator.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>

#include "loader.h"
#include "symbol_search.h"
#include "thread_state.h"

struct lp_next_allocator lp_next;

static void *find_next(const char *name) {
    void *found = lp_loader_symbol(RTLD_NEXT, name);
    return found != NULL ? found : lp_search_symbol(name);
}

bool lp_find_next_allocator(void) {
    // volatile: gcc takes the declaration of dlsym to promise that it does not call back into this
    // file.
    volatile uint32_t *is_looking = &lp_thread.is_finding_next;
    if (*is_looking != 0) return false;
    *is_looking = 1;
    int saved = errno;
    // Two threads may do this at once; they find the same.
// Types can't be put in parentheses.
// NOLINTNEXTLINE(bugprone-macro-parentheses)
#define LP_HOOK(name, result, parameters) lp_next.name = (result(*) parameters)find_next(#name);
    LP_HOOKS(LP_HOOK)
#undef LP_HOOK
    errno = saved;
    *is_looking = 0;
    // No malloc behind us would mean that libc is missing: every call is served from the early arena.
    if (lp_next.malloc == NULL || lp_next.free == NULL) return false;
    __atomic_store_n(&lp_next.is_found, 1, __ATOMIC_RELEASE);
    return true;
}

bool lp_next_is_glibc(void) {
    if (!lp_has_next_allocator() || !lp_loader_begin()) return false;
    const void *const allocating[] = {
        (const void *)lp_next.malloc,         (const void *)lp_next.calloc,
        (const void *)lp_next.realloc,        (const void *)lp_next.memalign,
        (const void *)lp_next.posix_memalign, (const void *)lp_next.aligned_alloc,
    };
    // A function that nothing else defines. Allocators do define glibc's internal names of malloc.
    struct lp_loaded glibc;
    if (!lp_loader_find((uintptr_t)gnu_get_libc_version, &glibc)) return false;
    for (unsigned i = 0; i < sizeof allocating / sizeof allocating[0]; i++) {
        uintptr_t function = (uintptr_t)allocating[i];
        if (function < glibc.start || function >= glibc.end) return false;
    }
    return true;
}
