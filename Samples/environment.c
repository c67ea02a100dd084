// What programs do to their environment. "huge": starts itself anew with 1.5 MB of variables in front
// of those it has, and then does as "rewrite": overwrites the memory of its arguments and environment,
// as setproctitle does, and forks a child. Both leave 15 blocks of 14001 bytes; the child prints
// "ready" and waits for a line on stdin, and its parent waits for the child.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define BIG 15

static int start_with_more(char **argv) {
    static char big[BIG][100 << 10];
    int count = 0;
    while (environ[count] != NULL) count++;
    char **more = calloc((size_t)(BIG + count + 1), sizeof *more);
    for (int i = 0; i < BIG; i++) {
        int length = snprintf(big[i], sizeof big[i], "BIG_%d=", i);
        memset(big[i] + length, 'x', sizeof big[i] - 1 - (size_t)length);
        more[i] = big[i];
    }
    memcpy(more + BIG, environ, (size_t)count * sizeof *more);
    char *arguments[] = {argv[0], "rewrite", NULL};
    execve("/proc/self/exe", arguments, more);
    return 1;
}

static void take(void) {
    for (int i = 0; i < 15; i++) {
        void *volatile kept = malloc(14001);
        (void)kept;
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "huge") == 0) return start_with_more(argv);
    take();
    int count = 0;
    while (environ[count] != NULL) count++;
    char *end = environ[count - 1] + strlen(environ[count - 1]);
    memset(argv[0], '!', (size_t)(end - argv[0]));
    clearenv();
    pid_t child = fork();
    if (child == 0) {
        take();
        // Its parent's are gone.
        int left = environ == NULL ? 0 : environ[0] != NULL;
        printf("%d variables\nready\n", left);
        fflush(stdout);
        return getchar() == EOF;
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}
