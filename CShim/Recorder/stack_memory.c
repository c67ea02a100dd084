#include "stack_memory.h"

#include "raw.h"

#define PAGE ((uintptr_t)4096)

static bool are_readable(uintptr_t low, uintptr_t high) {
    for (uintptr_t page = low; page < high; page += PAGE) {
        if (!lp_sys_is_readable((const void *)page)) return false;
    }
    return true;
}

void lp_stack_enter(struct lp_thread_block *block, uintptr_t sp) {
    uintptr_t page = sp & ~(PAGE - 1);
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
