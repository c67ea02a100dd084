// dlclose, so that the recorder learns when code goes away: what it has worked out about the addresses
// of a library must not be used for the next one that is mapped there. Opening needs no hook: nothing
// is known about addresses that were empty.
//
// Libraries that libc closes for itself (character set converters) are not seen. That something else is
// at their place shows when a stack first leads through it at an address that is not known yet.
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "loader.h"
#include "python.h"
#include "rule_cache.h"

typedef int dlclose_function(void *handle);

static dlclose_function *find_next(void) {
    static dlclose_function *next; // atomic; whoever looks it up finds the same
    dlclose_function *found = __atomic_load_n(&next, __ATOMIC_RELAXED);
    if (found == NULL) {
        found = (dlclose_function *)lp_loader_symbol(RTLD_NEXT, "dlclose");
        __atomic_store_n(&next, found, __ATOMIC_RELAXED);
    }
    return found;
}

// A thread may be inside the interpreter at any time, since recording calls it: it has to stay loaded.
// Where it is in a namespace of its own, it can't be had and is no longer called.
static void keep_interpreter(void) {
    void *(*open)(const char *, int) =
        (void *(*)(const char *, int))lp_loader_symbol(RTLD_DEFAULT, "dlopen");
    struct lp_loaded loaded;
    bool is_found = open != NULL && lp_loader_find(lp_python.code_type, &loaded);
    int flags = RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE;
    lp_python_end_going(is_found && open(loaded.path, flags) != NULL);
}

__attribute__((visibility("default"))) int dlclose(void *handle) {
    dlclose_function *next = find_next();
    // Before glibc 2.34 it is in libdl; without that, there is no handle to be closed either.
    if (next == NULL) return -1;
    if (lp_python_may_go()) keep_interpreter();
    lp_rules_begin_unload();
    int status = next(handle);
    int saved = errno;
    lp_rules_end_unload();
    errno = saved;
    return status;
}
