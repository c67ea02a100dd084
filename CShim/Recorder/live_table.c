#include "live_table.h"

#include <stddef.h>
#include <sys/mman.h>

#include "raw.h"
#include "region_layout.h"

// The table of 64 MiB of addresses, found by a short probe: a process has few.
#define AREA_BITS 26
#define AREAS 4096U
#define PROBES 16U

// Buckets an entry may lie behind its home. Probing further costs more than a new level.
#define WINDOW 8U
#define SLOTS 5

// 4 KiB and 16 MiB: all levels together have room for the two million smallest blocks of an area.
#define FIRST_LEVEL_BITS 6U
#define LEVELS 13U
#define HUGE_PAGE_BYTES 2097152U

// Of a slot's word, from the top: the address within its area in 8 bytes, the interval, the upper part
// of the size, the counter, which is never 0; so an empty slot is 0.
#define ADDRESS_SHIFT 41
#define INTERVAL_SHIFT 35
#define SIZE_SHIFT 24
#define SIZE_LOW_BITS 32
#define SIZE_HIGH_BITS (LP_LIVE_SIZE_BITS - SIZE_LOW_BITS)

_Static_assert(AREA_BITS - 3 + ADDRESS_SHIFT == 64, "the address takes the upper bits");
_Static_assert(INTERVAL_SHIFT + LP_LIVE_INTERVAL_BITS == ADDRESS_SHIFT, "no bit is used twice");
_Static_assert(SIZE_SHIFT + SIZE_HIGH_BITS == INTERVAL_SHIFT, "no bit is used twice");
_Static_assert(LP_LIVE_COUNTER_BITS == SIZE_SHIFT, "no bit is used twice");

struct bucket {
    uint64_t words[SLOTS];     // atomic
    uint32_t size_lows[SLOTS]; // lower part of the sizes
    uint32_t displaced;        // atomic; entries at home here that lie in a later bucket
};

_Static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

struct lp_live_area {
    uint64_t name;                 // atomic; the addresses' upper bits plus one, 0: free
    struct bucket *levels[LEVELS]; // NULL: not made yet; atomic
    uint64_t reserved[2];          // two cache lines
};

_Static_assert(sizeof(struct lp_live_area) == 128, "areas share no cache line");

static uint32_t level_mask(unsigned level) {
    return (1U << (FIRST_LEVEL_BITS + level)) - 1;
}

static size_t level_bytes(unsigned level) {
    return (size_t)sizeof(struct bucket) << (FIRST_LEVEL_BITS + level);
}

bool lp_live_is_representable(uintptr_t address, const struct lp_live_block *block) {
    return (address & 7) == 0 && (address >> LP_ADDRESS_BITS) == 0 &&
           (block->size >> LP_LIVE_SIZE_BITS) == 0 && (block->counter >> LP_LIVE_COUNTER_BITS) == 0 &&
           block->counter != 0 && block->interval_index <= LP_LIVE_MAX_INTERVAL;
}

// ---- Slots ----

// An address within its area, in 8 bytes.
static inline uint32_t place_of(uintptr_t address) {
    return (uint32_t)(address >> 3) & ((1U << (AREA_BITS - 3)) - 1);
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

#define INTERVAL_MARK ((1ULL << LP_LIVE_INTERVAL_BITS) - 1)

static inline uint64_t interval_of(uint64_t word) {
    return word >> INTERVAL_SHIFT & INTERVAL_MARK;
}

// Takes the block out of the bucket. Unless `is_announced`, another thread may be revising it unseen.
static inline bool take_from(struct lp_live_table *table, struct bucket *bucket, uint32_t place,
                             struct lp_live_block *block, bool is_announced) {
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t word = lp_load_relaxed_u64(&bucket->words[i]);
        if (word >> ADDRESS_SHIFT != place || word == 0) continue;
        uint32_t size_low = lp_load_relaxed_u32(&bucket->size_lows[i]);
        if (__builtin_expect(is_announced && interval_of(word) != INTERVAL_MARK, 1)) {
            lp_store_release_u64(&bucket->words[i], 0);
        } else {
            // lp_live_revise() may be about to forget the block: one of the two gets it.
            word = __atomic_exchange_n(&bucket->words[i], 0, __ATOMIC_ACQ_REL);
            if (word == 0) return false;
        }
        *block = unpack(word, size_low);
        if (interval_of(word) == INTERVAL_MARK)
            block->interval_index = lp_load_relaxed_u32(&table->revised);
        return true;
    }
    return false;
}

// What a slot holds while its block is written.
static inline bool is_unfinished(uint64_t word) {
    return ((uint32_t)word & ((1U << LP_LIVE_COUNTER_BITS) - 1)) == 0;
}

static inline bool put_into(struct bucket *bucket, uint64_t word, uint32_t size_low) {
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t empty = 0;
        uint64_t unfinished = word >> ADDRESS_SHIFT << ADDRESS_SHIFT | INTERVAL_MARK << INTERVAL_SHIFT;
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

static inline struct bucket *level_at(struct lp_live_area *area, unsigned level) {
    return __atomic_load_n(&area->levels[level], __ATOMIC_ACQUIRE);
}

static inline unsigned count_levels(struct lp_live_area *area) {
    unsigned levels = 0;
    while (levels < LEVELS && level_at(area, levels) != NULL) levels++;
    return levels;
}

static bool put_into_level(struct bucket *buckets, uint32_t mask, uint32_t home, uint64_t word,
                           uint32_t size_low) {
    struct bucket *home_bucket = &buckets[home & mask];
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

static void *map(size_t bytes) {
    void *memory = lp_sys_map(bytes, -1);
    if (memory == LP_MAP_FAILED) return NULL;
    // A forked child has blocks of its own.
    lp_sys_advise(memory, bytes, MADV_DONTFORK);
    // Entries lie anywhere in it: without large pages, almost every look would miss the TLB.
    if (bytes >= HUGE_PAGE_BYTES) lp_sys_advise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

// Makes `level` unless it exists or would exceed the table's memory. Returns it, or NULL.
static struct bucket *make_level(struct lp_live_table *table, struct lp_live_area *area,
                                 unsigned level) {
    size_t bytes = level_bytes(level);
    struct bucket *buckets = NULL;
    struct bucket *made = NULL;
    // A part is kept for blocks that come while others are thinned out to make room, and a part for
    // areas that come later: without a first level, nothing in them is recorded.
    bool is_thinning = lp_load_relaxed_u32(&table->is_revising) != 0;
    uint64_t limit = level == 0    ? table->max_bytes
                     : is_thinning ? table->max_bytes / 8 * 7
                                   : table->max_bytes / 4 * 3;
    if (lp_add_relaxed_u64(&table->bytes, bytes) + bytes <= limit) made = map(bytes);
    if (made != NULL && __atomic_compare_exchange_n(&area->levels[level], &buckets, made, false,
                                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        return made;
    }
    lp_add_relaxed_u64(&table->bytes, -bytes);
    if (made == NULL) return level_at(area, level);
    lp_sys_unmap(made, bytes);
    return buckets;
}

// ---- Areas ----

static struct lp_live_area *make_areas(struct lp_live_table *table) {
    size_t bytes = AREAS * sizeof(struct lp_live_area);
    struct lp_live_area *made = map(bytes);
    struct lp_live_area *areas = NULL;
    if (made == NULL) return __atomic_load_n(&table->areas, __ATOMIC_ACQUIRE);
    if (__atomic_compare_exchange_n(&table->areas, &areas, made, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        return made;
    }
    lp_sys_unmap(made, bytes);
    return areas;
}

// The area's table; NULL when there is none, and `is_wanted` could not change that.
static inline struct lp_live_area *area_of(struct lp_live_table *table, uintptr_t address,
                                           bool is_wanted) {
    struct lp_live_area *areas = __atomic_load_n(&table->areas, __ATOMIC_ACQUIRE);
    if (__builtin_expect(areas == NULL, 0)) {
        if (!is_wanted) return NULL;
        areas = make_areas(table);
        if (areas == NULL) return NULL;
    }
    uint64_t name = (uint64_t)(address >> AREA_BITS) + 1;
    uint32_t first = (uint32_t)name * 0x9e3779b1U >> 20;
    for (uint32_t i = 0; i < PROBES; i++) {
        struct lp_live_area *area = &areas[(first + i) % AREAS];
        uint64_t found = lp_load_acquire_u64(&area->name);
        if (__builtin_expect(found == name, 1)) return area;
        if (found != 0) continue;
        if (!is_wanted) return NULL;
        if (lp_compare_exchange_u64(&area->name, &found, name) || found == name) return area;
    }
    return NULL;
}

// ---- The table ----

bool lp_live_insert(struct lp_live_table *table, uintptr_t address, const struct lp_live_block *block,
                    struct lp_live_block *stale) {
    stale->counter = 0;
    struct lp_live_area *area = area_of(table, address, true);
    if (area == NULL) return false;
    uint32_t place = place_of(address);
    uint32_t home = home_of(place);
    uint64_t word = pack(place, block);
    uint32_t size_low = (uint32_t)block->size;
    unsigned levels = count_levels(area);
    // The newest level first: it is the largest and has the most room.
    for (unsigned level = levels; level-- > 0;) {
        struct bucket *buckets = level_at(area, level);
        uint32_t mask = level_mask(level);
        if (level + 1 == levels) take_from(table, &buckets[home & mask], place, stale, false);
        if (put_into_level(buckets, mask, home, word, size_low)) return true;
    }
    for (; levels < LEVELS; levels++) {
        struct bucket *buckets = make_level(table, area, levels);
        if (buckets == NULL) return false;
        if (put_into_level(buckets, level_mask(levels), home, word, size_low)) return true;
    }
    return false;
}

static inline bool remove_block(struct lp_live_table *table, uintptr_t address,
                                struct lp_live_block *block, bool is_announced) {
    struct lp_live_area *area = area_of(table, address, false);
    if (area == NULL) return false;
    uint32_t place = place_of(address);
    uint32_t home = home_of(place);
    unsigned levels = count_levels(area);
    // In a large table every level is a miss of the caches: all of them at once, not one by one.
    for (unsigned level = levels; level-- > 0 && level + 3 > levels;)
        __builtin_prefetch(&level_at(area, level)[home & level_mask(level)], 1);
    for (unsigned level = levels; level-- > 0;) {
        struct bucket *buckets = level_at(area, level);
        uint32_t mask = level_mask(level);
        struct bucket *home_bucket = &buckets[home & mask];
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

bool lp_live_remove(struct lp_live_table *table, uintptr_t address, struct lp_live_block *block,
                    uintptr_t *removing) {
    // A signal handler may have interrupted another removal of this thread.
    if (removing == NULL || *removing != 0) return remove_block(table, address, block, false);
    __atomic_store_n(removing, address, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    bool is_removed = remove_block(table, address, block, true);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(removing, 0, __ATOMIC_RELEASE);
    return is_removed;
}

// ---- Revising ----
//
// A block is revised in three steps, for many blocks at a time: its slot is marked, the kernel makes
// every thread pass a barrier, and what no thread is just removing is decided on. A removal announces
// the address, reads the slot, and empties it, all without locked instructions. If it read the slot
// before the mark, then the barrier has made its announcement visible (or it is over, and the slot
// changed); if after, it saw the mark and takes the slot with an exchange, as the revision does. This
// is the membarrier(2) form of Dekker's algorithm, whose fast side has no barrier.

// Blocks marked at a time: 64 KiB of buckets.
#define BATCH_BUCKETS 1024U
#define MAX_REMOVALS 256U

struct removals {
    uint32_t count;
    uintptr_t addresses[MAX_REMOVALS];
};

// One revision runs at a time; too large for a thread's stack.
static struct removals removals;

static void note_removal(uintptr_t address, void *list) {
    struct removals *noted = list;
    if (noted->count < MAX_REMOVALS) noted->addresses[noted->count] = address;
    noted->count++;
}

static bool is_being_removed(uintptr_t address) {
    if (removals.count > MAX_REMOVALS) return true;
    for (uint32_t i = 0; i < removals.count; i++) {
        if (removals.addresses[i] == address) return true;
    }
    return false;
}

struct batch {
    const struct lp_live_revision *revision;
    uint32_t from;
    uint64_t base; // the area's first address
    struct bucket *buckets;
    uint32_t mask; // of the level
};

static bool mark(struct batch *batch, uint32_t first, uint32_t end) {
    bool has_any = false;
    for (uint32_t i = first; i < end; i++) {
        for (unsigned place = 0; place < SLOTS; place++) {
            uint64_t *slot = &batch->buckets[i].words[place];
            uint64_t word = lp_load_acquire_u64(slot);
            if (word == 0 || is_unfinished(word) || interval_of(word) != batch->from) continue;
            has_any |= lp_compare_exchange_u64(slot, &word, word | INTERVAL_MARK << INTERVAL_SHIFT);
        }
    }
    return has_any;
}

static void decide(struct batch *batch, uint32_t index, unsigned place) {
    const struct lp_live_revision *revision = batch->revision;
    uint64_t *slot = &batch->buckets[index].words[place];
    uint64_t marked = lp_load_acquire_u64(slot);
    if (interval_of(marked) != INTERVAL_MARK || is_unfinished(marked)) return;
    uint32_t in_area = (uint32_t)(marked >> ADDRESS_SHIFT);
    uintptr_t address = (uintptr_t)(batch->base + ((uint64_t)in_area << 3));
    struct lp_live_block block =
        unpack(marked, lp_load_relaxed_u32(&batch->buckets[index].size_lows[place]));
    block.interval_index = batch->from;
    if (is_being_removed(address)) {
        lp_compare_exchange_u64(slot, &marked, pack(in_area, &block));
        return;
    }
    bool is_kept = revision->keeps(address, &block, revision->argument);
    bool is_settled = lp_compare_exchange_u64(slot, &marked, is_kept ? pack(in_area, &block) : 0);
    uint32_t home = home_of(in_area) & batch->mask;
    if (!is_kept && is_settled && home != index)
        lp_add_relaxed_u32(&batch->buckets[home].displaced, UINT32_MAX);
    revision->settle(address, &block, is_kept, is_settled, revision->argument);
}

static void revise_level(struct batch *batch) {
    for (uint32_t first = 0; first <= batch->mask; first += BATCH_BUCKETS) {
        uint32_t end =
            batch->mask + 1 - first < BATCH_BUCKETS ? batch->mask + 1 : first + BATCH_BUCKETS;
        if (!mark(batch, first, end)) continue;
        lp_sys_barrier();
        removals.count = 0;
        batch->revision->removals(note_removal, &removals);
        for (uint32_t i = first; i < end; i++) {
            for (unsigned place = 0; place < SLOTS; place++) decide(batch, i, place);
        }
    }
}

bool lp_live_can_revise(void) {
    return lp_sys_prepare_barrier() == 0;
}

void lp_live_revise(struct lp_live_table *table, uint32_t from,
                    const struct lp_live_revision *revision) {
    struct batch batch = {.revision = revision, .from = from};
    struct lp_live_area *areas = __atomic_load_n(&table->areas, __ATOMIC_ACQUIRE);
    lp_store_release_u32(&table->revised, from);
    lp_store_release_u32(&table->is_revising, 1);
    for (uint32_t i = 0; areas != NULL && i < AREAS; i++) {
        uint64_t name = lp_load_acquire_u64(&areas[i].name);
        unsigned levels = name == 0 ? 0 : count_levels(&areas[i]);
        batch.base = (name - 1) << AREA_BITS;
        for (unsigned level = 0; level < levels; level++) {
            batch.buckets = level_at(&areas[i], level);
            batch.mask = level_mask(level);
            revise_level(&batch);
        }
    }
    lp_store_release_u32(&table->is_revising, 0);
}
