// Loads each plugin it is given, lets it leak, and unloads it, so that the next one is likely to lie at
// the same address; with KEEP_LOADED in the environment it stays. Prints where each was loaded, then
// waits for a line on stdin.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        void *plugin = dlopen(argv[i], RTLD_NOW);
        if (plugin == NULL) return 1;
        struct link_map *map;
        dlinfo(plugin, RTLD_DI_LINKMAP, &map);
        printf("%lx\n", (unsigned long)map->l_addr);
        ((void (*)(void))dlsym(plugin, "run_plugin"))();
        if (getenv("KEEP_LOADED") == NULL) dlclose(plugin);
    }
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
