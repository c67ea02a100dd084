// How to get from one frame of a call stack to its caller, in one word: what the unwind information of
// x86-64 code says at nearly every address that is ever on a stack.
//
//   bits 0-2    kind (LP_RULE_*)
//   bits 3-15   where the caller's rbp is saved, in 8 bytes from the CFA; 0: rbp is still the caller's
//   bits 16-31  index of the module the address lies in, 0: none
//   bits 32-63  the CFA's offset in bytes from the register or the word that the kind names; signed
//
// The CFA (canonical frame address, DWARF 5 section 6.4.1) is the stack pointer of the caller right
// after the call returned; the return address lies 8 bytes below it.
#ifndef LEAKPROF_UNWIND_RULE_H
#define LEAKPROF_UNWIND_RULE_H

#include <stdint.h>

enum {
    LP_RULE_NONE = 0,       // no rule is known; never a valid rule
    LP_RULE_CFA_RSP,        // CFA = rsp + offset
    LP_RULE_CFA_RBP,        // CFA = rbp + offset
    LP_RULE_CFA_AT_RBP,     // CFA = the word at rbp + offset; the caller's rbp is the word at rbp
    LP_RULE_OUTERMOST,      // a thread's first function: it has no caller
    LP_RULE_OTHER,          // something this word can't say: ask the general unwinder
    LP_RULE_NO_INFORMATION, // there is no unwind information for the address
    LP_RULE_SIGNAL_FRAME    // the kernel's; ask the general unwinder
};

// What stands in place of the CFA's offset in LP_RULE_OTHER: the DWARF number of the register that the
// CFA is worked out from, or this, where that is not known.
#define LP_RULE_REGISTER_UNKNOWN 0xff

#define LP_RULE_MODULE_SHIFT 16

static inline unsigned lp_rule_kind(uint64_t rule) {
    return (unsigned)(rule & 7);
}
static inline uint32_t lp_rule_module(uint64_t rule) {
    return (uint32_t)(rule >> LP_RULE_MODULE_SHIFT) & 0xffff;
}
// Bytes from the CFA to the caller's rbp, 0 when it was not saved.
static inline int64_t lp_rule_rbp_offset(uint64_t rule) {
    // Bit 15 is the sign: brought to the top and back down, 8 times as large.
    return ((int64_t)(rule << 48) >> 51) * 8;
}
static inline int64_t lp_rule_cfa_offset(uint64_t rule) {
    return (int64_t)rule >> 32;
}
static inline uint32_t lp_rule_register(uint64_t rule) {
    return (uint32_t)(rule >> 32);
}
static inline uint64_t lp_rule_other(uint64_t number) {
    return (number < LP_RULE_REGISTER_UNKNOWN ? number : LP_RULE_REGISTER_UNKNOWN) << 32 |
           LP_RULE_OTHER;
}

// The rule of these parts, or LP_RULE_NONE when they don't fit.
static inline uint64_t lp_rule_make(unsigned kind, int64_t cfa_offset, int64_t rbp_offset) {
    if (cfa_offset != (int32_t)cfa_offset || rbp_offset % 8 != 0 || rbp_offset < -32768 ||
        rbp_offset > 32760) {
        return LP_RULE_NONE;
    }
    return (uint64_t)(uint32_t)cfa_offset << 32 | ((uint64_t)(rbp_offset / 8) & 0x1fff) << 3 | kind;
}

#endif
