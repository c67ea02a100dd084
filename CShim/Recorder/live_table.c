#include "live_table.h"

#include <stddef.h>
#include <sys/mman.h>

#include "live_area.h"
#include "live_buckets.h"
#include "live_shadow.h"
#include "pool.h"
#include "raw.h"

// The areas in use are found by a short probe: a process has few.
#define AREAS 4096U
#define PROBES 16U

#define HUGE_PAGE_BYTES 2097152U

// Allocators map larger blocks by themselves: no small ones come to lie there.
#define HEAP_BLOCK_BYTES 131072U

bool lp_live_is_representable(uintptr_t address, const struct lp_live_block *block) {
    return (address & 7) == 0 && (address >> LP_ADDRESS_BITS) == 0 &&
           (block->size >> LP_LIVE_SIZE_BITS) == 0 && (block->counter >> LP_LIVE_COUNTER_BITS) == 0 &&
           block->counter != 0 && block->interval_index <= LP_LIVE_MAX_INTERVAL;
}

// ---- Memory ----

void *lp_live_map(size_t bytes) {
    if (bytes <= LP_POOL_LARGEST) return lp_pool_take(bytes);
    void *memory = lp_sys_map(bytes, -1);
    if (memory == LP_MAP_FAILED) return NULL;
    // A forked child has blocks of its own.
    lp_sys_advise(memory, bytes, MADV_DONTFORK);
    // Entries lie anywhere in it: without large pages, almost every look would miss the TLB.
    if (bytes >= HUGE_PAGE_BYTES) lp_sys_advise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

// The shadow gets five eighths of what the table may have: what comes later goes to the buckets,
// which take less. Of those, a part is kept for blocks that come while others are thinned out to make
// room, and a part for areas that come later.
static uint64_t limit_of(struct lp_live_table *table, enum lp_live_use use) {
    if (use == LP_LIVE_FIRST_LEVEL) return table->max_bytes;
    if (use == LP_LIVE_SHADOW) return table->max_bytes / 8 * 5;
    bool is_thinning = lp_load_relaxed_u32(&table->is_revising) != 0;
    return is_thinning ? table->max_bytes / 8 * 7 : table->max_bytes / 4 * 3;
}

bool lp_live_reserve(struct lp_live_table *table, uint64_t bytes, enum lp_live_use use) {
    if (lp_add_relaxed_u64(&table->bytes, bytes) + bytes <= limit_of(table, use)) return true;
    lp_add_relaxed_u64(&table->bytes, -bytes);
    return false;
}

// ---- Areas ----

static struct lp_live_area *make_areas(struct lp_live_table *table) {
    struct lp_live_area *made = lp_live_map(AREAS * sizeof(struct lp_live_area));
    struct lp_live_area *areas = NULL;
    if (made == NULL) return __atomic_load_n(&table->areas, __ATOMIC_ACQUIRE);
    if (__atomic_compare_exchange_n(&table->areas, &areas, made, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        return made;
    }
    return areas;
}

void lp_live_begin(struct lp_live_table *table) {
    make_areas(table);
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
    uint64_t name = (uint64_t)(address >> LP_AREA_BITS) + 1;
    uint32_t first = (uint32_t)name * 0x9e3779b1U >> 20;
    for (uint32_t i = 0; i < PROBES; i++) {
        struct lp_live_area *area = &areas[(first + i) % AREAS];
        uint64_t found = lp_load_acquire_u64(&area->name);
        if (__builtin_expect(found == name, 1)) return area;
        if (found != 0) continue;
        if (!is_wanted) return NULL;
        if (lp_compare_exchange_u64(&area->name, &found, name)) {
            // The allocator has most likely just mapped what lies there.
            lp_pool_refill();
            return area;
        }
        if (found == name) return area;
    }
    return NULL;
}

// ---- The table ----

static inline bool has_word(struct lp_live_table *table, const struct lp_live_block *block) {
    // Samples are few and far between: each would take a page of the shadow.
    if (block->size > LP_SHADOW_BLOCK_BYTES || block->interval_index != 0) return false;
    // CPython's debug hooks give out what lies 16 bytes into the block they get. If that is empty, the
    // next block, of whatever size, may begin 16 bytes further on.
    return block->size != 0 || !__atomic_load_n(&table->has_close_blocks, __ATOMIC_RELAXED);
}

bool lp_live_insert(struct lp_live_table *table, uintptr_t address, const struct lp_live_block *block,
                    struct lp_live_block *stale) {
    stale->counter = 0;
    struct lp_live_area *area = area_of(table, address, true);
    if (area == NULL) return false;
    if (has_word(table, block)) {
        if (lp_shadow_insert(table, area, address, block, stale)) return true;
    } else {
        lp_shadow_remove(table, area, address, stale, false);
        if (block->interval_index == 0 && block->size < HEAP_BLOCK_BYTES)
            lp_shadow_prepare(table, area, address);
    }
    return lp_buckets_insert(table, area, address, block, stale);
}

static inline bool remove_block(struct lp_live_table *table, uintptr_t address,
                                struct lp_live_block *block, bool is_announced) {
    struct lp_live_area *area = area_of(table, address, false);
    if (area == NULL) return false;
    return lp_shadow_remove(table, area, address, block, is_announced) ||
           lp_buckets_remove(table, area, address, block, is_announced);
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

bool lp_live_find(struct lp_live_table *table, uintptr_t address, struct lp_live_block *block) {
    if ((address & 7) != 0 || address >> LP_ADDRESS_BITS != 0) return false;
    struct lp_live_area *area = area_of(table, address, false);
    if (area == NULL) return false;
    return lp_shadow_find(table, area, address, block) || lp_buckets_find(area, address, block);
}

// ---- Revising ----
//
// A block is revised in three steps, for many blocks at a time: its slot is marked, the kernel makes
// every thread pass a barrier, and what no thread is just removing is decided on. A removal announces
// the address, reads the slot, and empties it, all without locked instructions. If it read the slot
// before the mark, then the barrier has made its announcement visible (or it is over, and the slot
// changed); if after, it saw the mark and takes the slot with an exchange, as the revision does. This
// is the membarrier(2) form of Dekker's algorithm, whose fast side has no barrier.

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

void lp_revising_wait(const struct lp_revising *revising) {
    removals.count = 0;
    if (lp_sys_barrier() != 0) {
        // The kernel did it at the start; a sandbox forbids it now. Nothing can be decided without.
        removals.count = MAX_REMOVALS + 1;
        return;
    }
    revising->revision->removals(note_removal, &removals);
}

bool lp_revising_decide(const struct lp_revising *revising, uint64_t *slot, unsigned shift,
                        uintptr_t address, uint64_t size) {
    const struct lp_live_revision *revision = revising->revision;
    uint64_t marked = lp_load_acquire_u64(slot);
    if (!lp_slot_is_marked(marked, shift)) return false;
    uint64_t rest = marked & ~(LP_SLOT_MARK << shift);
    struct lp_live_block block = {size, LP_SLOT_COUNTER(marked), revising->from};
    if (is_being_removed(address)) {
        lp_compare_exchange_u64(slot, &marked, rest | (uint64_t)revising->from << shift);
        return false;
    }
    bool is_kept = revision->keeps(address, &block, revision->argument);
    uint64_t revised = is_kept ? rest | (uint64_t)block.interval_index << shift : 0;
    bool is_settled = lp_compare_exchange_u64(slot, &marked, revised);
    revision->settle(address, &block, is_kept, is_settled, revision->argument);
    return is_settled && !is_kept;
}

bool lp_live_can_revise(void) {
    return lp_sys_prepare_barrier() == 0;
}

void lp_live_revise(struct lp_live_table *table, uint32_t from,
                    const struct lp_live_revision *revision) {
    struct lp_revising revising = {table, revision, from};
    struct lp_live_area *areas = __atomic_load_n(&table->areas, __ATOMIC_ACQUIRE);
    lp_store_release_u32(&table->revised, from);
    lp_store_release_u32(&table->is_revising, 1);
    for (uint32_t i = 0; areas != NULL && i < AREAS; i++) {
        uint64_t name = lp_load_acquire_u64(&areas[i].name);
        if (name == 0) continue;
        uintptr_t base = (uintptr_t)(name - 1) << LP_AREA_BITS;
        lp_shadow_revise(&revising, &areas[i], base);
        lp_buckets_revise(&revising, &areas[i], base);
    }
    lp_store_release_u32(&table->is_revising, 0);
}
