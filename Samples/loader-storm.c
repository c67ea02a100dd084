// Loads and unloads libraries while others walk the list of loaded ones, with callbacks that allocate,
// and others allocate.
//
//     loader-storm ROUNDS FIRST.so SECOND.so     each made of plugin.c, with leak_of_first,
//     leak_of_second
//
// Each round of each library calls its function, which keeps blocks. Prints "ready", waits for a line
// on stdin.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static int rounds;
static volatile int is_over;

struct library {
    const char *path;
    const char *function;
};

static void *load_and_unload(void *argument) {
    const struct library *library = argument;
    for (int i = 0; i < rounds; i++) {
        void *handle = dlopen(library->path, RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL) exit(60);
        void (*function)(void) = (void (*)(void))dlsym(handle, library->function);
        if (function == NULL || dlsym(handle, "no_such_function") != NULL) exit(61);
        function();
        if (dlclose(handle) != 0) exit(62);
    }
    return NULL;
}

static int allocate(struct dl_phdr_info *info, size_t bytes, void *unused) {
    (void)info;
    (void)bytes;
    (void)unused;
    void *volatile block = malloc(500);
    free(block);
    return 0;
}

static void *walk(void *unused) {
    while (!is_over) dl_iterate_phdr(allocate, NULL);
    return unused;
}

static void *churn(void *unused) {
    while (!is_over) {
        void *volatile block = malloc(300);
        void *volatile moved = realloc(block, 3000);
        free(moved);
    }
    return unused;
}

int main(int argc, char **argv) {
    if (argc != 4) return 64;
    rounds = atoi(argv[1]);
    struct library libraries[] = {{argv[2], "leak_of_first"}, {argv[3], "leak_of_second"}};
    pthread_t loaders[2], others[3];
    pthread_create(&others[0], NULL, walk, NULL);
    pthread_create(&others[1], NULL, churn, NULL);
    pthread_create(&others[2], NULL, churn, NULL);
    for (int i = 0; i < 2; i++) pthread_create(&loaders[i], NULL, load_and_unload, &libraries[i]);
    for (int i = 0; i < 2; i++) pthread_join(loaders[i], NULL);
    is_over = 1;
    for (int i = 0; i < 3; i++) pthread_join(others[i], NULL);
    puts("ready");
    fflush(stdout);
    getchar();
    return 0;
}
