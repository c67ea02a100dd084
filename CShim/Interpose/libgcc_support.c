// What the statically linked libgcc unwinder calls, defined here so that its references end inside the
// shim. None of it is exported: the target's own abort() is untouched.
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

#include "modules.h"
#include "rule_cache.h"
#include "stack_walk.h"
#include "unwind_rule.h"

_Noreturn void abort(void);

// libgcc expects glibc 2.35's function; asking through a pointer lets the shim load where it is
// missing. An address outside of all modules has no unwind information. libgcc would go on to read the
// bytes there to see whether they are a signal trampoline, and a wrong address may not be readable. Nor
// does it look what it reads, so unwind information that makes no sense to us is not shown to it.
int _dl_find_object(void *address, struct dl_find_object *result) {
    struct lp_loaded loaded;
    uintptr_t call = (uintptr_t)address;
    lp_module_find(call, &loaded);
    if (loaded.unwind_header == NULL) lp_unwind_give_up(call);
    bool is_own = (uintptr_t)&_dl_find_object - loaded.start < loaded.end - loaded.start;
    if (!is_own && lp_rule_kind(lp_rule_for(call + 1)) == LP_RULE_NO_INFORMATION)
        lp_unwind_give_up(call);
    *result = (struct dl_find_object){
        .dlfo_map_start = (void *)loaded.start,
        .dlfo_map_end = (void *)loaded.end,
        .dlfo_eh_frame = (void *)loaded.unwind_header,
    };
    return 0;
}

// libgcc calls it for unwind information that makes no sense.
void abort(void) {
    lp_unwind_give_up(0);
}

// libgcc would lock its list of unwind information registered by hand. Nothing registers any with this
// copy of it, so these are never called; but references to glibc's, in the version that the shim was
// linked with, would keep it from loading where glibc is older.
int __pthread_key_create(unsigned *key, void (*destroy)(void *));
int pthread_once(int *control, void (*function)(void));
int pthread_mutex_lock(void *mutex);
int pthread_mutex_unlock(void *mutex);

int __pthread_key_create(unsigned *key, void (*destroy)(void *)) {
    (void)key;
    (void)destroy;
    return 0;
}
int pthread_once(int *control, void (*function)(void)) {
    (void)control;
    function();
    return 0;
}
int pthread_mutex_lock(void *mutex) {
    (void)mutex;
    return 0;
}
int pthread_mutex_unlock(void *mutex) {
    (void)mutex;
    return 0;
}
