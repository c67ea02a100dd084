#include "call_stack.h"

#include <stdbool.h>

#include "modules.h"
#include "process.h"
#include "raw.h"
#include "rule_cache.h"
#include "stack_table.h"
#include "stack_walk.h"
#include "unwind_rule.h"

#define PAGE ((uintptr_t)4096)

// ---- Reading the stack ----
//
// Unwind information that is wrong must not make us read what can't be read. Pages are tried once, by a
// system call that fails instead of faulting, and remembered; a stack does not go away under the thread
// that runs on it.

// The furthest a stack is followed over pages not tried yet. A frame may be as large as that.
#define MAX_GAP ((uintptr_t)16 << 20)

static bool are_readable(uintptr_t low, uintptr_t high) {
    for (uintptr_t page = low; page < high; page += PAGE) {
        if (!lp_sys_is_readable((const void *)page)) return false;
    }
    return true;
}

// Makes the range contain `sp`, which is on a page in use.
static void enter_stack(struct lp_thread_block *block, uintptr_t sp) {
    uintptr_t page = sp & ~(PAGE - 1);
    if (sp < block->readable_low && block->readable_low - page <= MAX_GAP &&
        are_readable(page + PAGE, block->readable_low)) {
        block->readable_low = page;
        return;
    }
    // Another stack.
    block->readable_low = page;
    block->readable_high = page + PAGE;
    block->count = 0;
}

static bool extend(struct lp_thread_block *block, uintptr_t address) {
    uintptr_t end = (address & ~(PAGE - 1)) + PAGE;
    if ((address & 7) != 0 || address < block->readable_low || address - block->readable_high > MAX_GAP)
        return false;
    if (!are_readable(block->readable_high, end)) return false;
    block->readable_high = end;
    return true;
}

// Reads a word of the stack; false when that can't be.
static inline bool read_word(struct lp_thread_block *block, uintptr_t address, uint64_t *word) {
    bool is_known =
        address >= block->readable_low && address < block->readable_high && address % 8 == 0;
    if (__builtin_expect(!is_known, 0) && !extend(block, address)) return false;
    *word = *(const uint64_t *)address;
    return true;
}

// ---- Walking ----

struct walk {
    struct lp_thread_block *block;
    struct lp_frame_state here;
    uint32_t fresh; // frames found so far
    uint32_t limit;
    enum lp_stack_end end;
    uintptr_t end_slot;
};

enum step { STEP_CALLER, STEP_END, STEP_DECLINED };

// Notes the frame `here` and moves to its caller.
static inline enum step step(struct walk *walk) {
    struct lp_frame_state *here = &walk->here;
    uint64_t rule = lp_rule_for(here->pc);
    here->module = (uint16_t)lp_rule_module(rule);
    here->rbp_slot = LP_RBP_NOT_REPLAYABLE;
    struct lp_frame_state *noted = &walk->block->fresh[walk->fresh++];

    uint64_t cfa;
    uint64_t rbp = here->rbp;
    int64_t rbp_offset = lp_rule_rbp_offset(rule);
    switch (lp_rule_kind(rule)) {
    case LP_RULE_CFA_RSP: cfa = here->sp + (uint64_t)lp_rule_cfa_offset(rule); break;
    case LP_RULE_CFA_RBP: cfa = here->rbp + (uint64_t)lp_rule_cfa_offset(rule); break;
    case LP_RULE_CFA_AT_RBP:
        if (!read_word(walk->block, here->rbp + (uint64_t)lp_rule_cfa_offset(rule), &cfa) ||
            !read_word(walk->block, here->rbp, &rbp)) {
            return STEP_DECLINED;
        }
        break;
    case LP_RULE_OUTERMOST:
        *noted = *here;
        walk->end = LP_STACK_COMPLETE;
        return STEP_END;
    case LP_RULE_NO_INFORMATION:
        *noted = *here;
        walk->end = LP_STACK_NO_CALLER;
        return STEP_END;
    default: return STEP_DECLINED;
    }
    // Stacks grow down, so a caller's frame lies above.
    uint64_t pc;
    if (cfa <= here->sp || !read_word(walk->block, cfa - 8, &pc)) return STEP_DECLINED;
    if (rbp_offset != 0 && !read_word(walk->block, cfa + (uint64_t)rbp_offset, &rbp))
        return STEP_DECLINED;
    if (lp_rule_kind(rule) != LP_RULE_CFA_AT_RBP) here->rbp_slot = (int16_t)(rbp_offset / 8);
    *noted = *here;
    here->sp = cfa;
    here->pc = pc;
    here->rbp = rbp;
    if (pc == 0) {
        walk->end = LP_STACK_COMPLETE;
        walk->end_slot = cfa - 8;
        return STEP_END;
    }
    if (pc >> LP_ADDRESS_BITS != 0) {
        walk->end = LP_STACK_NO_CALLER;
        return STEP_END;
    }
    return STEP_CALLER;
}

// ---- Replaying ----

// How far out the kept frames are still what a walk from frame `from` would find: as far as the words
// that led from each frame to its caller would lead there again. All that is read here was read when
// the frames were kept, and lies on this same stack.
//
// A function of its own, because its few registers are all that most allocations need here.
__attribute__((noinline)) static uint32_t follow(const struct lp_frame_state *outermost,
                                                 uint32_t from) {
    const struct lp_frame_state *frame = outermost + from;
    for (; frame != outermost; frame--) {
        const struct lp_frame_state *caller = frame - 1;
        const uint64_t *sp = (const uint64_t *)caller->sp;
        if (sp[-1] != caller->pc) break;
        if (frame->rbp_slot == LP_RBP_UNCHANGED) continue;
        if (frame->rbp_slot == LP_RBP_NOT_REPLAYABLE || sp[frame->rbp_slot] != caller->rbp) break;
    }
    return (uint32_t)(frame - outermost);
}

// Whether the kept stack from frame `from` on, which was followed to its end, can be used with the
// `walk->fresh` frames found below it.
static bool can_keep(const struct walk *walk, uint32_t from) {
    const struct lp_thread_block *block = walk->block;
    if (block->end_slot != 0 && *(const uint64_t *)block->end_slot != 0) return false;
    uint32_t total = walk->fresh + from + 1;
    return block->end == LP_STACK_TOO_DEEP ? total == walk->limit : total <= walk->limit;
}

static inline bool is_same_state(const struct lp_frame_state *a, const struct lp_frame_state *b) {
    return a->sp == b->sp && a->pc == b->pc && a->rbp == b->rbp;
}

// Walks until kept frames can be used or the stack ends. `*kept` is the number of kept frames that hold
// still; the frames below them are in `block->fresh`. False when a frame is beyond the rules.
static bool find_frames(struct walk *walk, uint32_t *kept) {
    struct lp_thread_block *block = walk->block;
    struct lp_frame_state *here = &walk->here;
    uint32_t left = block->count; // kept frames that are not below `here`
    *kept = 0;
    for (;;) {
        while (left > 0 && block->frames[left - 1].sp < here->sp) left--;
        if (left > 0 && is_same_state(&block->frames[left - 1], here)) {
            uint32_t last = follow(block->frames, left - 1);
            if (last == 0 && can_keep(walk, left - 1)) {
                *kept = left;
                return true;
            }
            // The frames before the change are as they were; the walk goes on from there.
            while (left - 1 > last && walk->fresh < walk->limit)
                block->fresh[walk->fresh++] = block->frames[--left];
            *here = block->frames[--left];
        }
        if (walk->fresh == walk->limit) {
            walk->end = LP_STACK_TOO_DEEP;
            return true;
        }
        switch (step(walk)) {
        case STEP_CALLER: break;
        case STEP_END: return true;
        default: return false;
        }
    }
}

// ---- Interning ----

// Whether the outermost frame is where the kernel entered the process: ld.so's first instructions,
// which run the constructors, have no unwind information; all its functions have.
static bool is_entry(uint32_t module) {
    return module != 0 && lp_process.modules[module].start == lp_process.loader_start;
}

// What stands for the frames that a stack lacks at its outer end; 0 when it lacks none.
static uint64_t marker_of(enum lp_stack_end end, uint32_t outermost_module) {
    if (end == LP_STACK_TOO_DEEP) return LP_FRAME_TRUNCATED_DEPTH;
    if (end == LP_STACK_NO_CALLER && !is_entry(outermost_module)) return LP_FRAME_TRUNCATED_UNWIND;
    return 0;
}

static void count_end(uint64_t marker) {
    if (__builtin_expect(marker == 0, 1)) return;
    lp_count(marker == LP_FRAME_TRUNCATED_DEPTH ? LP_STAT_TRUNCATED_DEPTH : LP_STAT_TRUNCATED_UNWIND,
             1);
}

// Puts the fresh frames below the kept ones and interns them. 0 when the stack table is full.
static uint32_t keep(struct walk *walk, uint32_t kept) {
    struct lp_thread_block *block = walk->block;
    uint32_t node = 0;
    if (kept > 0) {
        node = block->frames[kept - 1].node;
    } else {
        block->end = walk->end;
        block->end_slot = walk->end_slot;
    }
    uint32_t outermost = kept > 0          ? block->frames[0].module
                         : walk->fresh > 0 ? block->fresh[walk->fresh - 1].module
                                           : 0;
    uint64_t marker = marker_of(block->end, outermost);
    count_end(marker);
    if (kept == 0 && marker != 0) node = lp_stack_child(0, marker);
    if (kept == 0 && marker != 0 && node == 0) walk->fresh = 0;
    block->count = kept;
    while (walk->fresh > 0) {
        struct lp_frame_state *frame = &block->frames[block->count++];
        *frame = block->fresh[--walk->fresh];
        node = lp_stack_child(node, lp_frame(frame->pc, frame->module));
        frame->node = node;
        if (node == 0) break;
    }
    if (node == 0) {
        lp_count(LP_STAT_STACKS_LOST, 1);
        block->count = 0;
    }
    return node;
}

// The same by the general unwinder, without memory of earlier stacks.
static uint32_t unwind_whole(const struct lp_caller *caller) {
    uint64_t frames[LP_MAX_DEPTH + 1];
    struct lp_stack stack = lp_unwind(caller->return_address, frames, lp_process.max_depth);
    struct lp_module_range range = {0, 0, 0};
    for (uint32_t i = 0; i < stack.count; i++) {
        // The byte before the address belongs to the call; the address may be the next module's first.
        frames[i] = lp_frame(frames[i], lp_module_index((uintptr_t)frames[i] - 1, &range));
    }
    enum lp_stack_end end = stack.end == LP_UNWIND_COMPLETE ? LP_STACK_COMPLETE
                            : stack.end == LP_UNWIND_DEPTH  ? LP_STACK_TOO_DEEP
                                                            : LP_STACK_NO_CALLER;
    uint64_t marker = marker_of(end, range.index);
    count_end(marker);
    if (marker != 0) frames[stack.count++] = marker;
    return lp_stack_intern(frames, stack.count);
}

uint32_t lp_call_stack(struct lp_thread_block *block, const struct lp_caller *caller) {
    if (block == NULL) return unwind_whole(caller);
    uint32_t generation = lp_rules_generation();
    if (block->generation != generation) {
        block->generation = generation;
        block->count = 0;
    }
    if (caller->sp < block->readable_low || caller->sp >= block->readable_high)
        enter_stack(block, caller->sp);

    struct walk walk = {
        .block = block,
        .here = {.sp = caller->sp, .pc = caller->return_address, .rbp = caller->rbp},
        .limit = lp_process.max_depth,
        .end_slot = 0,
    };
    uint32_t kept;
    if (!find_frames(&walk, &kept)) {
        block->count = 0;
        return unwind_whole(caller);
    }
    if (walk.fresh == 0) {
        // The stack of the last time, or the outer part of it.
        block->count = kept;
        count_end(marker_of(block->end, block->frames[0].module));
        return block->frames[kept - 1].node;
    }
    return keep(&walk, kept);
}
