// A wrapper's block is the domain's: what the allocator behind it does to get its memory is part of
// that. Large objects are malloc's, with PYTHONMALLOC=malloc or debug all are; those calls of the
// malloc family are neither recorded nor taken off the sampling gap, which the wrapper has done
// already.
//
// A wrapper calls the allocator it wraps with the context that it was itself called with. So whatever
// mixture of old and new pointers another thread reads while the wrappers are put in place, the calls
// arrive where they should.
#include "python_allocators.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "free_filter.h"
#include "next_entry.h"
#include "python.h"
#include "recorder.h"

#define CALLER (&LP_CALLER())
#define SLOW __attribute__((noinline))

enum { DOMAIN_RAW, DOMAIN_MEM, DOMAIN_OBJECT, DOMAINS };

static struct lp_python_allocator wrapped[DOMAINS];
static uint32_t was_called; // since the last check; atomic

struct inner {
    struct lp_entry entry;
    uint64_t room;
};

// A macro, so that the frame address is the wrapper's own.
#define ENTER() enter((uintptr_t)__builtin_frame_address(0))

static inline struct inner enter(uintptr_t frame) {
    struct inner inner = {lp_enter_next(frame), lp_thread.room};
    if (inner.entry.is_nested) return inner;
    lp_thread.is_inside_python = 1;
    lp_thread.room = 0;
    return inner;
}

static inline void leave(struct inner inner) {
    if (inner.entry.is_nested) return;
    lp_thread.room = inner.room;
    lp_leave_next(inner.entry);
}

static inline void note_call(void) {
    if (__builtin_expect(lp_load_relaxed_u32(&was_called) == 0, 0))
        lp_store_relaxed_u32(&was_called, 1);
}

// Records what the domain gave out, unless one of the others asked for it.
static inline void *finish(struct inner inner, void *block, size_t size, unsigned domain,
                           const struct lp_caller *caller) {
    leave(inner);
    if (block != NULL && !inner.entry.is_nested)
        lp_record_in_domain(block, size, caller, LP_FRAME_DOMAIN_RAW + domain);
    return block;
}

static SLOW void *slow_malloc(void *context, size_t size, unsigned domain,
                              const struct lp_caller *caller) {
    struct inner inner = ENTER();
    return finish(inner, wrapped[domain].malloc(context, size), size, domain, caller);
}

static SLOW void *slow_calloc(void *context, size_t count, size_t size, unsigned domain,
                              const struct lp_caller *caller) {
    struct inner inner = ENTER();
    // The product fits: CPython looks before it calls.
    return finish(inner, wrapped[domain].calloc(context, count, size), count * size, domain, caller);
}

static SLOW void *slow_realloc(void *context, void *block, size_t size, unsigned domain,
                               const struct lp_caller *caller) {
    struct lp_live_block withdrawn;
    struct inner inner = ENTER();
    bool was_recorded = !inner.entry.is_nested && block != NULL && lp_withdraw(block, &withdrawn);
    void *moved = wrapped[domain].realloc(context, block, size);
    // These never return NULL but when they fail (PEP 445).
    if (was_recorded && moved == NULL) lp_put_back(block, &withdrawn);
    if (was_recorded && moved != NULL) lp_record_withdrawn_free(&withdrawn);
    return finish(inner, moved, size, domain, caller);
}

static SLOW void slow_free(void *context, void *block, unsigned domain) {
    struct inner inner = ENTER();
    if (block != NULL && !inner.entry.is_nested) lp_record_free(block);
    wrapped[domain].free(context, block);
    leave(inner);
}

// What is not recorded must still keep the inner calls from being counted once more.
static inline __attribute__((always_inline)) void *fast_malloc(void *context, size_t size,
                                                               unsigned domain) {
    struct inner inner = ENTER();
    void *block = wrapped[domain].malloc(context, size);
    leave(inner);
    return block;
}

static inline __attribute__((always_inline)) void *fast_calloc(void *context, size_t count, size_t size,
                                                               unsigned domain) {
    struct inner inner = ENTER();
    void *block = wrapped[domain].calloc(context, count, size);
    leave(inner);
    return block;
}

static inline __attribute__((always_inline)) void *fast_realloc(void *context, void *block, size_t size,
                                                                unsigned domain) {
    struct inner inner = ENTER();
    void *moved = wrapped[domain].realloc(context, block, size);
    leave(inner);
    return moved;
}

// Whether an inner call may be on its way: then nothing is to be taken off the gap, which is 0.
#define WRAPPERS(name, domain)                                                                         \
    static void *name##_malloc(void *context, size_t size) {                                           \
        note_call();                                                                                   \
        if (__builtin_expect(lp_is_not_recorded(size), 1)) return fast_malloc(context, size, domain);  \
        return slow_malloc(context, size, domain, CALLER);                                             \
    }                                                                                                  \
    static void *name##_calloc(void *context, size_t count, size_t size) {                             \
        if (__builtin_expect(lp_is_not_recorded(count * size), 1))                                     \
            return fast_calloc(context, count, size, domain);                                          \
        return slow_calloc(context, count, size, domain, CALLER);                                      \
    }                                                                                                  \
    static void *name##_realloc(void *context, void *block, size_t size) {                             \
        if (__builtin_expect(!lp_filter_may_hold(block) && lp_is_not_recorded(size), 1))               \
            return fast_realloc(context, block, size, domain);                                         \
        return slow_realloc(context, block, size, domain, CALLER);                                     \
    }                                                                                                  \
    static void name##_free(void *context, void *block) {                                              \
        if (__builtin_expect(!lp_filter_may_hold(block), 1)) {                                         \
            wrapped[domain].free(context, block);                                                      \
        } else {                                                                                       \
            slow_free(context, block, domain);                                                         \
        }                                                                                              \
    }

WRAPPERS(raw, DOMAIN_RAW)
WRAPPERS(mem, DOMAIN_MEM)
WRAPPERS(object, DOMAIN_OBJECT)

static const struct lp_python_allocator wrappers[DOMAINS] = {
    {NULL, raw_malloc, raw_calloc, raw_realloc, raw_free},
    {NULL, mem_malloc, mem_calloc, mem_realloc, mem_free},
    {NULL, object_malloc, object_calloc, object_realloc, object_free},
};

bool lp_python_wrap_allocators(const struct lp_python_layout *layout) {
    if (lp_python.get_allocator == NULL || lp_python.set_allocator == NULL) return false;
    lp_live_expect_close_blocks(&lp_process.live, !layout->is_free_threaded);
    for (int domain = 0; domain < DOMAINS; domain++) {
        struct lp_python_allocator now = {NULL, NULL, NULL, NULL, NULL};
        lp_python.get_allocator(domain, &now);
        if (now.malloc == wrappers[domain].malloc || now.malloc == NULL) continue;
        wrapped[domain] = now;
        struct lp_python_allocator wrapper = wrappers[domain];
        wrapper.context = now.context;
        lp_python.set_allocator(domain, &wrapper);
    }
    return true;
}

void lp_python_check_allocators(const struct lp_python_layout *layout) {
    if (lp_python.get_allocator == NULL || lp_python.set_allocator == NULL) return;
    if (__atomic_exchange_n(&was_called, 0, __ATOMIC_RELAXED) != 0) return;
    struct lp_python_allocator now = {NULL, NULL, NULL, NULL, NULL};
    lp_python.get_allocator(DOMAIN_OBJECT, &now);
    if (now.malloc == wrappers[DOMAIN_OBJECT].malloc) return;
    // No name: another tool's wrapper, which has ours behind it. CPython 3.12 takes a lock for that,
    // which it has only between being initialized and being finalized, when there are threads.
    if (layout->minor == 12 && lp_python_thread(layout) == 0) return;
    const char *name = lp_python.allocator_name == NULL ? NULL : lp_python.allocator_name();
    if (name == NULL) return;
    if (strncmp(name, "mimalloc", 8) == 0) lp_live_expect_close_blocks(&lp_process.live, false);
    lp_python_wrap_allocators(layout);
}

void lp_python_settle(bool is_wrapper) {
    const struct lp_python_layout *layout = lp_python_layout();
    uint32_t left = lp_load_relaxed_u32(&lp_python.unsettled);
    if (layout == NULL || left == 0) return;
    if (!is_wrapper) {
        lp_python_check_allocators(layout);
        lp_store_relaxed_u32(&lp_python.unsettled, left - 1);
    } else if (lp_python.is_initialized == NULL || lp_python.is_initialized() != 0) {
        lp_store_relaxed_u32(&lp_python.unsettled, 0);
    }
}
