// Allocates and frees after it has given up its right to make system calls.
//
//     sandbox strict|kill|deny main|thread|exit|fork
//
// strict: SECCOMP_MODE_STRICT. kill, deny: a filter that kills the process for, or refuses with EPERM,
// every system call but read, write and exit. The heap is large enough beforehand, so that malloc
// itself makes none. `thread`: the thread that does it has not allocated before. `exit`, `fork`: the
// filter lets exit_group pass too, and what fork and waiting make; the program runs its exit handlers,
// or has a child that does as it.
//
// Keeps 2,000 blocks of 601 bytes, 2,000 of 48 and one of 2,000,001 (made before), prints "ready",
// waits for a line on stdin, and exits with status 7. A child prints "child" and waits for nothing.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT 2000
#define ROUNDS 100000

static void *kept[2][KEPT];

static bool has_child, has_exit;

static void enter(const char *mode) {
    if (strcmp(mode, "strict") == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) _exit(60);
        return;
    }
    unsigned action = strcmp(mode, "kill") == 0 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | 1;
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, has_exit ? SYS_prctl : SYS_exit, 10, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 9, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 8, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 7, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, has_exit ? SYS_exit_group : SYS_exit, 6, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, has_child ? SYS_clone : SYS_exit, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, has_child ? SYS_wait4 : SYS_exit, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, has_child ? SYS_set_robust_list : SYS_exit, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, has_child ? SYS_rseq : SYS_exit, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, has_child ? SYS_rt_sigprocmask : SYS_exit, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(61);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(62);
    // What fails takes nothing back.
    if (has_exit && prctl(PR_SET_SECCOMP, 77) != -1) _exit(68);
}

// Allocates from further down the stack each time, up to 256 KiB.
__attribute__((noinline)) static void churn_below(int depth, int round) {
    volatile char frame[4096];
    frame[0] = (char)round;
    if (depth > 0) {
        churn_below(depth - 1, round);
    } else {
        void *volatile block = malloc((size_t)(round % 3000));
        void *volatile moved = realloc(block, (size_t)(round % 5000) + 1);
        free(moved);
    }
    frame[1] = frame[0];
}

static void *work(void *mode) {
    enter(mode);
    for (int i = 0; i < KEPT; i++) {
        kept[0][i] = malloc(601);
        kept[1][i] = calloc(1, 48);
    }
    for (int i = 0; i < ROUNDS; i++) churn_below(i % 64, i);
    pid_t child = has_child ? fork() : -1;
    if (child == 0) {
        for (int i = 0; i < 1000; i++) kept[0][i] = malloc(700);
        if (write(1, "child\n", 6) != 6) syscall(SYS_exit, 66);
        exit(0);
    }
    int status = 0;
    if (child > 0 && (wait4(child, &status, 0, NULL) != child || status != 0)) syscall(SYS_exit, 67);
    if (write(1, "ready\n", 6) != 6) syscall(SYS_exit, 63);
    char line;
    if (read(0, &line, 1) != 1) syscall(SYS_exit, 64);
    if (has_exit) exit(7);
    syscall(SYS_exit, 7);
    return NULL;
}

// Makes the heap that the sandboxed thread allocates from.
static void *warm_up(void *unused) {
    static void *blocks[4000];
    (void)unused;
    for (int i = 0; i < 4000; i++) blocks[i] = malloc(1000);
    for (int i = 0; i < 4000; i++) free(blocks[i]);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) return 64;
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    void *volatile large = malloc(2000001);
    (void)large;
    warm_up(NULL);
    has_child = strcmp(argv[2], "fork") == 0;
    has_exit = has_child || strcmp(argv[2], "exit") == 0;
    if (strcmp(argv[2], "thread") != 0) work(argv[1]);
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, argv[1]) != 0) return 65;
    pthread_join(thread, NULL);
    return 7;
}
