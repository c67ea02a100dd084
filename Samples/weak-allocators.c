// Asks whether functions of other allocators are there, as programs do that use one when they have it.
// They are not, and must not be because of the shim.
#include <stdio.h>
#include <stdlib.h>

// clang-format off
#define EACH(WHAT) \
    WHAT(mallocx) WHAT(rallocx) WHAT(xallocx) \
    WHAT(sallocx) WHAT(dallocx) WHAT(sdallocx) \
    WHAT(mallctl) WHAT(malloc_stats_print) WHAT(je_malloc) \
    WHAT(mi_malloc) WHAT(mi_free) WHAT(tc_malloc) \
    WHAT(MallocExtension_ReleaseFreeMemory) WHAT(GC_malloc) WHAT(scalable_malloc) \
    WHAT(__asan_init) WHAT(unw_backtrace) WHAT(_Unwind_Backtrace) \
    WHAT(lp_call_stack) WHAT(lp_process_pages) WHAT(dlopen_hook)
// clang-format on

#define DECLARE(name) extern void name(void) __attribute__((weak));
EACH(DECLARE)

int main(void) {
    int there = 0;
#define ASK(name)                                                                                      \
    if (name != NULL) {                                                                                \
        puts(#name);                                                                                   \
        there++;                                                                                       \
    }
    EACH(ASK)
    void *volatile block = malloc(100);
    free(block);
    printf("%d there\n", there);
    return 0;
}
