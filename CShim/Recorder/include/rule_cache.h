// Unwind rules by return address, worked out once.
#ifndef LEAKPROF_RULE_CACHE_H
#define LEAKPROF_RULE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "process.h"

// Prepares the cache for this process; false when it can't be kept out of forked children. Once per
// recording, before any other function here.
bool lp_rules_begin(void);

// Returns the rule (unwind_rule.h) of the frame that `return_address` returns to. Never LP_RULE_NONE.
// Any thread, also in signal handlers; takes no lock.
uint64_t lp_rule_for(uintptr_t return_address);

// Changes when a module is unloaded, and when one is seen that was not known: what was derived from
// rules of an earlier value may be wrong.
static inline uint32_t lp_rules_generation(void) {
    return lp_load_acquire_u32(&lp_process.rules_generation);
}

// Its lower half counts the unloads under way, its upper half those that are over.
#define LP_RULES_UNDER_WAY 0xffffU

static inline bool lp_rules_is_unloading(void) {
    return (lp_rules_generation() & LP_RULES_UNDER_WAY) != 0;
}

// Around every call that may unload modules, by the thread that makes it. All rules are forgotten:
// which of them are concerned can't be known without the loader's lock.
void lp_rules_begin_unload(void);
void lp_rules_end_unload(void);

#endif
