#include "pool.h"

#include <sys/mman.h>

#include "process.h"
#include "raw.h"

// At the start of its own memory.
struct lp_pool {
    uint64_t used; // bytes, with this; atomic
};

#define HEAD_BYTES ((uint64_t)4096)

static void *take_from(struct lp_pool *pool, uint64_t bytes) {
    if (pool == NULL) return NULL;
    uint64_t used = lp_load_relaxed_u64(&pool->used);
    do {
        if (LP_POOL_BYTES - used < bytes) return NULL;
    } while (!lp_compare_exchange_u64(&pool->used, &used, used + bytes));
    return (char *)pool + used;
}

// Puts a new pool in place of `old`. What was left of that is address space lost.
static void replace(struct lp_pool *old) {
    struct lp_pool *made = lp_sys_map(LP_POOL_BYTES, -1);
    if (made == LP_MAP_FAILED) return;
    lp_sys_advise(made, LP_POOL_BYTES, MADV_DONTFORK);
    made->used = HEAD_BYTES;
    if (!__atomic_compare_exchange_n(&lp_process.pool, &old, made, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        lp_sys_unmap(made, LP_POOL_BYTES);
    }
}

void *lp_pool_take(size_t bytes) {
    if (bytes > LP_POOL_LARGEST) return NULL;
    uint64_t rounded = (bytes + 4095) & ~(uint64_t)4095;
    struct lp_pool *pool = __atomic_load_n(&lp_process.pool, __ATOMIC_ACQUIRE);
    void *taken = take_from(pool, rounded);
    if (taken != NULL) return taken;
    replace(pool);
    return take_from(__atomic_load_n(&lp_process.pool, __ATOMIC_ACQUIRE), rounded);
}

void lp_pool_refill(void) {
    struct lp_pool *pool = __atomic_load_n(&lp_process.pool, __ATOMIC_ACQUIRE);
    if (pool == NULL || lp_load_relaxed_u64(&pool->used) > LP_POOL_BYTES / 2) replace(pool);
}
