#include "frame_pointer.h"

#include "raw.h"
#include "rule_cache.h"
#include "stack_memory.h"
#include "unwind_rule.h"

// Whether the instruction before `address` is a call, as far as its bytes can tell: what a pointer to a
// function is not.
static bool follows_call(uintptr_t address) {
    const uint8_t *code = (const uint8_t *)address;
    if (!lp_sys_is_readable(code - 8)) return false;
    if (code[-5] == 0xe8) return true; // call, relative
    for (int bytes = 2; bytes <= 7; bytes++) {
        if (code[-bytes] == 0xff && (code[1 - bytes] & 0x38) == 0x10) return true; // call, indirect
    }
    return false;
}

static bool is_frame_pointer(uintptr_t address, uintptr_t above) {
    return address % 8 == 0 && address >= above && address - above <= LP_GUESS_MAX_FRAME;
}

// Whether the word may be a return address of a frame above `sp`; sets `*rule` to what is known of the
// code. Interpreters push addresses of code of their own that no call precedes.
static bool is_return_address(uint64_t word, uintptr_t sp, uint64_t *rule) {
    bool is_on_stack = word >= sp && word - sp <= LP_GUESS_MAX_FRAME;
    if (word < 4096 || word >> LP_ADDRESS_BITS != 0 || is_on_stack) return false;
    *rule = lp_rule_for(word);
    return lp_rule_module(*rule) != 0 ? follows_call(word) : lp_sys_is_readable((const void *)word);
}

enum lp_guess lp_guess_caller(struct lp_thread_block *block, const struct lp_frame_state *frame,
                              struct lp_frame_state *caller) {
    uintptr_t rbp = frame->rbp;
    // What a word is taken for may be unloaded now; a frame that is there can't be.
    if (!is_frame_pointer(rbp, frame->sp) || lp_rules_is_unloading()) return LP_GUESS_NONE;
    lp_stack_distrust(block, frame->sp - 8);
    uint64_t saved, pc, rule;
    if (!lp_stack_read(block, rbp, LP_GUESS_MAX_GAP, &saved) ||
        !lp_stack_read(block, rbp + 8, LP_GUESS_MAX_GAP, &pc) ||
        !is_return_address(pc, frame->sp, &rule))
        return LP_GUESS_NONE;
    *caller = (struct lp_frame_state){.sp = rbp + 16, .pc = pc, .rbp = saved};
    if (lp_rule_kind(rule) != LP_RULE_NO_INFORMATION) return LP_GUESS_KNOWN;
    // Little speaks for this code: it must have a frame of its own.
    return is_frame_pointer(saved, rbp + 16) ? LP_GUESS_CALLER : LP_GUESS_NONE;
}
