// THREADS threads keep BLOCKS blocks of 2001 bytes between them and replace one after the other, as
// fast as they can, until a line comes on stdin, then wait for another. Meanwhile at most one more per
// thread is live.
//
//     steady-population BLOCKS THREADS      Prints "ready" when all were replaced once, "steady" at the
//     end.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static long blocks, threads;
static void **population;
static atomic_int is_over, passes;

__attribute__((noinline)) static void *make_block(void) {
    void *volatile block = malloc(2001);
    return block;
}

static void *replace(void *argument) {
    for (int is_first = 1; !is_over; is_first = 0) {
        for (long i = (long)argument; i < blocks && !is_over; i += threads) {
            void *old = population[i];
            population[i] = make_block();
            free(old);
        }
        passes += is_first;
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) return 64;
    blocks = atol(argv[1]);
    threads = atol(argv[2]);
    population = malloc((size_t)blocks * sizeof *population);
    for (long i = 0; i < blocks; i++) population[i] = make_block();
    pthread_t workers[64];
    for (long i = 0; i < threads; i++) pthread_create(&workers[i], NULL, replace, (void *)i);
    while (passes < threads) sched_yield();
    puts("ready");
    fflush(stdout);
    int line = getchar();
    is_over = 1;
    for (long i = 0; i < threads; i++) pthread_join(workers[i], NULL);
    puts("steady");
    fflush(stdout);
    return line == EOF || getchar() == EOF;
}
