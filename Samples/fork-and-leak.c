// Keeps 10 blocks of 5001 bytes, forks; the child keeps 20 of 5002 and frees those it inherited, the
// parent keeps 30 of 5003. Both wait for stdin to end; the child's process ID is printed.
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *before[10];

__attribute__((noinline)) static void keep(int count, size_t size) {
    for (int i = 0; i < count; i++) {
        void *volatile kept = malloc(size);
        (void)kept;
    }
}

int main(void) {
    for (int i = 0; i < 10; i++) before[i] = malloc(5001);
    int ready[2];
    if (pipe(ready) != 0) return 1;
    pid_t child = fork();
    if (child == 0) {
        keep(20, 5002);
        for (int i = 0; i < 10; i++) free(before[i]);
        if (write(ready[1], "x", 1) != 1) return 1;
        while (getchar() != EOF) {
        }
        return 0;
    }
    keep(30, 5003);
    char byte;
    if (read(ready[0], &byte, 1) != 1) return 1;
    printf("%d\n", (int)child);
    fflush(stdout);
    int status;
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}
