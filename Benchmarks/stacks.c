// Allocates 10,000,000 blocks at 100,000 distinct stack traces, says "ready", and keeps them until its
// standard input ends. What leakprof takes to read that is measured by snapshot.py.
#include <stdio.h>
#include <stdlib.h>

enum { STACKS = 100000, DEPTH = 17, BLOCKS_PER_STACK = 100 };

static void *volatile last;

static void descend(unsigned path, int depth);

// Each bit of `path` chooses one of two callers, so every path is a stack trace of its own.
__attribute__((noinline)) static void zero(unsigned path, int depth) {
    descend(path, depth - 1);
    last = NULL; // no tail call
}

__attribute__((noinline)) static void one(unsigned path, int depth) {
    descend(path, depth - 1);
    last = NULL;
}

__attribute__((noinline)) static void descend(unsigned path, int depth) {
    if (depth == 0) {
        for (int i = 0; i < BLOCKS_PER_STACK; i++) last = malloc(16);
    } else if ((path >> (depth - 1) & 1) == 0) {
        zero(path, depth);
    } else {
        one(path, depth);
    }
    last = NULL;
}

int main(void) {
    for (unsigned path = 0; path < STACKS; path++) descend(path, DEPTH);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) continue;
    return 0;
}
