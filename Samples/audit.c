// An LD_AUDIT library: ld.so asks it about every library it loads, and it allocates each time. It lives
// in a namespace with a libc of its own.
#define _GNU_SOURCE
#include <link.h>
#include <stdlib.h>
#include <string.h>

unsigned la_version(unsigned version) {
    return version;
}

unsigned la_objopen(struct link_map *map, Lmid_t space, uintptr_t *cookie) {
    (void)space;
    char *name = strdup(map->l_name);
    name = realloc(name, 4000);
    *cookie = (uintptr_t)name;
    free(malloc(100));
    return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}

unsigned la_objclose(uintptr_t *cookie) {
    free((void *)*cookie);
    return 0;
}
