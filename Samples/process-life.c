// Makes processes in the way its argument says, from a program whose threads allocate meanwhile.
//
//     process-life forks COUNT     children allocate and _exit(0)
//     process-life kinds           vfork, clone, a raw fork and posix_spawn; children allocate
//     process-life daemon PIPE     a daemon closes everything, keeps 20 blocks of 5002 bytes, and
//     writes
//                                  its process ID to the named pipe
//     process-life descriptors DIR closes all descriptors, opens 40 files in DIR, and allocates
//     process-life segfault|terminate|last-thread|running-threads|exit-in-handler|exit-in-thread
//
// Keeps 10 blocks of 5001 bytes before and 30 of 5003 after that.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static volatile int is_over;

__attribute__((noinline)) static void keep(int count, size_t size) {
    for (int i = 0; i < count; i++) {
        void *volatile kept = malloc(size);
        (void)kept;
    }
}

__attribute__((noinline)) static void churn(int count) {
    for (int i = 0; i < count; i++) {
        void *volatile block = malloc((size_t)i % 700);
        void *volatile moved = realloc(block, (size_t)i % 900 + 1);
        void *volatile other = calloc(3, 50);
        free(moved);
        free(other);
    }
}

// Nicer than the thread that makes processes, or that would wait for its turn most of the time.
static void *churn_on(void *unused) {
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
    while (!is_over) churn(100);
    return unused;
}

static pthread_t threads[4];

// What other libraries do before and after a fork, in the parent and in the child.
static void allocate_around_fork(void) {
    churn(2);
}

static void begin_load(void) {
    pthread_atfork(allocate_around_fork, allocate_around_fork, allocate_around_fork);
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, churn_on, NULL);
}

static void end_load(void) {
    is_over = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

static int ended_well(pid_t child) {
    int status;
    return child > 0 && waitpid(child, &status, __WALL) == child && status == 0;
}

// Several at a time, so that none waits for another one's turn.
static int fork_often(int count) {
    int well = 0;
    begin_load();
    for (int i = 0; i < count; i += 20) {
        pid_t children[20];
        for (int j = 0; j < 20; j++) {
            children[j] = fork();
            if (children[j] == 0) {
                churn(20);
                _exit(0);
            }
        }
        for (int j = 0; j < 20; j++) well += ended_well(children[j]);
    }
    end_load();
    printf("%d children ended well\n", well);
    return well == count ? 0 : 1;
}

static int allocate_in_clone(void *unused) {
    (void)unused;
    churn(20);
    _exit(0);
}

static int make_all_kinds(void) {
    static int well;
    static char stack[65536] __attribute__((aligned(64)));
    begin_load();
    for (int i = 0; i < 200; i++) {
        pid_t child = vfork();
        if (child == 0) {
            churn(20);
            _exit(0);
        }
        well += ended_well(child);
    }
    for (int i = 0; i < 100; i++)
        well += ended_well(
            clone(allocate_in_clone, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
    for (int i = 0; i < 100; i++) {
        pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        if (child == 0) {
            churn(20);
            _exit(0);
        }
        well += ended_well(child);
    }
    for (int i = 0; i < 50; i++) {
        char *arguments[] = {"true", NULL};
        pid_t child;
        if (posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ) == 0)
            well += ended_well(child);
    }
    end_load();
    printf("%d children ended well\n", well);
    return well == 450 ? 0 : 1;
}

static int become_daemon(const char *pipe) {
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() != 0) _exit(0);
        if (chdir("/") != 0) _exit(1);
        umask(0);
        syscall(SYS_close_range, 0, ~0U, 0);
        keep(20, 5002);
        int descriptor = open(pipe, O_WRONLY);
        char text[16];
        int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
        if (descriptor != 0 || write(descriptor, text, (size_t)length) != length) _exit(2);
        _exit(0);
    }
    return ended_well(child) ? 0 : 1;
}

// What a process can find out about itself that a library may have changed.
static void show_self(void) {
    int first = dup(0), second = dup(0), third = dup(0);
    printf("next descriptors %d %d %d\n", first, second, third);
    static const char *const shown[] = {"Umask:", "Threads:", "SigBlk:", "SigIgn:", "FDSize:"};
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
            if (strncmp(line, shown[i], strlen(shown[i])) == 0) fputs(line, stdout);
    }
    if (file != NULL) fclose(file);
    // Refused to processes with more than one thread.
    pid_t child = fork();
    if (child == 0) _exit(unshare(CLONE_NEWUSER));
    printf("%d\n", ended_well(child));
}

static int take_descriptors(const char *directory) {
    int bad = 0;
    show_self();
    syscall(SYS_close_range, 3, ~0U, 0);
    char path[4096];
    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "%s/%d", directory, i);
        if (open(path, O_RDWR | O_CREAT | O_TRUNC, 0600) != 3 + i) bad++;
    }
    begin_load();
    churn(100000);
    end_load();
    for (int i = 0; i < 40; i++) {
        struct stat status;
        if (fstat(3 + i, &status) != 0 || status.st_size != 0) bad++;
        if (i > 0 && dup2(3, 3 + i) != 3 + i) bad++;
    }
    churn(1000);
    printf("%d bad\n", bad);
    return bad;
}

static void *keep_and_end(void *main_thread) {
    pthread_join(*(pthread_t *)main_thread, NULL);
    keep(30, 5003);
    fputs("last\n", stdout);
    return NULL;
}

static void *exit_here(void *unused) {
    (void)unused;
    keep(30, 5003);
    exit(11);
}

static void exit_again(void) {
    keep(30, 5003);
    _exit(12);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    keep(10, 5001);
    int status = 0;
    if (strcmp(how, "forks") == 0) status = fork_often(atoi(argv[2]));
    if (strcmp(how, "kinds") == 0) status = make_all_kinds();
    if (strcmp(how, "daemon") == 0) status = become_daemon(argv[2]);
    if (strcmp(how, "descriptors") == 0) status = take_descriptors(argv[2]);
    if (strcmp(how, "exit-in-handler") == 0) {
        atexit(exit_again);
        return 3;
    }
    static pthread_t self;
    self = pthread_self();
    if (strcmp(how, "last-thread") == 0) {
        pthread_create(&threads[0], NULL, keep_and_end, &self);
        pthread_exit(NULL);
    }
    if (strcmp(how, "exit-in-thread") == 0) {
        pthread_create(&threads[0], NULL, exit_here, NULL);
        for (;;) pause();
    }
    keep(30, 5003);
    if (strcmp(how, "running-threads") == 0) {
        begin_load();
        return 13;
    }
    if (strcmp(how, "segfault") == 0) raise(SIGSEGV);
    if (strcmp(how, "terminate") == 0) kill(getpid(), SIGTERM);
    return status;
}
