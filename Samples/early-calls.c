// A library to preload behind the shim: allocates in its constructor, and asks dlsym for what does not
// exist, which allocates too. Its program must not notice.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

__attribute__((constructor)) static void allocate_early(void) {
    for (int i = 0; i < 200; i++) {
        (void)dlsym(RTLD_DEFAULT, "no_such_function");
        char *text = strdup(dlerror());
        text = realloc(text, 5000);
        free(text);
        free(calloc(10, 100));
    }
}
