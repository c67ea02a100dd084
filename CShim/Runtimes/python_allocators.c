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
static size_t
    small_bytes; // pymalloc's own are blocks of at most so many bytes, 0: it is not in use; atomic

#define PYMALLOC_BYTES 512U // SMALL_REQUEST_THRESHOLD in Objects/obmalloc.c

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

static inline __attribute__((always_inline)) void *
slow_malloc(void *context, size_t size, unsigned domain, const struct lp_caller *caller) {
    struct inner inner = ENTER();
    return finish(inner, wrapped[domain].malloc(context, size), size, domain, caller);
}

static inline __attribute__((always_inline)) void *
slow_calloc(void *context, size_t count, size_t size, unsigned domain, const struct lp_caller *caller) {
    struct inner inner = ENTER();
    // The product fits: CPython looks before it calls.
    return finish(inner, wrapped[domain].calloc(context, count, size), count * size, domain, caller);
}

static inline __attribute__((always_inline)) void *
slow_realloc(void *context, void *block, size_t size, unsigned domain, const struct lp_caller *caller) {
    struct lp_live_block withdrawn;
    struct inner inner = ENTER();
    bool was_recorded = !inner.entry.is_nested && block != NULL && lp_withdraw(block, &withdrawn);
    void *moved = wrapped[domain].realloc(context, block, size);
    // These never return NULL but when they fail (PEP 445).
    if (was_recorded && moved == NULL) lp_put_back(block, &withdrawn);
    if (was_recorded && moved != NULL) lp_record_withdrawn_free(&withdrawn);
    return finish(inner, moved, size, domain, caller);
}

static inline __attribute__((always_inline)) void slow_free(void *context, void *block,
                                                            unsigned domain) {
    struct inner inner = ENTER();
    if (block != NULL && !inner.entry.is_nested) lp_record_free(block);
    wrapped[domain].free(context, block);
    leave(inner);
}

// What is not recorded must still keep the inner calls from being counted once more. It is not a nested
// call: there would be no room.
struct unrecorded {
    uint64_t room;
};

static inline __attribute__((always_inline)) struct unrecorded begin_unrecorded(uintptr_t frame) {
    struct unrecorded call = {lp_thread.room};
    lp_thread.inside_next = frame;
    lp_thread.is_inside_python = 1;
    lp_thread.room = 0;
    return call;
}

static inline __attribute__((always_inline)) void end_unrecorded(struct unrecorded call) {
    lp_thread.room = call.room;
    lp_thread.inside_next = 0;
    lp_thread.is_inside_python = 0;
}

#define BEGIN_UNRECORDED() begin_unrecorded((uintptr_t)__builtin_frame_address(0))

// Of the two domains that pymalloc serves. It has its memory from mmap, so there is no inner call.
static inline bool is_small(size_t size, unsigned domain) {
    return domain != DOMAIN_RAW && size <= __atomic_load_n(&small_bytes, __ATOMIC_RELAXED);
}

// As in interpose.c, the functions that are called begin with what it takes to see that there is
// nothing to do, and jump on.
#define WRAPPERS(name, domain)                                                                         \
    static SLOW void *name##_slow_malloc(void *context, size_t size) {                                 \
        return slow_malloc(context, size, domain, CALLER);                                             \
    }                                                                                                  \
    static SLOW void *name##_slow_calloc(void *context, size_t count, size_t size) {                   \
        return slow_calloc(context, count, size, domain, CALLER);                                      \
    }                                                                                                  \
    static SLOW void *name##_slow_realloc(void *context, void *block, size_t size) {                   \
        return slow_realloc(context, block, size, domain, CALLER);                                     \
    }                                                                                                  \
    static SLOW void name##_slow_free(void *context, void *block) {                                    \
        slow_free(context, block, domain);                                                             \
    }                                                                                                  \
    static SLOW void *name##_unrecorded_malloc(void *context, size_t size) {                           \
        struct unrecorded call = BEGIN_UNRECORDED();                                                   \
        void *block = wrapped[domain].malloc(context, size);                                           \
        end_unrecorded(call);                                                                          \
        return block;                                                                                  \
    }                                                                                                  \
    static SLOW void *name##_unrecorded_calloc(void *context, size_t count, size_t size) {             \
        struct unrecorded call = BEGIN_UNRECORDED();                                                   \
        void *block = wrapped[domain].calloc(context, count, size);                                    \
        end_unrecorded(call);                                                                          \
        return block;                                                                                  \
    }                                                                                                  \
    static SLOW void *name##_unrecorded_realloc(void *context, void *block, size_t size) {             \
        struct unrecorded call = BEGIN_UNRECORDED();                                                   \
        void *moved = wrapped[domain].realloc(context, block, size);                                   \
        end_unrecorded(call);                                                                          \
        return moved;                                                                                  \
    }                                                                                                  \
    static void *name##_malloc(void *context, size_t size) {                                           \
        note_call();                                                                                   \
        if (__builtin_expect(!lp_is_not_recorded(size), 0)) return name##_slow_malloc(context, size);  \
        if (is_small(size, domain)) return wrapped[domain].malloc(context, size);                      \
        return name##_unrecorded_malloc(context, size);                                                \
    }                                                                                                  \
    static void *name##_calloc(void *context, size_t count, size_t size) {                             \
        if (__builtin_expect(!lp_is_not_recorded(count * size), 0))                                    \
            return name##_slow_calloc(context, count, size);                                           \
        if (is_small(count * size, domain)) return wrapped[domain].calloc(context, count, size);       \
        return name##_unrecorded_calloc(context, count, size);                                         \
    }                                                                                                  \
    static void *name##_realloc(void *context, void *block, size_t size) {                             \
        if (__builtin_expect(lp_filter_may_hold(block) || !lp_is_not_recorded(size), 0))               \
            return name##_slow_realloc(context, block, size);                                          \
        return name##_unrecorded_realloc(context, block, size);                                        \
    }                                                                                                  \
    static void name##_free(void *context, void *block) {                                              \
        if (__builtin_expect(!lp_filter_may_hold(block), 1)) {                                         \
            wrapped[domain].free(context, block);                                                      \
        } else {                                                                                       \
            name##_slow_free(context, block);                                                          \
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

// pymalloc serves two domains by the same function, and nothing of CPython's that does has no context.
static bool is_pymalloc_wrapped(void) {
    const struct lp_python_allocator *mem = &wrapped[DOMAIN_MEM], *object = &wrapped[DOMAIN_OBJECT];
    return mem->malloc == object->malloc && mem->malloc != wrapped[DOMAIN_RAW].malloc &&
           mem->context == NULL && object->context == NULL;
}

bool lp_python_wrap_allocators(const struct lp_python_layout *layout) {
    if (lp_python.get_allocator == NULL || lp_python.set_allocator == NULL) return false;
    lp_live_expect_close_blocks(&lp_process.live, !layout->is_free_threaded);
    __atomic_store_n(&small_bytes, 0, __ATOMIC_RELAXED);
    for (int domain = 0; domain < DOMAINS; domain++) {
        struct lp_python_allocator now = {NULL, NULL, NULL, NULL, NULL};
        lp_python.get_allocator(domain, &now);
        if (now.malloc == wrappers[domain].malloc || now.malloc == NULL) continue;
        wrapped[domain] = now;
        struct lp_python_allocator wrapper = wrappers[domain];
        wrapper.context = now.context;
        lp_python.set_allocator(domain, &wrapper);
    }
    __atomic_store_n(&small_bytes, is_pymalloc_wrapped() ? PYMALLOC_BYTES : 0, __ATOMIC_RELAXED);
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
