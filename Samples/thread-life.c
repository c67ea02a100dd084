// Threads whose beginning or end is out of the ordinary; the first argument says how, the second how
// many. Leaves 100 blocks of 15001 bytes when all is done, prints "ready" and waits for a line on
// stdin.
//
//     short        one after the other, each allocates 3001 bytes and gives them back
//     destructors  each frees and allocates in four rounds of thread-specific destructors, and in one
//     of
//                  a thread_local; detached ones among them
//     deferred     each has a cancellation pending while it allocates, and acts on it afterwards
//     asynchronous each is cancelled in the middle of malloc and free, whatever they do
//     attributes   one asks for its own stack all the time while others allocate
//     small        each has the smallest stack there is, 16 KiB, and allocates on it
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long count;
static pthread_key_t keys[8];
static atomic_long rounds;
static sem_t begun, ended;

static void *volatile sink;

static void churn(int times, size_t size) {
    for (int i = 0; i < times; i++) {
        void *volatile block = malloc(size);
        free(block);
    }
}

static void *run_short(void *unused) {
    churn(1, 3001);
    return unused;
}

// Three more rounds, each with a block from the one before.
static void destroy(void *value) {
    long round = *(long *)value;
    free(value);
    atomic_fetch_add(&rounds, 1);
    if (round == 0) return;
    long *next = malloc(4001);
    *next = round - 1;
    for (int i = 0; i < 8; i++) {
        if (pthread_getspecific(keys[i]) != NULL) continue;
        pthread_setspecific(keys[i], next);
        return;
    }
    free(next);
}

// glibc itself makes and frees this one's memory, in __call_tls_dtors and behind it.
extern int __cxa_thread_atexit_impl(void (*destroy)(void *), void *value, void *module);
extern void *__dso_handle;
static void destroy_late(void *value) {
    free(value);
    churn(3, 4002);
}

static void *run_destructors(void *number) {
    for (int i = 0; i < 4; i++) {
        long *value = malloc(4001);
        *value = 3;
        pthread_setspecific(keys[i], value);
    }
    __cxa_thread_atexit_impl(destroy_late, malloc(4003), &__dso_handle);
    sink = strerror(100000 + (int)(long)number % 10); // in thread-local memory that libc frees last
    sem_post(&ended);
    return NULL;
}

static void *run_deferred(void *unused) {
    pthread_cancel(pthread_self());
    churn(300, 5001);
    for (int i = 0; i < 10; i++) {
        // Through what the recorder does now and then: new stacks, a larger table.
        void *blocks[50];
        for (int j = 0; j < 50; j++) blocks[j] = calloc(1, 5001 + (size_t)j);
        for (int j = 0; j < 50; j++) free(realloc(blocks[j], 6001));
    }
    atomic_fetch_add(&rounds, 1);
    pthread_testcancel();
    return unused;
}

static void *run_asynchronous(void *unused) {
    churn(10, 64); // all that glibc sets up per thread is there
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    sem_post(&begun);
    for (;;) {
        // Of a size that glibc keeps per thread, without a lock that the cancelled thread would keep.
        void *volatile block = malloc(64);
        free(block);
    }
    return unused;
}

static void *run_attributes(void *number) {
    for (int i = 0; i < 20000; i++) {
        if ((long)number % 2 == 0) {
            pthread_attr_t attributes;
            pthread_getattr_np(pthread_self(), &attributes);
            pthread_attr_destroy(&attributes);
        } else {
            churn(5, 7001);
        }
    }
    return NULL;
}

__attribute__((noinline)) static void deep(int depth) {
    void *volatile block = depth % 2 == 0 ? malloc(8001) : aligned_alloc(64, 8064);
    if (depth > 0) deep(depth - 1);
    free(block);
}

static void *run_small(void *unused) {
    for (int i = 0; i < 5; i++) deep(20);
    return unused;
}

static void start(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), long i) {
    int status = pthread_create(thread, attributes, run, (void *)i);
    if (status == 0) return;
    printf("pthread_create: %s\n", strerror(status));
    exit(1);
}

static void one_by_one(void *(*run)(void *), const pthread_attr_t *attributes) {
    long cancelled = 0;
    for (long i = 0; i < count; i++) {
        pthread_t thread;
        void *result;
        start(&thread, attributes, run, i);
        if (run == run_asynchronous) {
            sem_wait(&begun);
            pthread_cancel(thread);
        }
        pthread_join(thread, &result);
        cancelled += result == PTHREAD_CANCELED;
    }
    printf("%ld cancelled\n", cancelled);
}

static void together(void *(*run)(void *)) {
    pthread_t threads[16];
    for (long i = 0; i < count && i < 16; i++) start(&threads[i], NULL, run, i);
    for (long i = 0; i < count && i < 16; i++) pthread_join(threads[i], NULL);
}

// Every other one is detached.
static void with_destructors(void) {
    for (int i = 0; i < 8; i++) pthread_key_create(&keys[i], destroy);
    for (long i = 0; i < count; i++) {
        pthread_t thread;
        start(&thread, NULL, run_destructors, i);
        if (i % 2 == 0) {
            pthread_join(thread, NULL);
        } else {
            pthread_detach(thread);
        }
    }
    for (long i = 0; i < count; i++) sem_wait(&ended);
    // The detached ones are behind their destructors when as many rounds have been.
    while (atomic_load(&rounds) < count * 16) sched_yield();
}

int main(int argc, char **argv) {
    if (argc != 3) return 64;
    const char *how = argv[1];
    count = atol(argv[2]);
    sem_init(&begun, 0, 0);
    sem_init(&ended, 0, 0);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 16384);
    if (strcmp(how, "short") == 0) one_by_one(run_short, NULL);
    if (strcmp(how, "destructors") == 0) with_destructors();
    if (strcmp(how, "deferred") == 0) one_by_one(run_deferred, NULL);
    if (strcmp(how, "asynchronous") == 0) one_by_one(run_asynchronous, NULL);
    if (strcmp(how, "attributes") == 0) together(run_attributes);
    if (strcmp(how, "small") == 0) one_by_one(run_small, &small);
    for (int i = 0; i < 100; i++) {
        void *volatile kept = malloc(15001);
        (void)kept;
    }
    printf("%ld rounds\nready\n", atomic_load(&rounds));
    fflush(stdout);
    return getchar() == EOF;
}
