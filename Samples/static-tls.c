// Loads the libraries it is given, which have thread-local memory, while threads allocate; uses each
// one's in every thread, and starts a thread with the smallest stack afterwards. Prints how many were
// loaded and what they count, and waits for a line on stdin.
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 64
#define THREADS 4

static long (*count_in[MOST])(void);
static atomic_int loaded, is_done;
static atomic_long sum;

static void *run(void *unused) {
    long last = 0;
    for (int is_last = 0; !is_last;) {
        is_last = atomic_load(&is_done);
        last = 0;
        for (int i = 0; i < atomic_load(&loaded); i++) {
            void *volatile block = malloc(17001);
            last += count_in[i]() > 0;
            free(block);
        }
    }
    atomic_fetch_add(&sum, last);
    return unused;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, run, NULL);
    for (int i = 1; i < argc && i <= MOST; i++) {
        void *library = dlopen(argv[i], RTLD_NOW);
        if (library == NULL) {
            puts(dlerror());
            continue;
        }
        count_in[atomic_load(&loaded)] = (long (*)(void))dlsym(library, "count_here");
        atomic_fetch_add(&loaded, 1);
    }
    atomic_store(&is_done, 1);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    pthread_attr_t small;
    pthread_t thread;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 16384);
    int status = pthread_create(&thread, &small, run, NULL);
    if (status == 0) pthread_join(thread, NULL);
    for (int i = 0; i < 100; i++) {
        void *volatile kept = malloc(15001);
        (void)kept;
    }
    printf("%d loaded, %ld used, small thread %d\nready\n", atomic_load(&loaded), atomic_load(&sum),
           status);
    fflush(stdout);
    return getchar() == EOF;
}
