// Keeps 1000 blocks of 1234 bytes more for every line on stdin, and answers each with "grown".
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void grow(void) {
    for (int i = 0; i < 1000; i++) {
        void *volatile kept = malloc(1234);
        (void)kept;
    }
}

int main(void) {
    char line[16];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        grow();
        puts("grown");
        fflush(stdout);
    }
    return 0;
}
