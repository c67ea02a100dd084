// Unwinding by libgcc's _Unwind_Backtrace, linked statically into the shim: exact, and slow. libgcc
// asks _dl_find_object where the unwind information of each frame lies, and calls abort() when it makes
// no sense; the shim defines both (Interpose/libgcc_support.c) and lands in lp_unwind_give_up().
#include "stack_walk.h"

#include <stdbool.h>
#include <stddef.h>
#include <unwind.h>

#include "raw.h"
#include "region_layout.h"
#include "rule_cache.h"
#include "thread_state.h"
#include "unwind_rule.h"

// x86-64's DWARF numbers (psABI, figure 3.36).
#define REGISTER_RBP 6
#define REGISTER_RSP 7

struct walk {
    uint64_t *frames;
    uintptr_t return_address;
    uint32_t capacity;
    uint32_t count;
    enum lp_unwind_end end;
    int is_outside; // the walk has left the shim's own frames
};

static bool is_readable(uint64_t address) {
    return lp_sys_is_readable((const void *)(address & ~7ULL));
}

// Unwind information names places at most so far from a register.
#define NEAR 256U

static bool is_readable_near(uint64_t address) {
    return is_readable(address - NEAR) && is_readable(address + NEAR);
}

// Whether what libgcc reads next, to get to the caller of the frame that `context` describes, is there:
// it reads without asking, and unwind information may be wrong.
static bool can_go_on(struct _Unwind_Context *context, uint64_t rule) {
    uint64_t offset = (uint64_t)lp_rule_cfa_offset(rule);
    uint64_t rbp = _Unwind_GetGR(context, REGISTER_RBP);
    uint64_t cfa;
    uint32_t number;
    switch (lp_rule_kind(rule)) {
    case LP_RULE_CFA_RSP: cfa = _Unwind_GetCFA(context) + offset; break;
    case LP_RULE_CFA_RBP: cfa = rbp + offset; break;
    case LP_RULE_CFA_AT_RBP:
        if (!is_readable(rbp) || !is_readable(rbp + offset)) return false;
        cfa = *(const uint64_t *)(rbp + offset);
        break;
    case LP_RULE_OTHER:
        // In no common table: nearly all functions have one of these two.
        number =
            lp_rule_register(rule) == LP_RULE_REGISTER_UNKNOWN ? REGISTER_RBP : lp_rule_register(rule);
        return number == REGISTER_RSP || is_readable_near(_Unwind_GetGR(context, (int)number));
    default: return true; // no caller, or a signal frame, which the kernel has written
    }
    return is_readable(cfa - 8) && is_readable(cfa + (uint64_t)lp_rule_rbp_offset(rule));
}

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *argument) {
    struct walk *walk = argument;
    int is_exact = 0;
    uintptr_t address = _Unwind_GetIPInfo(context, &is_exact);
    if (address == 0) {
        walk->end = LP_UNWIND_COMPLETE;
        return _URC_END_OF_STACK;
    }
    if (!walk->is_outside) {
        if (address != walk->return_address) return _URC_NO_REASON;
        walk->is_outside = 1;
    }
    if (address >> LP_ADDRESS_BITS != 0) return _URC_END_OF_STACK;
    if (walk->count == walk->capacity) {
        walk->end = LP_UNWIND_DEPTH;
        return _URC_END_OF_STACK;
    }
    uintptr_t behind_call = address + (is_exact ? 1 : 0);
    walk->frames[walk->count++] = behind_call;
    return can_go_on(context, lp_rule_for(behind_call)) ? _URC_NO_REASON : _URC_END_OF_STACK;
}

// Where lp_unwind() goes on, and the address that the unwinder could do nothing with.
struct lp_escape {
    void *place[5]; // __builtin_setjmp's
    uintptr_t stopped_at;
};

_Noreturn void lp_unwind_give_up(uintptr_t call) {
    struct lp_escape *escape = lp_thread.escape;
    if (escape == NULL) __builtin_trap(); // Not reached: only lp_unwind() runs the code that calls us.
    escape->stopped_at = call;
    __builtin_longjmp(escape->place, 1);
}

enum lp_unwind_end lp_unwind(uintptr_t return_address, uint64_t *frames, uint32_t capacity,
                             uint32_t *count) {
    // Written in a function that may return a second time, so they must live in memory.
    struct walk volatile walk = {
        .frames = frames,
        .return_address = return_address,
        .capacity = capacity,
        .end = LP_UNWIND_NO_CALLER,
    };
    struct lp_escape volatile escape = {.stopped_at = 0};
    struct lp_escape *volatile outer = lp_thread.escape;
    if (__builtin_setjmp((void **)escape.place) == 0) {
        lp_thread.escape = (struct lp_escape *)&escape;
        _Unwind_Backtrace(visit, (void *)&walk);
    } else {
        bool is_address = escape.stopped_at != 0 && escape.stopped_at >> LP_ADDRESS_BITS == 0;
        if (walk.is_outside && is_address) {
            if (walk.count < capacity) {
                frames[walk.count++] = escape.stopped_at + 1;
            } else {
                walk.end = LP_UNWIND_DEPTH;
            }
        }
    }
    lp_thread.escape = outer;
    if (walk.count == 0 && capacity > 0) {
        // The walk did not get out of the shim; where the hook returns to is known all the same.
        frames[0] = return_address;
        walk.count = 1;
    }
    *count = walk.count;
    return walk.end;
}
