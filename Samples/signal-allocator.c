// A next allocator that may be called from signal handlers at any moment, as glibc's may not. Blocks of
// up to 4,000 bytes come from a stack of free slots, which an atomic operation changes; larger and
// aligned ones from a piece of memory, by an atomic addition, and are never used again. Preloaded
// behind the shim or alone, for signals.c. While lands_inside is set, every malloc of 777 bytes raises
// SIGUSR1 before it returns.
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SLOT_BYTES 4096
#define SLOTS 32768
#define PIECE_BYTES ((size_t)64 << 20)

volatile sig_atomic_t lands_inside;

static char slots[SLOTS][SLOT_BYTES] __attribute__((aligned(4096)));
static atomic_uint fresh = 1; // slots that were never used; 0 means none
static _Atomic uint32_t next_free[SLOTS];
static _Atomic uint64_t first_free; // a slot, and above it a number that is never the same again

static char piece[PIECE_BYTES] __attribute__((aligned(4096)));
static atomic_size_t used;

static uint32_t pop(void) {
    uint64_t first = atomic_load(&first_free);
    for (;;) {
        uint32_t slot = (uint32_t)first;
        if (slot == 0) return 0;
        uint64_t after = ((first >> 32) + 1) << 32 | atomic_load(&next_free[slot]);
        if (atomic_compare_exchange_weak(&first_free, &first, after)) return slot;
    }
}

static void push(uint32_t slot) {
    uint64_t first = atomic_load(&first_free);
    uint64_t after;
    do {
        atomic_store(&next_free[slot], (uint32_t)first);
        after = ((first >> 32) + 1) << 32 | slot;
    } while (!atomic_compare_exchange_weak(&first_free, &first, after));
}

static void *allocate(size_t size, size_t alignment) {
    if (size <= 4000 && alignment <= 16) {
        uint32_t slot = pop();
        if (slot == 0) slot = atomic_fetch_add(&fresh, 1);
        if (slot >= SLOTS) return NULL;
        *(size_t *)(slots[slot] + 8) = size;
        return slots[slot] + 16;
    }
    if (size > PIECE_BYTES / 2) return NULL;
    size_t taken = (size + alignment + 31) & ~(size_t)15;
    size_t offset = atomic_fetch_add(&used, taken);
    if (offset > PIECE_BYTES - taken) return NULL;
    uintptr_t at = (uintptr_t)piece + offset + 16;
    at = (at + alignment - 1) & ~(uintptr_t)(alignment - 1);
    ((size_t *)at)[-1] = size;
    return (void *)at;
}

void *malloc(size_t size) {
    void *block = allocate(size, 16);
    if (size == 777 && lands_inside) raise(SIGUSR1);
    return block;
}

void *calloc(size_t count, size_t size) {
    void *block = allocate(count * size, 16);
    return block == NULL ? NULL : memset(block, 0, count * size);
}

static void give_back(void *block) {
    uintptr_t offset = (uintptr_t)block - (uintptr_t)slots;
    if (offset < sizeof slots) push((uint32_t)(offset / SLOT_BYTES));
}

void *realloc(void *block, size_t size) {
    void *moved = allocate(size, 16);
    if (block == NULL || moved == NULL) return moved;
    size_t old = ((size_t *)block)[-1];
    memcpy(moved, block, old < size ? old : size);
    give_back(block);
    return moved;
}

void *memalign(size_t alignment, size_t size) {
    return allocate(size, alignment < 16 ? 16 : alignment);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
    *block = memalign(alignment, size);
    return 0;
}

size_t malloc_usable_size(void *block) {
    return ((size_t *)block)[-1];
}

void free(void *block) {
    give_back(block);
}
