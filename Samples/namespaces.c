// Loads namespaces-plugin.c, its second argument, in a way in which the plugin's malloc is not that of
// the program: "deepbind", with RTLD_DEEPBIND, or "dlmopen", into a namespace of its own. The plugin
// leaves 10 blocks of 12002 bytes, the program 10 of 12001. With deepbind, each also gives back blocks
// of the other. Waits for a line on stdin.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *kept[10];

int main(int argc, char **argv) {
    if (argc != 3) return 64;
    int is_shared = strcmp(argv[1], "deepbind") == 0;
    void *plugin =
        is_shared ? dlopen(argv[2], RTLD_NOW | RTLD_DEEPBIND) : dlmopen(LM_ID_NEWLM, argv[2], RTLD_NOW);
    if (plugin == NULL) return 1;
    void *(*take)(size_t size) = (void *(*)(size_t))dlsym(plugin, "plugin_take");
    void (*give_back)(void *block) = (void (*)(void *))dlsym(plugin, "plugin_give_back");
    for (int i = 0; i < 10; i++) {
        kept[i] = malloc(12001);
        void *volatile of_plugin = take(12002);
        (void)of_plugin;
        if (is_shared) {
            free(take(12003));
            give_back(malloc(12004));
        }
    }
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
