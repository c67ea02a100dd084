// Every function the shim interposes, once: LP_HOOK(name, result, (parameters)).
//
// The table makes the pointers to the next allocator, the code that looks them up, and the list that
// the tests hold against exports.map and the allocator-family sample. A new row needs a hook in
// interpose.c, an export, and a line in Samples/allocator-family.c; the tests fail until it has all
// three.
#ifndef LEAKPROF_HOOKS_H
#define LEAKPROF_HOOKS_H

// clang-format off
#define LP_HOOKS(LP_HOOK)                                                                              \
    LP_HOOK(malloc, void *, (size_t size))                                                             \
    LP_HOOK(free, void, (void *block))                                                                 \
    LP_HOOK(calloc, void *, (size_t count, size_t size))                                               \
    LP_HOOK(realloc, void *, (void *block, size_t size))                                               \
    LP_HOOK(reallocarray, void *, (void *block, size_t count, size_t size))                            \
    LP_HOOK(posix_memalign, int, (void **block, size_t alignment, size_t size))                        \
    LP_HOOK(aligned_alloc, void *, (size_t alignment, size_t size))                                    \
    LP_HOOK(memalign, void *, (size_t alignment, size_t size))                                         \
    LP_HOOK(valloc, void *, (size_t size))                                                             \
    LP_HOOK(pvalloc, void *, (size_t size))                                                            \
    LP_HOOK(cfree, void, (void *block))                                                                \
    LP_HOOK(free_sized, void, (void *block, size_t size))                                              \
    LP_HOOK(free_aligned_sized, void, (void *block, size_t alignment, size_t size))                    \
    LP_HOOK(malloc_usable_size, size_t, (void *block))
// clang-format on

#endif
