// The recorder without the hooks, for the sanitizers and valgrind: threads and a signal handler record
// blocks and free each other's, while memory runs out and recorded blocks are thinned out, epochs begin,
// and the region is copied. In the end, when every block has been freed, every sum must be 0.
//
//     recorder-stress DIRECTORY ROUNDS     Prints what is left, and exits with 1 when that is anything.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "process.h"
#include "recorder.h"
#include "region_layout.h"

#define THREADS 6
#define SLOTS 4000

static long rounds;
static _Atomic(void *) mailbox[64];
static atomic_int errno_changes;

static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

// Is built with frame pointers, which LP_CALLER() needs. Stacks differ by depth.
__attribute__((noinline)) static void *
allocate(size_t size, uint32_t depth) {
    void *block;
    if (depth > 0) {
        block = allocate(size, depth - 1);
        __asm__ volatile("" : : : "memory");
        return block;
    }
    block = malloc(size);
    struct lp_caller caller = LP_CALLER();
    if (block != NULL) lp_record_allocation(block, size, &caller);
    return block;
}

static void release(void *block) {
    if (block == NULL) return;
    lp_record_free(block);
    free(block);
}

// As the hook of realloc does.
static void *resize(void *block, size_t size, uint32_t depth) {
    struct lp_live_block withdrawn;
    bool was_recorded = lp_withdraw(block, &withdrawn);
    if (size % 16 == 0) {
        if (was_recorded) lp_put_back(block, &withdrawn);
        return block;
    }
    if (was_recorded) lp_record_withdrawn_free(&withdrawn);
    free(block);
    return allocate(size, depth);
}

// What a handler may interrupt includes malloc itself, so its blocks are its own.
static void on_signal(int number) {
    static _Atomic uintptr_t next = 0x700000000000;
    int before = errno;
    (void)number;
    uint64_t frames[2] = {0x1234, 0x5678};
    void *block = (void *)atomic_fetch_add(&next, 64); // NOLINT(performance-no-int-to-ptr)
    lp_record_stack(block, 40, frames, 2);
    lp_record_free(block);
    if (errno != before) atomic_fetch_add(&errno_changes, 1);
    errno = before;
}

static void *work(void *argument) {
    uint32_t random = 2463534242U + (uint32_t)(uintptr_t)argument;
    void **own = calloc(SLOTS, sizeof(void *));
    for (long round = 0; own != NULL && round < rounds; round++) {
        uint32_t choice = next_random(&random);
        void **slot = &own[choice % SLOTS];
        size_t size = 1 + next_random(&random) % 1500;
        uint32_t depth = choice >> 20 & 7;
        if (*slot == NULL) {
            *slot = allocate(size, depth);
        } else if (choice >> 24 & 1) {
            *slot = resize(*slot, size, depth);
        } else {
            release(atomic_exchange(&mailbox[choice >> 8 & 63], *slot));
            *slot = NULL;
        }
        if (round % 5000 == 0) lp_recorder_copy("stress");
        if (round % 3000 == 0) {
            uint32_t epoch = lp_load_relaxed_u32(&lp_process.header->epoch);
            lp_store_relaxed_u32(&lp_process.header->epoch_request, epoch + 1);
        }
    }
    for (int i = 0; own != NULL && i < SLOTS; i++) release(own[i]);
    free(own);
    return NULL;
}

// What the region says is live, in objects; bytes are added to `*bytes`.
static int64_t left(int64_t *bytes) {
    int64_t objects = 0;
    uint32_t used = lp_load_relaxed_u32(&lp_process.header->counters_used);
    // Records with weights have another layout; they are told by who refers to them.
    uint8_t *is_weight = calloc(lp_process.counters_capacity, 1);
    if (is_weight == NULL) return -1;
    for (uint32_t i = 1; i < used && i < lp_process.counters_capacity; i++)
        if (!is_weight[i]) is_weight[lp_process.counters[i].sampled] = 1;
    for (uint32_t i = 1; i < used && i < lp_process.counters_capacity; i++) {
        const struct lp_counter *counter = &lp_process.counters[i];
        if (is_weight[i] || counter->epoch == 0) continue;
        objects += (int64_t)(counter->allocated_objects - counter->freed_objects -
                             counter->foreign_freed_objects);
        *bytes +=
            (int64_t)(counter->allocated_bytes - counter->freed_bytes - counter->foreign_freed_bytes);
    }
    free(is_weight);
    return objects;
}

int main(int argc, char **argv) {
    if (argc != 3) return 64;
    rounds = atol(argv[2]);
    static struct lp_config config;
    const char *const nothing[] = {NULL};
    lp_config_parse(nothing, &config);
    config.mode = LP_MODE_EXACT;
    config.max_memory_bytes = 256 << 10;
    config.region_bytes = 8 << 20;
    config.blocks_share_nothing = true;
    snprintf(config.directory, sizeof config.directory, "%s", argv[1]);
    lp_recorder_start(&config);
    if (lp_process_state() != LP_PROCESS_RECORDING) return 2;

    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGPROF, &action, NULL);
    struct itimerval every = {{0, 2000}, {0, 2000}};
    setitimer(ITIMER_PROF, &every, NULL);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        if (pthread_create(&threads[i], NULL, work, (void *)i) != 0) return 2;
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_PROF, &never, NULL);
    for (int i = 0; i < 64; i++) release(atomic_exchange(&mailbox[i], NULL));

    int64_t bytes = 0;
    int64_t objects = left(&bytes);
    printf("%ld blocks of %ld bytes left, errno changed %d times; %lu thinned, %lu dropped\n",
           (long)objects, (long)bytes, errno_changes, lp_process.statistics[LP_STAT_THINNED],
           lp_process.statistics[LP_STAT_DROPPED_MEMORY]);
    return objects != 0 || bytes != 0 || errno_changes != 0 ||
           lp_process.statistics[LP_STAT_THINNED] == 0;
}
