#include "live_buckets.h"

#include "pool.h"
#include "raw.h"

// Buckets an entry may lie behind its home. Probing further costs more than a new level.
#define WINDOW 8U
#define SLOTS 5

#define FIRST_LEVEL_BITS 6U

// Of a slot's word, from the top: the address within its area in 8 bytes, the interval, the upper part
// of the size, the counter, which is never 0; so an empty slot is 0.
#define ADDRESS_SHIFT 41
#define INTERVAL_SHIFT 35
#define SIZE_SHIFT 24
#define SIZE_LOW_BITS 32
#define SIZE_HIGH_BITS (LP_LIVE_SIZE_BITS - SIZE_LOW_BITS)

_Static_assert(LP_AREA_BITS - 3 + ADDRESS_SHIFT == 64, "the address takes the upper bits");
_Static_assert(INTERVAL_SHIFT + LP_LIVE_INTERVAL_BITS == ADDRESS_SHIFT, "no bit is used twice");
_Static_assert(SIZE_SHIFT + SIZE_HIGH_BITS == INTERVAL_SHIFT, "no bit is used twice");
_Static_assert(LP_LIVE_COUNTER_BITS == SIZE_SHIFT, "no bit is used twice");

struct lp_bucket {
    uint64_t words[SLOTS];     // atomic
    uint32_t size_lows[SLOTS]; // lower part of the sizes
    uint32_t displaced;        // atomic; entries at home here that lie in a later bucket
};

_Static_assert(sizeof(struct lp_bucket) == 64, "a bucket is a cache line");

static uint32_t level_mask(unsigned level) {
    return (1U << (FIRST_LEVEL_BITS + level)) - 1;
}

static size_t level_bytes(unsigned level) {
    return (size_t)sizeof(struct lp_bucket) << (FIRST_LEVEL_BITS + level);
}

// ---- Slots ----

// An address within its area, in 8 bytes.
static inline uint32_t place_of(uintptr_t address) {
    return (uint32_t)(address >> 3) & ((1U << (LP_AREA_BITS - 3)) - 1);
}

static inline uint64_t pack(uint32_t place, const struct lp_live_block *block) {
    return (uint64_t)place << ADDRESS_SHIFT | (uint64_t)block->interval_index << INTERVAL_SHIFT |
           block->size >> SIZE_LOW_BITS << SIZE_SHIFT | block->counter;
}

static inline struct lp_live_block unpack(uint64_t word, uint32_t size_low) {
    uint64_t size_high = word >> SIZE_SHIFT & ((1U << SIZE_HIGH_BITS) - 1);
    return (struct lp_live_block){
        .size = size_high << SIZE_LOW_BITS | size_low,
        .counter = (uint32_t)word & ((1U << LP_LIVE_COUNTER_BITS) - 1),
        .interval_index = (uint32_t)(word >> INTERVAL_SHIFT) & ((1U << LP_LIVE_INTERVAL_BITS) - 1),
    };
}

// Fibonacci hashing: the upper bits of the product depend on every bit of the place.
static inline uint32_t home_of(uint32_t place) {
    return place * 0x9e3779b1U >> 7;
}

static inline bool take_from(struct lp_live_table *table, struct lp_bucket *bucket, uint32_t place,
                             struct lp_live_block *block, bool is_announced) {
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t word = lp_load_relaxed_u64(&bucket->words[i]);
        if (word >> ADDRESS_SHIFT != place || word == 0) continue;
        uint32_t size_low = lp_load_relaxed_u32(&bucket->size_lows[i]);
        if (!lp_slot_take(&bucket->words[i], &word, INTERVAL_SHIFT, is_announced)) return false;
        *block = unpack(word, size_low);
        if (block->interval_index == LP_SLOT_MARK)
            block->interval_index = lp_load_relaxed_u32(&table->revised);
        return true;
    }
    return false;
}

static inline bool put_into(struct lp_bucket *bucket, uint64_t word, uint32_t size_low) {
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t empty = 0;
        uint64_t unfinished = word >> ADDRESS_SHIFT << ADDRESS_SHIFT | LP_SLOT_MARK << INTERVAL_SHIFT;
        if (lp_load_relaxed_u64(&bucket->words[i]) != 0) continue;
        if (lp_compare_exchange_u64(&bucket->words[i], &empty, unfinished)) {
            // Nobody else looks this address up before our caller hands it out, so the rest may follow.
            lp_store_relaxed_u32(&bucket->size_lows[i], size_low);
            lp_store_release_u64(&bucket->words[i], word);
            return true;
        }
    }
    return false;
}

// ---- Levels ----

static inline struct lp_bucket *level_at(struct lp_live_area *area, unsigned level) {
    return __atomic_load_n(&area->levels[level], __ATOMIC_ACQUIRE);
}

static inline unsigned count_levels(struct lp_live_area *area) {
    unsigned levels = 0;
    while (levels < LP_LEVELS && level_at(area, levels) != NULL) levels++;
    return levels;
}

static bool put_into_level(struct lp_bucket *buckets, uint32_t mask, uint32_t home, uint64_t word,
                           uint32_t size_low) {
    struct lp_bucket *home_bucket = &buckets[home & mask];
    if (put_into(home_bucket, word, size_low)) return true;
    // Counted before it lies there, so that a count of 0 always means that nothing of ours is further
    // on.
    lp_add_relaxed_u32(&home_bucket->displaced, 1);
    for (uint32_t i = 1; i < WINDOW; i++) {
        if (put_into(&buckets[(home + i) & mask], word, size_low)) return true;
    }
    lp_add_relaxed_u32(&home_bucket->displaced, UINT32_MAX);
    return false;
}

// Makes `level` unless it exists or would exceed the table's memory. Returns it, or NULL.
static struct lp_bucket *make_level(struct lp_live_table *table, struct lp_live_area *area,
                                    unsigned level) {
    size_t bytes = level_bytes(level);
    if (!lp_live_reserve(table, bytes, level == 0 ? LP_LIVE_FIRST_LEVEL : LP_LIVE_LEVEL))
        return level_at(area, level);
    struct lp_bucket *buckets = NULL;
    struct lp_bucket *made = lp_live_map(bytes);
    if (made != NULL && __atomic_compare_exchange_n(&area->levels[level], &buckets, made, false,
                                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        return made;
    }
    lp_add_relaxed_u64(&table->bytes, -bytes);
    if (made == NULL) return level_at(area, level);
    if (bytes > LP_POOL_LARGEST) lp_sys_unmap(made, bytes);
    return buckets;
}

// ---- The table ----

bool lp_buckets_insert(struct lp_live_table *table, struct lp_live_area *area, uintptr_t address,
                       const struct lp_live_block *block, struct lp_live_block *stale) {
    uint32_t place = place_of(address);
    uint32_t home = home_of(place);
    uint64_t word = pack(place, block);
    uint32_t size_low = (uint32_t)block->size;
    unsigned levels = count_levels(area);
    // The newest level first: it is the largest and has the most room.
    for (unsigned level = levels; level-- > 0;) {
        struct lp_bucket *buckets = level_at(area, level);
        uint32_t mask = level_mask(level);
        if (level + 1 == levels) take_from(table, &buckets[home & mask], place, stale, false);
        if (put_into_level(buckets, mask, home, word, size_low)) return true;
    }
    for (; levels < LP_LEVELS; levels++) {
        struct lp_bucket *buckets = make_level(table, area, levels);
        if (buckets == NULL) return false;
        if (put_into_level(buckets, level_mask(levels), home, word, size_low)) return true;
    }
    return false;
}

bool lp_buckets_remove(struct lp_live_table *table, struct lp_live_area *area, uintptr_t address,
                       struct lp_live_block *block, bool is_announced) {
    uint32_t place = place_of(address);
    uint32_t home = home_of(place);
    unsigned levels = count_levels(area);
    // In a large table every level is a miss of the caches: all of them at once, not one by one.
    for (unsigned level = levels; level-- > 0 && level + 3 > levels;)
        __builtin_prefetch(&level_at(area, level)[home & level_mask(level)], 1);
    for (unsigned level = levels; level-- > 0;) {
        struct lp_bucket *buckets = level_at(area, level);
        uint32_t mask = level_mask(level);
        struct lp_bucket *home_bucket = &buckets[home & mask];
        if (take_from(table, home_bucket, place, block, is_announced)) return true;
        if (lp_load_relaxed_u32(&home_bucket->displaced) == 0) continue;
        for (uint32_t i = 1; i < WINDOW; i++) {
            if (!take_from(table, &buckets[(home + i) & mask], place, block, is_announced)) continue;
            lp_add_relaxed_u32(&home_bucket->displaced, UINT32_MAX);
            return true;
        }
    }
    return false;
}

static bool find_in(const struct lp_bucket *bucket, uint32_t place, struct lp_live_block *block) {
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t word = lp_load_acquire_u64(&bucket->words[i]);
        if (word >> ADDRESS_SHIFT != place || LP_SLOT_COUNTER(word) == 0) continue;
        *block = unpack(word, lp_load_relaxed_u32(&bucket->size_lows[i]));
        return block->interval_index != LP_SLOT_MARK;
    }
    return false;
}

bool lp_buckets_find(struct lp_live_area *area, uintptr_t address, struct lp_live_block *block) {
    uint32_t place = place_of(address);
    uint32_t home = home_of(place);
    for (unsigned level = count_levels(area); level-- > 0;) {
        for (uint32_t i = 0; i < WINDOW; i++) {
            if (find_in(&level_at(area, level)[(home + i) & level_mask(level)], place, block))
                return true;
        }
    }
    return false;
}

// ---- Revising ----

// Buckets revised at a time: 64 KiB.
#define BATCH_BUCKETS 1024U

static bool mark(const struct lp_revising *revising, struct lp_bucket *buckets, uint32_t count) {
    bool has_any = false;
    for (uint32_t i = 0; i < count; i++) {
        for (unsigned place = 0; place < SLOTS; place++)
            has_any |= lp_slot_mark(revising, &buckets[i].words[place], INTERVAL_SHIFT);
    }
    return has_any;
}

static void decide(const struct lp_revising *revising, struct lp_bucket *buckets, uint32_t mask,
                   uint32_t index, uintptr_t base) {
    for (unsigned place = 0; place < SLOTS; place++) {
        uint64_t *slot = &buckets[index].words[place];
        uint64_t word = lp_load_acquire_u64(slot);
        if (!lp_slot_is_marked(word, INTERVAL_SHIFT)) continue;
        uint32_t in_area = (uint32_t)(word >> ADDRESS_SHIFT);
        uint64_t size = unpack(word, lp_load_relaxed_u32(&buckets[index].size_lows[place])).size;
        uintptr_t address = base + ((uintptr_t)in_area << 3);
        bool is_forgotten = lp_revising_decide(revising, slot, INTERVAL_SHIFT, address, size);
        uint32_t home = home_of(in_area) & mask;
        if (is_forgotten && home != index) lp_add_relaxed_u32(&buckets[home].displaced, UINT32_MAX);
    }
}

void lp_buckets_revise(const struct lp_revising *revising, struct lp_live_area *area, uintptr_t base) {
    unsigned levels = count_levels(area);
    for (unsigned level = 0; level < levels; level++) {
        struct lp_bucket *buckets = level_at(area, level);
        uint32_t count = level_mask(level) + 1;
        for (uint32_t first = 0; first < count; first += BATCH_BUCKETS) {
            uint32_t part = count - first < BATCH_BUCKETS ? count - first : BATCH_BUCKETS;
            if (!mark(revising, &buckets[first], part)) continue;
            lp_revising_wait(revising);
            for (uint32_t i = first; i < first + part; i++)
                decide(revising, buckets, count - 1, i, base);
        }
    }
}
