// A next allocator at its least convenient: the first block of 777 bytes that is given back goes to
// the thread that waits in malloc(777) for it, and that thread has it in use before free or realloc
// returns. Preloaded behind the shim, for handover.c.
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

static atomic_int made;
static _Atomic(void *) first;
static _Atomic(void *) handed_over;
static atomic_int taken;

// Called by the thread that got the block.
void handover_taken(void) {
    atomic_store(&taken, 1);
}

static int hand_over(void *block) {
    if (block == NULL || atomic_load(&first) != block) return 0;
    atomic_store(&first, NULL);
    atomic_store(&handed_over, block);
    while (!atomic_load(&taken)) sched_yield();
    return 1;
}

void *malloc(size_t size) {
    if (size != 777) return __libc_malloc(size);
    if (atomic_fetch_add(&made, 1) == 0) {
        void *block = __libc_malloc(size);
        atomic_store(&first, block);
        return block;
    }
    while (atomic_load(&handed_over) == NULL) sched_yield();
    return atomic_load(&handed_over);
}

void free(void *block) {
    if (!hand_over(block)) __libc_free(block);
}

void *realloc(void *block, size_t size) {
    return hand_over(block) ? __libc_malloc(size) : __libc_realloc(block, size);
}
