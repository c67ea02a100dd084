// How much stack malloc, realloc and free take: on a thread with the smallest stack, and in a signal
// handler on the smallest alternate stack. Prints "thread BYTES" and "handler BYTES": what was written
// to, from the top. The stacks lie between pages that can't be touched.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREAD_BYTES 16384
// What the kernel puts there, and as much for the handler as MINSIGSTKSZ once promised, four times.
#define HANDLER_BYTES ((size_t)sysconf(_SC_MINSIGSTKSZ) + 4 * 2048)
#define GUARD ((size_t)1 << 20)
#define PAINT 0xa5

static unsigned char *make_stack(size_t bytes) {
    unsigned char *room = mmap(NULL, bytes + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(room + GUARD, bytes, PROT_READ | PROT_WRITE);
    memset(room + GUARD, PAINT, bytes);
    return room + GUARD;
}

static size_t used(const unsigned char *stack, size_t bytes) {
    size_t untouched = 0;
    while (untouched < bytes && stack[untouched] == PAINT) untouched++;
    return bytes - untouched;
}

static void take(void) {
    void *volatile block = malloc(16001);
    block = realloc(block, 16002);
    free(block);
}

static void *run(void *unused) {
    take();
    return unused;
}

static void handle(int signal) {
    (void)signal;
    take();
}

int main(void) {
    unsigned char *thread_stack = make_stack(THREAD_BYTES);
    size_t handler_bytes = (HANDLER_BYTES + 4095) & ~(size_t)4095;
    unsigned char *handler_stack = make_stack(handler_bytes);

    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, thread_stack, THREAD_BYTES);
    if (pthread_create(&thread, &attributes, run, NULL) != 0) return 1;
    pthread_join(thread, NULL);

    stack_t alternate = {.ss_sp = handler_stack, .ss_size = handler_bytes};
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK};
    sigaltstack(&alternate, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);

    printf("thread %zu\nhandler %zu\n", used(thread_stack, THREAD_BYTES),
           used(handler_stack, handler_bytes));
    return 0;
}
