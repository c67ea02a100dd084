// Prints where its blocks are, a line each: size and address; the last one is freed already. Then
// "ready"; allocates now and then until it reads something.
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void *volatile kept;

__attribute__((noinline)) static void *small_block(void) {
    kept = malloc(100);
    return kept;
}

__attribute__((noinline)) static void *large_block(void) {
    kept = calloc(50, 1000);
    return kept;
}

__attribute__((noinline)) static void *moved_block(void) {
    void *volatile first = malloc(24);
    kept = realloc(first, 300000);
    return kept;
}

int main(void) {
    void *blocks[] = {small_block(), large_block(), moved_block(), small_block()};
    uintptr_t freed = (uintptr_t)blocks[3];
    for (int i = 0; i < 3; i++) printf("block 0x%" PRIxPTR "\n", (uintptr_t)blocks[i]);
    printf("block 0x%" PRIxPTR "\n", freed);
    fflush(stdout);
    free(blocks[3]);
    puts("ready");
    fflush(stdout);
    struct pollfd input = {0, POLLIN, 0};
    while (poll(&input, 1, 1) == 0) {
        // Not of the freed block's size, or it would be its successor.
        kept = malloc(4000);
        free(kept);
    }
    return 0;
}
