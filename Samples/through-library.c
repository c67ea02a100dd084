// Allocates below ten frames of a library without frame pointers, then waits for a line on stdin.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

typedef void callback(size_t depth);
size_t through_library(size_t depth, size_t a, size_t b, size_t c, size_t d, callback *function);

__attribute__((noinline)) static void leaking_callback(size_t depth) {
    void *volatile kept = malloc(6001 + depth);
    (void)kept;
}

int main(void) {
    size_t result = through_library(9, 1, 2, 3, 4, leaking_callback);
    printf("%zu\n", result);
    fflush(stdout);
    return getchar() == EOF;
}
