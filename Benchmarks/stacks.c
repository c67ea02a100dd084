// Allocates 10,000,000 blocks at 100,000 distinct stack traces, says "ready", and keeps them until its
// standard input ends. What leakprof takes to read that is measured by snapshot.py.
#include <stdio.h>
#include <stdlib.h>

enum { STACKS = 100000, DEPTH = 17, BLOCKS_PER_STACK = 100 };

static void *volatile last;

static void zero(unsigned path, int depth);
static void one(unsigned path, int depth);

// Each bit of `path` chooses one of two functions to call, so every path is a stack trace of its own.
static inline __attribute__((always_inline)) void descend(unsigned path, int depth) {
    if (depth == 0) {
        for (int i = 0; i < BLOCKS_PER_STACK; i++) last = malloc(16);
    } else if ((path >> (depth - 1) & 1) == 0) {
        zero(path, depth - 1);
    } else {
        one(path, depth - 1);
    }
    last = NULL; // else the calls would be jumps
}

static __attribute__((noinline)) void zero(unsigned path, int depth) {
    descend(path, depth);
}

static __attribute__((noinline)) void one(unsigned path, int depth) {
    descend(path, depth);
}

int main(void) {
    for (unsigned path = 0; path < STACKS; path++) descend(path, DEPTH);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) continue;
    return 0;
}
