#include "live_table.h"

#include <stddef.h>

#include "raw.h"
#include "region_layout.h"

// key:   address >> 3 in the upper 45 bits, interval index in 6, the upper 7 bits of the size
// value: lower 40 bits of the size, counter index in the lower 24
// A key of 0 is an empty slot: no block lies at address 0.
struct slot {
    uint64_t key; // atomic
    uint64_t value;
};

#define SLOTS 3

struct lp_live_bucket {
    uint32_t displaced; // atomic; entries at home here that lie in a later bucket
    uint32_t reserved[3];
    struct slot slots[SLOTS];
};

_Static_assert(sizeof(struct lp_live_bucket) == 64, "a bucket is a cache line");

// Buckets an entry may lie behind its home. Probing further costs more than a new level.
#define WINDOW 8

#define FIRST_LEVEL_BUCKETS 1024U
// 256 MiB, the most address space that is ever reserved in one piece.
#define MAX_LEVEL_BUCKETS (1U << 22)

#define KEY_ADDRESS_SHIFT 19
#define KEY_INTERVAL_SHIFT 13
#define VALUE_SIZE_BITS 40

static uint32_t level_buckets(unsigned level) {
    return level >= 12 ? MAX_LEVEL_BUCKETS : FIRST_LEVEL_BUCKETS << level;
}

static size_t level_bytes(unsigned level) {
    return (size_t)level_buckets(level) * sizeof(struct lp_live_bucket);
}

bool lp_live_is_representable(uintptr_t address, const struct lp_live_block *block) {
    return (address & 7) == 0 && (address >> LP_ADDRESS_BITS) == 0 &&
           (block->size >> LP_LIVE_SIZE_BITS) == 0 && (block->counter >> LP_LIVE_COUNTER_BITS) == 0 &&
           (block->interval_index >> LP_LIVE_INTERVAL_BITS) == 0;
}

static struct slot pack(uintptr_t address, const struct lp_live_block *block) {
    uint64_t size_high = block->size >> VALUE_SIZE_BITS;
    uint64_t size_low = block->size & ((1ULL << VALUE_SIZE_BITS) - 1);
    return (struct slot){
        .key = (uint64_t)address >> 3 << KEY_ADDRESS_SHIFT |
               (uint64_t)block->interval_index << KEY_INTERVAL_SHIFT | size_high,
        .value = size_low << LP_LIVE_COUNTER_BITS | block->counter,
    };
}

static struct lp_live_block unpack(struct slot slot) {
    uint64_t size_high = slot.key & ((1ULL << (LP_LIVE_SIZE_BITS - VALUE_SIZE_BITS)) - 1);
    return (struct lp_live_block){
        .size = size_high << VALUE_SIZE_BITS | slot.value >> LP_LIVE_COUNTER_BITS,
        .counter = (uint32_t)(slot.value & ((1U << LP_LIVE_COUNTER_BITS) - 1)),
        .interval_index =
            (uint32_t)(slot.key >> KEY_INTERVAL_SHIFT) & ((1U << LP_LIVE_INTERVAL_BITS) - 1),
    };
}

// Fibonacci hashing: the upper half of the product depends on every bit of the address.
static uint32_t home_of(uintptr_t address) {
    return (uint32_t)(((uint64_t)address >> 3) * 0x9e3779b97f4a7c15ULL >> 32);
}

static struct lp_live_bucket *level_at(struct lp_live_table *table, unsigned level) {
    return __atomic_load_n(&table->levels[level], __ATOMIC_ACQUIRE);
}

static bool insert_into_bucket(struct lp_live_bucket *bucket, struct slot slot) {
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t empty = 0;
        if (lp_load_relaxed_u64(&bucket->slots[i].key) != 0) continue;
        if (lp_compare_exchange_u64(&bucket->slots[i].key, &empty, slot.key)) {
            // Nobody else looks this address up before our caller hands it out, so the value may
            // follow.
            lp_store_relaxed_u64(&bucket->slots[i].value, slot.value);
            return true;
        }
    }
    return false;
}

static bool insert_into_level(struct lp_live_bucket *buckets, uint32_t mask, uint32_t home,
                              struct slot slot) {
    struct lp_live_bucket *home_bucket = &buckets[home & mask];
    if (insert_into_bucket(home_bucket, slot)) return true;
    // Counted before it lies there, so that a count of 0 always means that nothing of ours is further
    // on.
    lp_add_relaxed_u32(&home_bucket->displaced, 1);
    for (uint32_t i = 1; i < WINDOW; i++) {
        if (insert_into_bucket(&buckets[(home + i) & mask], slot)) return true;
    }
    lp_add_relaxed_u32(&home_bucket->displaced, UINT32_MAX);
    return false;
}

// Makes `level` unless it exists or would exceed the table's memory. Returns it, or NULL.
static struct lp_live_bucket *make_level(struct lp_live_table *table, unsigned level) {
    size_t bytes = level_bytes(level);
    if (lp_add_relaxed_u64(&table->bytes, bytes) + bytes > table->max_bytes) {
        lp_add_relaxed_u64(&table->bytes, -bytes);
        return level_at(table, level);
    }
    void *memory = lp_sys_map(bytes, -1);
    struct lp_live_bucket *buckets = NULL;
    if (memory != LP_MAP_FAILED && __atomic_compare_exchange_n(&table->levels[level], &buckets, memory,
                                                               0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        return memory;
    }
    lp_add_relaxed_u64(&table->bytes, -bytes);
    if (memory != LP_MAP_FAILED) lp_sys_unmap(memory, bytes);
    return buckets;
}

bool lp_live_insert(struct lp_live_table *table, uintptr_t address, const struct lp_live_block *block) {
    struct slot slot = pack(address, block);
    uint32_t home = home_of(address);
    unsigned levels = 0;
    while (levels < LP_LIVE_LEVELS && level_at(table, levels) != NULL) levels++;
    // The newest level first: it is the largest and has the most room.
    for (unsigned level = levels; level-- > 0;) {
        if (insert_into_level(level_at(table, level), level_buckets(level) - 1, home, slot))
            return true;
    }
    for (; levels < LP_LIVE_LEVELS; levels++) {
        struct lp_live_bucket *buckets = make_level(table, levels);
        if (buckets == NULL) return false;
        if (insert_into_level(buckets, level_buckets(levels) - 1, home, slot)) return true;
    }
    return false;
}

static bool remove_from_bucket(struct lp_live_bucket *bucket, uintptr_t address,
                               struct lp_live_block *block) {
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &bucket->slots[i];
        uint64_t key = lp_load_acquire_u64(&slot->key);
        if (key == 0 || key >> KEY_ADDRESS_SHIFT != (uint64_t)address >> 3) continue;
        *block = unpack((struct slot){key, lp_load_relaxed_u64(&slot->value)});
        lp_store_release_u64(&slot->key, 0);
        return true;
    }
    return false;
}

bool lp_live_remove(struct lp_live_table *table, uintptr_t address, struct lp_live_block *block) {
    uint32_t home = home_of(address);
    unsigned levels = 0;
    while (levels < LP_LIVE_LEVELS && level_at(table, levels) != NULL) levels++;
    for (unsigned level = levels; level-- > 0;) {
        struct lp_live_bucket *buckets = level_at(table, level);
        uint32_t mask = level_buckets(level) - 1;
        struct lp_live_bucket *home_bucket = &buckets[home & mask];
        if (remove_from_bucket(home_bucket, address, block)) return true;
        if (lp_load_relaxed_u32(&home_bucket->displaced) == 0) continue;
        for (uint32_t i = 1; i < WINDOW; i++) {
            if (!remove_from_bucket(&buckets[(home + i) & mask], address, block)) continue;
            lp_add_relaxed_u32(&home_bucket->displaced, UINT32_MAX);
            return true;
        }
    }
    return false;
}

void lp_live_unmap(struct lp_live_bucket *const levels[LP_LIVE_LEVELS]) {
    for (unsigned level = 0; level < LP_LIVE_LEVELS; level++) {
        if (levels[level] != NULL) lp_sys_unmap(levels[level], level_bytes(level));
    }
}
