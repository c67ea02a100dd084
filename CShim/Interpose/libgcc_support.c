// What the statically linked libgcc unwinder calls, defined here so that its references end inside the
// shim. None of it is exported: the target's own abort() is untouched.
#include "modules.h"
#include "stack_walk.h"

int _dl_find_object(void *address, void *result);
_Noreturn void abort(void);

// libgcc expects glibc 2.35's function; asking through a pointer lets the shim load where it is
// missing. An address outside of all modules has no unwind information. libgcc would go on to read the
// bytes there to see whether they are a signal trampoline, and a wrong address may not be readable.
int _dl_find_object(void *address, void *result) {
    if (lp_find_object(address, result) == 0) return 0;
    lp_unwind_give_up((uintptr_t)address);
}

// libgcc calls it for unwind information that makes no sense.
void abort(void) {
    lp_unwind_give_up(0);
}
