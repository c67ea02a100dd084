// Leaves a block of 100 bytes at each of 2^DEPTH call stacks, and does so twice.
//
//     many-stacks DEPTH     Prints "ready" and waits for a line on stdin.
#include <stdio.h>
#include <stdlib.h>

static void *volatile kept;

static void go(int depth);

__attribute__((noinline)) static void left(int depth) {
    go(depth - 1);
    __asm__ volatile("");
}

__attribute__((noinline)) static void right(int depth) {
    go(depth - 1);
    __asm__ volatile("");
}

__attribute__((noinline)) static void go(int depth) {
    if (depth == 0) {
        kept = malloc(100);
        return;
    }
    left(depth);
    right(depth);
    __asm__ volatile("");
}

int main(int argc, char **argv) {
    if (argc != 2) return 64;
    // volatile: otherwise there would be two calls, and twice as many stacks.
    for (volatile int pass = 0; pass < 2; pass++) go(atoi(argv[1]));
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
