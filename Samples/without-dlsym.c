// Linked into a shim in place of its lp_loader_symbol (--wrap): it finds no dlsym, as in a program
// without libdl on a glibc older than 2.34, and so no _dl_find_object either.
#include <stddef.h>

void *__wrap_lp_loader_symbol(void *scope, const char *name);

void *__wrap_lp_loader_symbol(void *scope, const char *name) {
    (void)scope;
    (void)name;
    return NULL;
}
