// Three sites that leave exactly BLOCKS blocks each, of SIZE and one and two more bytes, while THREADS
// threads make PAIRS malloc/free pairs in all and hand some of their blocks to each other to be freed.
//
//     exact-sites BLOCKS THREADS PAIRS SIZE     Prints "ready" and waits for a line on stdin.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static long blocks, threads, pairs;
static size_t site_size;
static _Atomic(void *) mailbox[64];

// What is returned goes through a volatile variable: otherwise the call would become a jump, and the
// function would not be on the stack.
__attribute__((noinline)) static void *first_site(void) {
    void *volatile block = malloc(site_size);
    return block;
}
__attribute__((noinline)) static void *second_site(void) {
    void *volatile block = calloc(1, site_size + 1);
    return block;
}
__attribute__((noinline)) static void *third_site(void) {
    void *volatile block = realloc(malloc(7), site_size + 2);
    return block;
}
__attribute__((noinline)) static void *churn_site(size_t size) {
    void *volatile block = malloc(size);
    return block;
}

static void *run(void *argument) {
    long self = (long)argument;
    for (long i = self; i < blocks; i += threads) {
        // Kept in volatile places, so that nothing is optimized away.
        void *volatile kept[] = {first_site(), second_site(), third_site()};
        (void)kept;
    }
    for (long i = self; i < pairs; i += threads) {
        void *block = churn_site(1 + (size_t)i % 600);
        if (i % 16 != 0) {
            free(block);
        } else {
            // The block goes to whoever comes by next; its predecessor is freed here.
            free(atomic_exchange(&mailbox[(size_t)i / 16 % 64], block));
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 5) return 64;
    blocks = atol(argv[1]);
    threads = atol(argv[2]);
    pairs = atol(argv[3]);
    site_size = (size_t)atol(argv[4]);
    pthread_t workers[64];
    for (long i = 0; i < threads; i++) pthread_create(&workers[i], NULL, run, (void *)i);
    for (long i = 0; i < threads; i++) pthread_join(workers[i], NULL);
    for (int i = 0; i < 64; i++) free(atomic_exchange(&mailbox[i], NULL));
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
