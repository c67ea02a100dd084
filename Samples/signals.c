// Signal handlers that allocate and do not always return. The first argument says which:
//
//     storm      a timer's handler comes 2,000 times while two threads allocate all the time. It takes
//                a block of 2001 bytes each time and gives every other one back
//     jump       a signal comes inside malloc, 1,000 times; the handler leaves with siglongjmp
//     jump-twice the same in malloc called by the handler of another signal, which has an alternate
//                stack above the thread's own
//     exit       a signal comes inside malloc, and the handler ends the thread, 100 times
//     overflow   the stack overflows; the handler allocates on its alternate stack and exits with 42
//
// All but the last then leave 500 blocks of 777 bytes, print "ready" and wait for a line on stdin. The
// first four need signal-allocator.c as the allocator, since glibc's malloc may not be interrupted so.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

static sigjmp_buf out;
static volatile sig_atomic_t *lands_inside;
static atomic_int arrived;

static void on(int signal, void (*handle)(int), int flags) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = flags};
    sigaction(signal, &action, NULL);
}

// ---- storm ----

__attribute__((noinline)) static void take_in_handler(int signal) {
    (void)signal;
    if (atomic_load(&arrived) == 2000) return;
    int number = atomic_fetch_add(&arrived, 1);
    if (number >= 2000) {
        atomic_fetch_sub(&arrived, 1);
        return;
    }
    void *volatile block = malloc(2001);
    if (number % 2 == 1) free(block);
}

__attribute__((noinline)) static void churn_once(int i) {
    void *volatile block = malloc(32 + (size_t)i % 200);
    block = realloc(block, 300);
    free(block);
}

static void *churn(void *unused) {
    for (int i = 0; atomic_load(&arrived) < 2000; i++) churn_once(i);
    return unused;
}

static void storm(void) {
    on(SIGALRM, take_in_handler, SA_RESTART);
    struct itimerval often = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, churn, NULL);
    churn(NULL);
    pthread_join(thread, NULL);
    setitimer(ITIMER_REAL, &never, NULL);
}

// ---- jump ----

static void jump_out(int signal) {
    (void)signal;
    atomic_fetch_add(&arrived, 1);
    siglongjmp(out, 1);
}

static void jump(void) {
    on(SIGUSR1, jump_out, 0);
    for (volatile int i = 0; i < 1000; i++) {
        if (sigsetjmp(out, 1) != 0) continue;
        *lands_inside = 1;
        free(malloc(777));
    }
    *lands_inside = 0;
}

static void take_and_jump(int signal) {
    (void)signal;
    *lands_inside = 1;
    free(malloc(777));
}

static void *run_jump_twice(void *alternate) {
    stack_t stack = {.ss_sp = alternate, .ss_size = 65536};
    sigaltstack(&stack, NULL);
    on(SIGUSR1, jump_out, SA_ONSTACK);
    on(SIGUSR2, take_and_jump, SA_ONSTACK);
    for (volatile int i = 0; i < 1000; i++) {
        if (sigsetjmp(out, 1) == 0) raise(SIGUSR2);
    }
    *lands_inside = 0;
    for (int i = 0; i < 500; i++) {
        void *volatile kept = malloc(778);
        (void)kept;
    }
    return NULL;
}

static void jump_twice(void) {
    char *room = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, room, 1 << 20);
    pthread_create(&thread, &attributes, run_jump_twice, room + (3 << 20));
    pthread_join(thread, NULL);
}

// ---- exit ----

static void end_thread(int signal) {
    (void)signal;
    atomic_fetch_add(&arrived, 1);
    pthread_exit(NULL);
}

static void *run_exit(void *unused) {
    free(malloc(777));
    return unused;
}

static void exit_threads(void) {
    on(SIGUSR1, end_thread, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, run_exit, NULL); // loads what ending a thread needs
    pthread_join(thread, NULL);
    *lands_inside = 1;
    for (int i = 0; i < 100; i++) {
        pthread_create(&thread, NULL, run_exit, NULL);
        pthread_join(thread, NULL);
    }
    *lands_inside = 0;
}

// ---- overflow ----

static void report(int signal) {
    (void)signal;
    char *volatile text = malloc(100000);
    text = realloc(text, 200000);
    memset(text, 'x', 200000);
    free(text);
    static const char message[] = "overflow\n";
    ssize_t written = write(STDOUT_FILENO, message, sizeof message - 1);
    _exit(written > 0 ? 42 : 43);
}

__attribute__((noinline)) static size_t recurse(size_t depth) {
    void *volatile block = malloc(24);
    size_t below = depth == 0 ? 0 : recurse(depth + 1);
    free(block);
    return below + 1;
}

static void overflow(void) {
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    sigaltstack(&stack, NULL);
    on(SIGSEGV, report, SA_ONSTACK);
    recurse(1);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    if (strcmp(how, "overflow") == 0) overflow();
    lands_inside = dlsym(RTLD_DEFAULT, "lands_inside");
    if (lands_inside == NULL) return 64;
    if (strcmp(how, "storm") == 0) storm();
    if (strcmp(how, "jump") == 0) jump();
    if (strcmp(how, "jump-twice") == 0) jump_twice();
    if (strcmp(how, "exit") == 0) exit_threads();
    for (int i = 0; i < 500; i++) {
        void *volatile kept = malloc(777);
        (void)kept;
    }
    printf("%d arrived\nready\n", atomic_load(&arrived));
    fflush(stdout);
    return getchar() == EOF;
}
