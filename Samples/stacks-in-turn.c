// Runs functions on stacks of their own, as coroutines do. The stacks are of several sizes and are
// mapped one after the other at the same address, so that what was a stack a moment ago may be gone.
// Nothing is allocated between two of them.
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#define PAGES 16
#define PAGE 4096

static ucontext_t outside;
static volatile int depth;

// Frames of one size, at the same places on each stack, as far as there is room.
__attribute__((noinline, aligned(64))) static void descend(int left) {
    char *volatile room = __builtin_alloca(4096 - 64);
    (void)room;
    void *volatile block = malloc(100);
    free(block);
    if (left > 0) descend(left - 1);
    block = malloc(100);
    free(block);
}

static void run(void) {
    descend(depth);
}

int main(void) {
    char *all = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return 1;
    for (int round = 0; round < 2000; round++) {
        // The first pages, and most often fewer than the last time.
        int pages = 4 + (PAGES - 4) * (round % 7 == 0) + round % 5;
        if (pages > PAGES) pages = PAGES;
        size_t bytes = (size_t)pages * PAGE;
        if (mmap(all, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
            all)
            return 1;
        ucontext_t inside;
        if (getcontext(&inside) != 0) return 1;
        inside.uc_stack.ss_sp = all;
        inside.uc_stack.ss_size = bytes;
        inside.uc_link = &outside;
        depth = pages - 4;
        makecontext(&inside, run, 0);
        if (swapcontext(&outside, &inside) != 0) return 1;
        if (mmap(all, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != all)
            return 1;
    }
    return 0;
}
