// Keeps 50 blocks of 3001 bytes and ends in the way its argument says.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    for (int i = 0; i < 50; i++) {
        void *volatile kept = malloc(3001);
        (void)kept;
    }
    if (strcmp(how, "exit") == 0) exit(3);
    if (strcmp(how, "_exit") == 0) _exit(4);
    if (strcmp(how, "quick_exit") == 0) quick_exit(5);
    if (strcmp(how, "abort") == 0) abort();
    if (strcmp(how, "kill") == 0) raise(SIGKILL);
    if (strcmp(how, "exec") == 0) execl(argv[0], argv[0], "return", (char *)NULL);
    return 6;
}
