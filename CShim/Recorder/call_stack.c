#include "call_stack.h"

#include <stdbool.h>

#include "frame_pointer.h"
#include "mixed_stack.h"
#include "modules.h"
#include "process.h"
#include "python.h"
#include "rule_cache.h"
#include "stack_memory.h"
#include "stack_table.h"
#include "stack_walk.h"
#include "unwind_rule.h"

// ---- Walking ----

struct walk {
    struct lp_thread_block *block;
    struct lp_frame_state here;
    uint32_t fresh; // frames found so far
    uint32_t limit;
    uintptr_t max_gap; // lp_stack_read's
    bool is_guessed;   // some caller was found by a frame pointer
    enum lp_stack_end end;
    uintptr_t end_slot;
};

enum step { STEP_CALLER, STEP_GUESSED, STEP_END, STEP_DECLINED };

// Whether the outermost frame is where the kernel entered the process: ld.so's first instructions,
// which run the constructors, have no unwind information; all its functions have.
static bool is_entry(uint32_t module) {
    return module != 0 && lp_process.modules[module].start == lp_process.loader_start;
}

// Moves from the frame `here`, which was noted last and has no unwind information, to what seems to be
// its caller.
__attribute__((noinline)) static enum step step_by_frame_pointer(struct walk *walk) {
    struct lp_frame_state *noted = &walk->block->fresh[walk->fresh - 1];
    walk->end = is_entry(noted->module) ? LP_STACK_COMPLETE : LP_STACK_NO_CALLER;
    if (walk->end == LP_STACK_COMPLETE || walk->fresh == walk->limit) return STEP_END;
    enum lp_guess guess = lp_guess_caller(walk->block, noted, &walk->here);
    if (guess == LP_GUESS_NONE) return STEP_END;
    noted->rbp_slot = guess == LP_GUESS_KNOWN ? LP_RBP_GUESSED : LP_RBP_NOT_REPLAYABLE;
    walk->is_guessed = true;
    walk->max_gap = LP_GUESS_MAX_GAP;
    return STEP_GUESSED;
}

static inline bool read_word(const struct walk *walk, uintptr_t address, uint64_t *word) {
    return lp_stack_read(walk->block, address, walk->max_gap, word);
}

// Notes the frame `here` as the outermost that can be found: where its caller should be, there is
// nothing that can be read, or it does not lie above. Unwind information that says so is wrong, and the
// general unwinder would follow it.
static enum step end_here(struct walk *walk, struct lp_frame_state *noted) {
    walk->here.rbp_slot = LP_RBP_NOT_REPLAYABLE;
    *noted = walk->here;
    walk->end = LP_STACK_ASTRAY;
    return STEP_END;
}

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
        if (!read_word(walk, here->rbp + (uint64_t)lp_rule_cfa_offset(rule), &cfa) ||
            !read_word(walk, here->rbp, &rbp)) {
            return end_here(walk, noted);
        }
        break;
    case LP_RULE_OUTERMOST:
        *noted = *here;
        walk->end = LP_STACK_COMPLETE;
        return STEP_END;
    case LP_RULE_NO_INFORMATION: *noted = *here; return step_by_frame_pointer(walk);
    default: return STEP_DECLINED;
    }
    // Stacks grow down, so a caller's frame lies above.
    uint64_t pc;
    if (cfa <= here->sp || !read_word(walk, cfa - 8, &pc)) return end_here(walk, noted);
    if (rbp_offset != 0 && !read_word(walk, cfa + (uint64_t)rbp_offset, &rbp))
        return end_here(walk, noted);
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
        walk->end = LP_STACK_ASTRAY;
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
        if (frame->rbp_slot <= LP_RBP_GUESSED || sp[frame->rbp_slot] != caller->rbp) break;
    }
    return (uint32_t)(frame - outermost);
}

// Whether the kept stack from frame `from` on, which was followed to its end, can be used with the
// `walk->fresh` frames found below it: whether what ended it would still end it.
static bool can_keep(const struct walk *walk, uint32_t from) {
    struct lp_thread_block *block = walk->block;
    struct lp_frame_state caller;
    if (block->end_slot != 0 && *(const uint64_t *)block->end_slot != 0) return false;
    if (block->end == LP_STACK_ASTRAY) return false;
    if (block->end == LP_STACK_NO_CALLER &&
        lp_guess_caller(block, &block->frames[0], &caller) != LP_GUESS_NONE)
        return false;
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
        case STEP_GUESSED:
            // The kept frames are of a stack that may be gone.
            left = 0;
            break;
        case STEP_END: return true;
        default:
            if (!walk->is_guessed) return false;
            // The general unwinder would not get as far.
            block->fresh[walk->fresh - 1] = *here;
            walk->end = LP_STACK_ASTRAY;
            return true;
        }
    }
}

// ---- Interning ----

// What stands for the frames that a stack lacks at its outer end; 0 when it lacks none.
static uint64_t marker_of(enum lp_stack_end end) {
    switch (end) {
    case LP_STACK_COMPLETE: return 0;
    case LP_STACK_TOO_DEEP: return LP_FRAME_TRUNCATED_DEPTH;
    default: return LP_FRAME_TRUNCATED_UNWIND;
    }
}

static void count_end(uint64_t marker, bool is_guessed) {
    if (__builtin_expect(marker == 0 && !is_guessed, 1)) return;
    if (marker == LP_FRAME_TRUNCATED_DEPTH) lp_count(LP_STAT_TRUNCATED_DEPTH, 1);
    if (marker == LP_FRAME_TRUNCATED_UNWIND || is_guessed) lp_count(LP_STAT_TRUNCATED_UNWIND, 1);
}

static uint32_t node_of(uint32_t parent, const struct lp_frame_state *frame) {
    if (__builtin_expect(frame->rbp_slot == LP_RBP_GUESSED, 0)) {
        parent = lp_stack_child(parent, LP_FRAME_GUESSED);
        if (parent == 0) return 0;
    }
    return lp_stack_child(parent, lp_frame(frame->pc, frame->module));
}

// Puts the fresh frames below the kept ones.
static void keep(struct walk *walk, uint32_t kept) {
    struct lp_thread_block *block = walk->block;
    if (kept == 0) {
        block->end = walk->end;
        block->end_slot = walk->end_slot;
    }
    block->count = kept;
    while (walk->fresh > 0) block->frames[block->count++] = block->fresh[--walk->fresh];
}

// Interns the kept stack, of which the first `kept` frames have nodes. 0 when the stack table is full:
// then the frames are kept with no nodes, so that at least the same stack is not walked again.
static uint32_t intern(struct lp_thread_block *block, uint32_t kept) {
    uint32_t node = kept > 0 ? block->frames[kept - 1].node : 0;
    uint64_t marker = marker_of(block->end);
    bool is_lost = kept > 0 && node == 0;
    if (kept == 0 && marker != 0) {
        node = lp_stack_child(0, marker);
        is_lost = node == 0;
    }
    for (uint32_t i = kept; i < block->count; i++) {
        struct lp_frame_state *frame = &block->frames[i];
        node = is_lost ? 0 : node_of(node, frame);
        is_lost |= node == 0;
        frame->node = node;
    }
    if (is_lost) lp_count(LP_STAT_STACKS_LOST, 1);
    return node;
}

// Interns the stack that the general unwinder found, with this thread's Python frames. Afterwards
// nothing is kept: it does not say how it got from frame to frame.
static uint32_t intern_whole(const struct lp_python_layout *python, struct lp_thread_block *block,
                             const uint64_t *frames, uint32_t count, uint64_t marker) {
    for (uint32_t i = 0; i < count; i++) {
        uint64_t frame = frames[count - 1 - i];
        block->frames[i] = (struct lp_frame_state){
            .pc = frame & LP_ADDRESS_MASK,
            .module = (uint16_t)(frame >> LP_ADDRESS_BITS),
            .rbp_slot = LP_RBP_NOT_REPLAYABLE,
        };
    }
    block->count = count;
    uint32_t node = lp_mixed_intern(python, block, 0, &marker);
    count_end(marker, false);
    block->count = 0;
    return node;
}

// The same by the general unwinder, without memory of earlier stacks.
static uint32_t unwind_whole(struct lp_thread_block *block, const struct lp_caller *caller) {
    uint64_t frames[LP_MAX_DEPTH + 1];
    uint32_t count = 0;
    enum lp_unwind_end unwound =
        lp_unwind(caller->return_address, frames, lp_process.max_depth, &count);
    struct lp_module_range range = {0, 0, 0};
    for (uint32_t i = 0; i < count; i++) {
        // The byte before the address belongs to the call; the address may be the next module's first.
        frames[i] = lp_frame(frames[i], lp_module_index((uintptr_t)frames[i] - 1, &range));
    }
    enum lp_stack_end end = unwound == LP_UNWIND_COMPLETE ? LP_STACK_COMPLETE
                            : unwound == LP_UNWIND_DEPTH  ? LP_STACK_TOO_DEEP
                                                          : LP_STACK_NO_CALLER;
    uint32_t outermost = count > 0 ? (uint32_t)(frames[count - 1] >> LP_ADDRESS_BITS) : 0;
    if (end == LP_STACK_NO_CALLER && is_entry(outermost)) end = LP_STACK_COMPLETE;
    uint64_t marker = marker_of(end);
    const struct lp_python_layout *python = lp_python_layout();
    if (python != NULL && block != NULL) return intern_whole(python, block, frames, count, marker);
    count_end(marker, false);
    if (marker != 0) frames[count++] = marker;
    return lp_stack_intern(frames, count);
}

uint32_t lp_call_stack(struct lp_thread_block *block, const struct lp_caller *caller) {
    if (block == NULL) return unwind_whole(NULL, caller);
    const struct lp_python_layout *python = lp_python_layout();
    if (python != NULL && lp_python.is_only) {
        uint32_t node;
        block->count = 0;
        if (lp_python_intern(python, block, &node)) return node;
    }
    uint32_t generation = lp_rules_generation();
    if (block->generation != generation) {
        block->generation = generation;
        block->count = 0;
    }
    if (caller->sp < block->readable_low || caller->sp >= block->readable_high)
        lp_stack_enter(block, caller->sp);

    struct walk walk = {
        .block = block,
        .here = {.sp = caller->sp, .pc = caller->return_address, .rbp = caller->rbp},
        .limit = lp_process.max_depth,
        .max_gap = LP_STACK_MAX_GAP,
    };
    uint32_t kept;
    if (!find_frames(&walk, &kept)) {
        block->count = 0;
        return unwind_whole(block, caller);
    }
    if (walk.fresh == 0) {
        // The stack of the last time, or the outer part of it.
        block->count = kept;
    } else {
        keep(&walk, kept);
    }
    uint64_t marker = marker_of(block->end);
    if (python != NULL) {
        uint32_t node = lp_mixed_intern(python, block, kept, &marker);
        count_end(marker, walk.is_guessed);
        return node;
    }
    count_end(marker, walk.is_guessed);
    if (block->count > kept) return intern(block, kept);
    uint32_t node = block->frames[kept - 1].node;
    if (__builtin_expect(node == 0, 0)) lp_count(LP_STAT_STACKS_LOST, 1);
    return node;
}
