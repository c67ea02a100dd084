// Calls itself what its argument says, keeps 10 blocks of 6001 bytes, prints "ready" and waits for a
// line.
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

__attribute__((noinline)) static void keep(void) {
    for (int i = 0; i < 10; i++) {
        void *volatile kept = malloc(6001);
        (void)kept;
    }
}

int main(int argc, char **argv) {
    char line[16];
    if (argc > 1) prctl(PR_SET_NAME, argv[1], 0, 0, 0);
    keep();
    puts("ready");
    fflush(stdout);
    return fgets(line, sizeof line, stdin) == NULL;
}
