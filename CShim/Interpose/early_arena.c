#include "early_arena.h"

#include "free_filter.h"
#include "next_allocator.h"
#include "raw.h"
#include "region_layout.h"

// In front of every block.
struct early_block {
    size_t size;
    size_t reserved; // blocks stay aligned to 16
};

char lp_early_arena[LP_EARLY_ARENA_BYTES] __attribute__((aligned(16)));
static uint64_t arena_used; // atomic

// What did not fit the arena has a mapping of its own.
#define OVERFLOWS 64
static struct {
    uintptr_t start;
    uintptr_t end;
} overflows[OVERFLOWS];
uint32_t lp_early_overflow_count; // atomic

static uint64_t allocations; // atomic

static void *place(char *room, size_t size, size_t alignment) {
    uintptr_t start = ((uintptr_t)room + sizeof(struct early_block) + alignment - 1) & ~(alignment - 1);
    ((struct early_block *)start)[-1].size = size;
    lp_filter_pin(start); // it may not reach the next allocator's free
    return (void *)start;
}

void *lp_early_allocate(size_t size, size_t alignment) {
    if (alignment < 16) alignment = 16;
    if (size > PTRDIFF_MAX - 2 * alignment) return NULL;
    size_t needed = ((size + 15) & ~(size_t)15) + sizeof(struct early_block) + alignment - 16;
    lp_add_relaxed_u64(&allocations, 1);
    if (needed <= LP_EARLY_ARENA_BYTES) {
        uint64_t offset = lp_add_relaxed_u64(&arena_used, needed);
        if (offset <= LP_EARLY_ARENA_BYTES - needed)
            return place(lp_early_arena + offset, size, alignment);
        lp_add_relaxed_u64(&arena_used, -(uint64_t)needed);
    }
    if (!lp_is_relocated()) return NULL; // system calls go through libc
    uint32_t index = lp_load_relaxed_u32(&lp_early_overflow_count);
    if (index >= OVERFLOWS) return NULL;
    char *room = lp_sys_map(needed, -1);
    if (room == LP_MAP_FAILED) return NULL;
    index = lp_add_relaxed_u32(&lp_early_overflow_count, 1);
    if (index >= OVERFLOWS) {
        lp_sys_unmap(room, needed);
        return NULL;
    }
    overflows[index].start = (uintptr_t)room;
    overflows[index].end = (uintptr_t)room + needed;
    return place(room, size, alignment);
}

size_t lp_early_size(const void *block) {
    return ((const struct early_block *)block)[-1].size;
}

bool lp_early_is_in_overflow(const void *block) {
    for (uint32_t i = 0; i < OVERFLOWS; i++) {
        if ((uintptr_t)block >= overflows[i].start && (uintptr_t)block < overflows[i].end) return true;
    }
    return false;
}

uint64_t lp_early_allocations(void) {
    return lp_load_relaxed_u64(&allocations);
}

uint64_t lp_early_bytes(void) {
    return lp_load_relaxed_u64(&arena_used);
}
