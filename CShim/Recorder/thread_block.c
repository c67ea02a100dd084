#include "thread_block.h"

#include <errno.h>
#include <sys/mman.h>

#include "process.h"
#include "raw.h"

// Blocks are mapped by the dozen. A forked child has none of its parent's (MADV_DONTFORK).
//
// The blocks of the first chunk are there from the start, and are claimed without a system call: they
// belong to whose thread-local memory lies at an address. Where it does again, the thread has ended.
// The others belong to thread IDs; the kernel knows which of these have ended.
#define CHUNK_BLOCKS 16U
#define BLOCK_BYTES ((sizeof(struct lp_thread_block) + 4095) / 4096 * 4096)

_Static_assert(BLOCK_BYTES <= 32768, "a thread costs at most 32 KiB");
_Static_assert(LP_MAX_BLOCKS < LP_NO_NUMBER, "every block has a number");
_Static_assert(LP_MAX_BLOCKS % CHUNK_BLOCKS == 0, "chunks are full");

// How many ended threads' blocks are looked for before a new one is made.
#define LOOKS 4U

// For threads beyond the most that can have a block. Zero is the only value nobody waits for.
static struct lp_thread_block no_block = {.busy = UINTPTR_MAX, .number = LP_NO_NUMBER};

static struct lp_thread_block *block_at(uint32_t index) {
    char *chunk = __atomic_load_n(&lp_process.block_chunks[index / CHUNK_BLOCKS], __ATOMIC_ACQUIRE);
    return chunk == NULL ? NULL
                         : (struct lp_thread_block *)(chunk + index % CHUNK_BLOCKS * BLOCK_BYTES);
}

// The chunk's blocks, mapped by the first thread that needs one of them.
static bool make_chunk(uint32_t index) {
    _Static_assert(CHUNK_BLOCKS == LP_FIRST_BLOCKS, "the first blocks are a chunk");
    char **chunk = &lp_process.block_chunks[index / CHUNK_BLOCKS];
    char *none = NULL;
    if (__atomic_load_n(chunk, __ATOMIC_ACQUIRE) != NULL) return true;
    size_t bytes = CHUNK_BLOCKS * BLOCK_BYTES;
    void *memory = lp_sys_map(bytes, -1);
    if (memory == LP_MAP_FAILED) return false;
    lp_sys_advise(memory, bytes, MADV_DONTFORK);
    if (!__atomic_compare_exchange_n(chunk, &none, (char *)memory, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        lp_sys_unmap(memory, bytes);
    }
    return true;
}

// Makes the block of an ended thread as good as new. Its counters stay its own.
static struct lp_thread_block *take_over(uint32_t index) {
    struct lp_thread_block *block = block_at(index);
    if (block == NULL) return NULL;
    block->number = (uint16_t)(index + 1);
    __atomic_store_n(&block->is_measured, __atomic_load_n(&lp_process.budget.is_on, __ATOMIC_RELAXED),
                     __ATOMIC_RELAXED);
    block->count = 0;
    block->is_mixed = false;
    block->readable_low = 0;
    block->readable_high = 0;
    // Whoever revises the table may be reading it.
    __atomic_store_n(&block->removing, 0, __ATOMIC_RELAXED);
    block->busy = 0;
    return block;
}

static uint32_t blocks_used(void) {
    uint32_t used = lp_load_acquire_u32(&lp_process.blocks_used);
    return used < LP_MAX_BLOCKS ? used : LP_MAX_BLOCKS;
}

static struct lp_thread_block *find_ended(uint32_t thread) {
    uint32_t used = blocks_used();
    // A block under this thread's own number is that of an ended one, or was claimed a moment ago by
    // the call that a signal interrupted.
    for (uint32_t index = LP_FIRST_BLOCKS; index < used; index++) {
        if (lp_load_relaxed_u32(&lp_process.block_threads[index]) == thread) return take_over(index);
    }
    for (uint32_t look = 0; look < LOOKS && look + LP_FIRST_BLOCKS < used; look++) {
        uint32_t index = LP_FIRST_BLOCKS +
                         lp_add_relaxed_u32(&lp_process.block_search, 1) % (used - LP_FIRST_BLOCKS);
        uint32_t owner = lp_load_relaxed_u32(&lp_process.block_threads[index]);
        if (owner == 0 || lp_sys_signal_thread_zero(owner) != -ESRCH) continue;
        if (lp_compare_exchange_u32(&lp_process.block_threads[index], &owner, thread)) {
            return take_over(index);
        }
    }
    return NULL;
}

static struct lp_thread_block *make_new(uint32_t thread) {
    if (lp_load_relaxed_u32(&lp_process.blocks_used) >= LP_MAX_BLOCKS) return NULL;
    uint32_t index = lp_add_relaxed_u32(&lp_process.blocks_used, 1);
    if (index >= LP_MAX_BLOCKS || !make_chunk(index)) return NULL;
    lp_store_release_u32(&lp_process.block_threads[index], thread);
    return take_over(index);
}

// Takes one of the first blocks; NULL when there is none for this thread.
static struct lp_thread_block *take_first(void) {
    if (lp_load_acquire_u32(&lp_process.blocks_used) == 0) return NULL;
    uintptr_t own = (uintptr_t)&lp_thread;
    for (uint32_t index = 0; index < LP_FIRST_BLOCKS; index++) {
        if (__atomic_load_n(&lp_process.first_owners[index], __ATOMIC_RELAXED) == own)
            return take_over(index);
    }
    for (uint32_t index = 0; index < LP_FIRST_BLOCKS; index++) {
        uintptr_t nobody = 0;
        if (__atomic_compare_exchange_n(&lp_process.first_owners[index], &nobody, own, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            return take_over(index);
        }
    }
    return NULL;
}

void lp_blocks_begin(void) {
    if (make_chunk(0)) lp_store_release_u32(&lp_process.blocks_used, LP_FIRST_BLOCKS);
    lp_block_claim();
}

static struct lp_thread_block *claim_by_id(void) {
    uint32_t thread = (uint32_t)lp_sys_thread();
    struct lp_thread_block *block = find_ended(thread);
    return block != NULL ? block : make_new(thread);
}

struct lp_thread_block *lp_block_claim(void) {
    struct lp_thread_block *block = take_first();
    if (block == NULL) block = claim_by_id();
    if (block == NULL) block = &no_block;
    lp_thread.block = block;
    return block;
}

bool lp_block_is_abandoned(const struct lp_thread_block *block, uintptr_t frame) {
    return frame > block->busy && block->busy >= block->readable_low && frame < block->readable_high;
}

void lp_blocks_measure(bool is_measured) {
    uint32_t used = blocks_used();
    for (uint32_t index = 0; index < used; index++) {
        struct lp_thread_block *block = block_at(index);
        if (block != NULL) __atomic_store_n(&block->is_measured, is_measured, __ATOMIC_RELAXED);
    }
}

struct lp_work lp_blocks_work(void) {
    struct lp_work total = {0};
    uint32_t used = blocks_used();
    for (uint32_t index = 0; index < used; index++) {
        const struct lp_thread_block *block = block_at(index);
        if (block == NULL) continue;
        total.operations += lp_load_relaxed_u64(&block->work.operations);
        total.fruitless += lp_load_relaxed_u64(&block->work.fruitless);
        total.bytes += lp_load_relaxed_u64(&block->work.bytes);
        total.blocks += lp_load_relaxed_u64(&block->work.blocks);
        total.timed += lp_load_relaxed_u64(&block->work.timed);
        total.timed_ticks += lp_load_relaxed_u64(&block->work.timed_ticks);
    }
    return total;
}

void lp_blocks_removing(void (*each)(uintptr_t address, void *list), void *list) {
    uint32_t used = blocks_used();
    for (uint32_t index = 0; index < used; index++) {
        const struct lp_thread_block *block = block_at(index);
        uintptr_t address = block == NULL ? 0 : __atomic_load_n(&block->removing, __ATOMIC_ACQUIRE);
        if (address != 0) each(address, list);
    }
}
