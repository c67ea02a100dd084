// THREADS threads allocate blocks of 4099 bytes and free the oldest of their 64, as fast as they can,
// until the process is killed. Each tells, in a file that outlives it, what it has begun and what it
// has done: four counts of 8 bytes per thread, namely allocations begun and done, frees begun and done.
//
//     killed-anytime FILE THREADS
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEPT 64

struct told {
    _Atomic uint64_t allocations_begun, allocations_done, frees_begun, frees_done;
};

static void *churn(void *argument) {
    struct told *told = argument;
    void *kept[KEPT] = {NULL};
    for (unsigned i = 0;; i = (i + 1) % KEPT) {
        if (kept[i] != NULL) {
            told->frees_begun++;
            free(kept[i]);
            told->frees_done++;
        }
        told->allocations_begun++;
        void *volatile block = malloc(4099);
        told->allocations_done++;
        kept[i] = block;
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) return 64;
    int threads = atoi(argv[2]);
    int file = open(argv[1], O_RDWR | O_CLOEXEC);
    size_t bytes = (size_t)threads * sizeof(struct told);
    if (file < 0 || ftruncate(file, (off_t)bytes) != 0) return 1;
    struct told *told = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (told == MAP_FAILED) return 1;
    pthread_t thread;
    for (int i = 0; i < threads; i++) pthread_create(&thread, NULL, churn, &told[i]);
    pthread_join(thread, NULL);
    return 0;
}
