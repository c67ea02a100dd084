#include "next_allocator.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <stdlib.h>

#include "loader.h"
#include "symbol_search.h"
#include "thread_state.h"

// Only glibc has it. Weak, because musl's loader ends programs whose preloaded libraries lack a symbol.
#pragma weak gnu_get_libc_version

struct lp_next_allocator lp_next;

// Before ld.so has relocated the shim, this does not hold its own address.
static const void *volatile own_address = (const void *)&own_address;

bool lp_is_relocated(void) {
    return own_address == &own_address;
}

static void *find_next(const char *name, bool has_dlsym) {
    return has_dlsym ? lp_loader_symbol(RTLD_NEXT, name) : lp_search_symbol(name);
}

bool lp_find_next_allocator(void) {
    if (!lp_is_relocated()) return false;
    // volatile: gcc takes the declaration of dlsym to promise that it does not call back into this
    // file.
    volatile uint16_t *is_looking = &lp_thread.is_finding_next;
    if (*is_looking != 0) return false;
    *is_looking = 1;
    int saved = errno;
    // Every libc has a malloc. Where dlsym finds it, what it does not find is not there either, and
    // dl_iterate_phdr is left alone: a sanitizer's may not be called before the sanitizer has begun.
    bool has_dlsym = lp_loader_symbol(RTLD_NEXT, "malloc") != NULL;
    // Two threads may do this at once; they find the same.
// Types can't be put in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define LP_HOOK(name, result, parameters)                                                              \
    lp_next.name = (result(*) parameters)find_next(#name, has_dlsym);
    LP_HOOKS(LP_HOOK)
#undef LP_HOOK
    // NOLINTEND(bugprone-macro-parentheses)
    errno = saved;
    *is_looking = 0;
    // No malloc behind us would mean that libc is missing: every call is served from the early arena.
    if (lp_next.malloc == NULL || lp_next.free == NULL) return false;
    __atomic_store_n(&lp_next.is_found, 1, __ATOMIC_RELEASE);
    return true;
}

bool lp_runs_on_glibc(void) {
    return gnu_get_libc_version != NULL;
}

uintptr_t lp_other_malloc(void) {
    if ((void *)malloc == lp_own_malloc()) return 0;
    // In a program with fixed addresses that takes malloc's, that of its own jump to malloc stands for
    // it.
    void *first = lp_search_first_symbol("malloc");
    return first == NULL || first == lp_own_malloc() ? 0 : (uintptr_t)first;
}

bool lp_next_is_glibc(void) {
    if (!lp_runs_on_glibc() || !lp_has_next_allocator() || !lp_loader_begin()) return false;
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
