// The malloc family as the target calls it.
//
// Reentrancy. A hook can be entered while another one is under way on the same thread, for two reasons.
// The next allocator may implement one function by another (glibc's reallocarray calls realloc): such a
// call is part of the outer one and is not recorded. Or a signal handler allocates while the thread is
// inside the recorder, which is lock-free and reenters without harm: such a call is recorded. So the
// only state is where on the stack the thread entered the next allocator; deeper calls belong to it. A
// longjmp out of a handler leaves that mark behind; it lies below the caller's frame then and is
// ignored. So is a mark on another stack: a handler's alternate one, or the one that the handler came
// from.
//
// Order. A free is recorded before the next allocator has the block, an allocation after it gave the
// block: so the address is the recorder's alone while it is being looked up (see live_table.h).
//
// Speed. malloc, calloc, realloc and free begin with what it takes to see that the recorder has nothing
// to do, and then jump to the next allocator. Everything else is in functions that a jump leads to as
// well, so that they return to the hook's caller.
//
// errno. The next allocator sets it on failure; the recorder never changes it.
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "early_arena.h"
#include "free_filter.h"
#include "next_allocator.h"
#include "next_entry.h"
#include "process.h"
#include "recorder.h"
#include "thread_state.h"

#define EXPORT __attribute__((visibility("default")))
#define CALLER (&LP_CALLER())
#define SLOW __attribute__((noinline))

// Records the result of a call that allocates, unless it belongs to an outer one.
static inline void *finish(struct lp_entry entry, void *block, size_t size,
                           const struct lp_caller *caller) {
    lp_leave_next(entry);
    if (block == NULL) return NULL;
    if (__builtin_expect(entry.is_nested, 0)) {
        if (lp_thread.is_inside_python == 0) lp_record_nested();
    } else {
        lp_record_allocation(block, size, caller);
    }
    return block;
}

// ---- Allocation ----

static SLOW void *slow_malloc(size_t size) {
    if (!lp_has_next_allocator()) return lp_early_allocate(size, 1);
    struct lp_entry entry = LP_ENTER_NEXT();
    return finish(entry, lp_next.malloc(size), size, CALLER);
}

EXPORT void *malloc(size_t size) {
    if (__builtin_expect(lp_is_not_recorded(size), 1)) return lp_next.malloc(size);
    return slow_malloc(size);
}

// The name above means the program's malloc if it has one.
extern void *own_malloc(size_t size)
    __attribute__((alias("malloc"), visibility("hidden"), malloc, nothrow, leaf, alloc_size(1)));

void *lp_own_malloc(void) {
    return (void *)own_malloc;
}

static SLOW void *slow_calloc(size_t count, size_t size) {
    size_t bytes;
    bool overflows = __builtin_mul_overflow(count, size, &bytes);
    if (!lp_has_next_allocator()) return overflows ? NULL : lp_early_allocate(bytes, 1);
    struct lp_entry entry = LP_ENTER_NEXT();
    return finish(entry, lp_next.calloc(count, size), bytes, CALLER);
}

EXPORT void *calloc(size_t count, size_t size) {
    size_t bytes;
    bool overflows = __builtin_mul_overflow(count, size, &bytes);
    if (__builtin_expect(!overflows && lp_is_not_recorded(bytes), 1))
        return lp_next.calloc(count, size);
    return slow_calloc(count, size);
}

EXPORT void *memalign(size_t alignment, size_t size) {
    if (!lp_has_next_allocator()) return lp_early_allocate(size, alignment);
    struct lp_entry entry = LP_ENTER_NEXT();
    return finish(entry, lp_next.memalign(alignment, size), size, CALLER);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size) {
    if (!lp_has_next_allocator()) return lp_early_allocate(size, alignment);
    struct lp_entry entry = LP_ENTER_NEXT();
    return finish(entry, lp_next.aligned_alloc(alignment, size), size, CALLER);
}

EXPORT void *valloc(size_t size) {
    if (!lp_has_next_allocator()) return lp_early_allocate(size, (size_t)getpagesize());
    struct lp_entry entry = LP_ENTER_NEXT();
    return finish(entry, lp_next.valloc(size), size, CALLER);
}

EXPORT void *pvalloc(size_t size) {
    if (!lp_has_next_allocator()) return lp_early_allocate(size, (size_t)getpagesize());
    struct lp_entry entry = LP_ENTER_NEXT();
    return finish(entry, lp_next.pvalloc(size), size, CALLER);
}

EXPORT int posix_memalign(void **block, size_t alignment, size_t size) {
    if (!lp_has_next_allocator()) {
        void *early = lp_early_allocate(size, alignment);
        if (early == NULL) return ENOMEM;
        *block = early;
        return 0;
    }
    struct lp_entry entry = LP_ENTER_NEXT();
    int status = lp_next.posix_memalign(block, alignment, size);
    finish(entry, status == 0 ? *block : NULL, size, CALLER);
    return status;
}

// ---- Deallocation ----

// True when the block is gone already: there was none, or it came from the early arena.
static inline bool is_done(void *block) {
    return block == NULL || lp_early_owns(block);
}

static SLOW void slow_free(void *block) {
    if (is_done(block) || !lp_has_next_allocator()) return;
    lp_record_free(block);
    lp_next.free(block);
}

EXPORT void free(void *block) {
    if (__builtin_expect(!lp_filter_may_hold(block), 1)) {
        lp_next.free(block);
        return;
    }
    slow_free(block);
}

// Gone from glibc's headers since 2.26, but old programs still call it.
EXPORT void cfree(void *block) {
    if (is_done(block) || !lp_has_next_allocator()) return;
    lp_record_free(block);
    (lp_next.cfree != NULL ? lp_next.cfree : lp_next.free)(block);
}

// C23; where the next allocator has no sized free, free does the same.
EXPORT void free_sized(void *block, size_t size) {
    if (is_done(block) || !lp_has_next_allocator()) return;
    lp_record_free(block);
    if (lp_next.free_sized != NULL) {
        lp_next.free_sized(block, size);
    } else {
        lp_next.free(block);
    }
}

EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size) {
    if (is_done(block) || !lp_has_next_allocator()) return;
    lp_record_free(block);
    if (lp_next.free_aligned_sized != NULL) {
        lp_next.free_aligned_sized(block, alignment, size);
    } else {
        lp_next.free(block);
    }
}

// ---- Reallocation ----

// memcpy can't be called before the shim is relocated; volatile, or this would become one.
static void copy_early_block(volatile char *to, const void *block, size_t size) {
    size_t old_size = lp_early_size(block);
    for (size_t i = 0; i < size && i < old_size; i++) to[i] = ((const char *)block)[i];
}

// A block of the early arena can't be handed to the next allocator: it moves there.
static void *move_early_block(void *block, size_t size, const struct lp_caller *caller) {
    if (!lp_has_next_allocator()) {
        void *moved = lp_early_allocate(size, 1);
        if (moved != NULL) copy_early_block(moved, block, size);
        return moved;
    }
    struct lp_entry entry = LP_ENTER_NEXT();
    void *moved = lp_next.malloc(size);
    if (moved != NULL) copy_early_block(moved, block, size);
    return finish(entry, moved, size, caller);
}

struct pending {
    struct lp_live_block withdrawn;
    bool was_recorded;
    int saved_errno;
};

static inline struct pending begin_realloc(void *block) {
    struct pending pending = {.was_recorded = false, .saved_errno = errno};
    if (block != NULL) pending.was_recorded = lp_withdraw(block, &pending.withdrawn);
    // realloc(p, 0) may free and return NULL, or fail and return NULL: only a failure sets errno.
    errno = 0;
    return pending;
}

static inline void *end_realloc(struct pending *pending, struct lp_entry entry, void *old, void *block,
                                size_t size, const struct lp_caller *caller) {
    bool has_failed = block == NULL && (size != 0 || errno == ENOMEM);
    if (!has_failed) errno = pending->saved_errno;
    if (pending->was_recorded) {
        if (has_failed) {
            lp_put_back(old, &pending->withdrawn);
        } else {
            lp_record_withdrawn_free(&pending->withdrawn);
        }
    }
    return finish(entry, block, size, caller);
}

static SLOW void *slow_realloc(void *block, size_t size) {
    if (block != NULL && lp_early_owns(block)) return move_early_block(block, size, CALLER);
    if (!lp_has_next_allocator()) return lp_early_allocate(size, 1);
    struct pending pending = begin_realloc(block);
    struct lp_entry entry = LP_ENTER_NEXT();
    void *moved = lp_next.realloc(block, size);
    return end_realloc(&pending, entry, block, moved, size, CALLER);
}

EXPORT void *realloc(void *block, size_t size) {
    if (__builtin_expect(!lp_filter_may_hold(block) && lp_is_not_recorded(size), 1))
        return lp_next.realloc(block, size);
    return slow_realloc(block, size);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;
    bool overflows = __builtin_mul_overflow(count, size, &bytes);
    // Not forwarded when it can't succeed, nor where the next allocator has none (glibc before 2.26).
    if (overflows) {
        errno = ENOMEM;
        return NULL;
    }
    if (block != NULL && lp_early_owns(block)) return move_early_block(block, bytes, CALLER);
    if (!lp_has_next_allocator()) return lp_early_allocate(bytes, 1);
    struct pending pending = begin_realloc(block);
    struct lp_entry entry = LP_ENTER_NEXT();
    void *moved = lp_next.reallocarray != NULL ? lp_next.reallocarray(block, count, size)
                                               : lp_next.realloc(block, bytes);
    return end_realloc(&pending, entry, block, moved, bytes, CALLER);
}

// ---- Asking ----

static SLOW size_t slow_usable_size(void *block) {
    if (block == NULL) return 0;
    if (lp_early_owns(block)) return lp_early_size(block);
    return lp_has_next_allocator() ? lp_next.malloc_usable_size(block) : 0;
}

// Redis asks for the size of every block, when it gets it and when it frees it.
EXPORT size_t malloc_usable_size(void *block) {
    bool is_early = (uintptr_t)block - (uintptr_t)lp_early_arena < LP_EARLY_ARENA_BYTES;
    bool is_late = !is_early && lp_early_overflow_count == 0 &&
                   __atomic_load_n(&lp_next.is_found, __ATOMIC_ACQUIRE) != 0;
    return __builtin_expect(is_late, 1) ? lp_next.malloc_usable_size(block) : slow_usable_size(block);
}
