// A next allocator that may be called from signal handlers at any moment, as glibc's may not: blocks
// come from one large piece by a single atomic addition and are never used again. Preloaded behind the
// shim or alone, for signals.c. While lands_inside is set, every malloc of 777 bytes raises SIGUSR1
// before it returns.
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PIECE_BYTES ((size_t)1 << 32)

volatile sig_atomic_t lands_inside;

static _Atomic(char *) piece;
static atomic_size_t used;

static char *find_piece(void) {
    char *found = atomic_load(&piece);
    if (found != NULL) return found;
    char *mine = mmap(NULL, PIECE_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (atomic_compare_exchange_strong(&piece, &found, mine)) return mine;
    munmap(mine, PIECE_BYTES);
    return found;
}

static void *allocate(size_t size, size_t alignment) {
    if (size > PIECE_BYTES / 2) return NULL;
    char *start = find_piece();
    size_t taken = (size + alignment + 31) & ~(size_t)15;
    uintptr_t at = (uintptr_t)start + atomic_fetch_add(&used, taken) + 16;
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
    return allocate(count * size, 16); // of a fresh mapping, so zero
}

void *realloc(void *block, size_t size) {
    void *moved = allocate(size, 16);
    if (block == NULL || moved == NULL) return moved;
    size_t old = ((size_t *)block)[-1];
    return memcpy(moved, block, old < size ? old : size);
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
    (void)block;
}
