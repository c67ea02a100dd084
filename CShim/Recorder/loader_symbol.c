#include <stddef.h>

#include "loader.h"

// The oldest version, or the shim would need the glibc it was built with; weak, because older ones have
// it elsewhere.
extern void *old_dlsym(void *scope, const char *name) __attribute__((weak));
__asm__(".symver old_dlsym, dlsym@GLIBC_2.2.5");

void *lp_loader_symbol(void *scope, const char *name) {
    return old_dlsym == NULL ? NULL : old_dlsym(scope, name);
}
