// Gives a block back whose address another thread gets at the same moment.
//
//     handover free|realloc     Needs handover-allocator.c. Prints "ready", waits for a line on stdin.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *take(void *handover_taken) {
    void *volatile block = malloc(777);
    (void)block;
    ((void (*)(void))handover_taken)();
    return NULL;
}

int main(int argc, char **argv) {
    void *handover_taken = dlsym(RTLD_DEFAULT, "handover_taken");
    if (argc != 2 || handover_taken == NULL) return 64;
    void *block = malloc(777);
    pthread_t taker;
    pthread_create(&taker, NULL, take, handover_taken);
    if (strcmp(argv[1], "free") == 0) {
        free(block);
    } else {
        void *volatile moved = realloc(block, 778);
        (void)moved;
    }
    pthread_join(taker, NULL);
    puts("ready");
    fflush(stdout);
    getchar();
    return 0;
}
