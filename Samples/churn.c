// Does nothing but allocate and free until its input ends; with an argument, it waits for that and does
// nothing at all.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static int has_input_ended(void) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    return poll(&input, 1, 0) != 0;
}

int main(int argc, char **argv) {
    (void)argv;
    puts("ready");
    fflush(stdout);
    if (argc > 1) return getchar() == EOF;
    while (!has_input_ended()) {
        for (int i = 0; i < 100000; i++) {
            void *volatile block = malloc(16 + (size_t)i % 500);
            free(block);
        }
    }
    return 0;
}
