#include "stack_memory.h"

#include "process.h"
#include "raw.h"

#define PAGE ((uintptr_t)4096)

static bool are_readable(uintptr_t low, uintptr_t high) {
    // To try would be the end of the process. Stacks end where they leave what was known before.
    if (low < high && __atomic_load_n(&lp_process.is_strict, __ATOMIC_RELAXED)) return false;
    for (uintptr_t page = low; page < high; page += PAGE) {
        if (!lp_sys_is_readable((const void *)page)) return false;
    }
    return true;
}

// The main thread's stack is one piece from where it is in use to its end, and the kernel keeps more
// than this below its end free of other mappings: it needs not be tried.
#define MAIN_STACK_BYTES ((uintptr_t)64 << 20)

void lp_stack_enter(struct lp_thread_block *block, uintptr_t sp) {
    uintptr_t page = sp & ~(PAGE - 1);
    uintptr_t end = lp_process.stack_end;
    if (sp < end && end - sp < MAIN_STACK_BYTES) {
        if (block->readable_high != end) block->count = 0;
        block->readable_low = page;
        block->readable_high = end;
        return;
    }
    if (sp < block->readable_low && block->readable_low - page <= LP_STACK_MAX_GAP &&
        are_readable(page + PAGE, block->readable_low)) {
        block->readable_low = page;
        return;
    }
    // Another stack.
    lp_stack_distrust(block, sp);
    block->count = 0;
}

void lp_stack_distrust(struct lp_thread_block *block, uintptr_t address) {
    block->readable_low = address & ~(PAGE - 1);
    block->readable_high = block->readable_low + PAGE;
}

bool lp_stack_extend(struct lp_thread_block *block, uintptr_t address, uintptr_t max_gap) {
    uintptr_t end = (address & ~(PAGE - 1)) + PAGE;
    if ((address & 7) != 0 || address < block->readable_low || address - block->readable_high > max_gap)
        return false;
    if (!are_readable(block->readable_high, end)) return false;
    block->readable_high = end;
    return true;
}
