#include "rule_cache.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "cfi.h"
#include "modules.h"
#include "process.h"
#include "raw.h"
#include "unwind_rule.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

// A direct-mapped table that threads read and write without a lock. A rule is written as itself and as
// a check word that mixes it with its key; two writers that meet in a slot leave words that don't
// match, which reads as a miss (Hyatt's lockless transposition table).
//
// The key holds the generation of the loaded modules, so an unloading makes every slot miss at once;
// while one is under way, the table is not used.
#define SLOTS 65536U

struct slot {
    uint64_t check; // atomic
    uint64_t rule;  // atomic
};

// Pages of its own: a forked child records modules of its own, and starts with an empty table. Zeros
// match no key, and untouched pages cost nothing.
static struct slot slots[SLOTS] __attribute__((aligned(4096)));

bool lp_rules_begin(void) {
    return lp_sys_advise(slots, sizeof slots, MADV_WIPEONFORK) == 0;
}

#define ONE_DONE (LP_RULES_UNDER_WAY + 1)

void lp_rules_begin_unload(void) {
    __atomic_fetch_add(&lp_process.rules_generation, 1, __ATOMIC_ACQ_REL);
}

void lp_rules_end_unload(void) {
    lp_loader_forget();
    uint32_t *generation = &lp_process.rules_generation;
    uint32_t now = __atomic_add_fetch(generation, ONE_DONE - 1, __ATOMIC_ACQ_REL);
    // When the count of them comes round, nothing of the last time may be left.
    if (now < ONE_DONE) lp_sys_advise(slots, sizeof slots, MADV_DONTNEED);
}

static uint64_t check_of(uint64_t key, uint64_t rule) {
    return key ^ rule * 0x9e3779b97f4a7c15ULL;
}

// Whether a signal handler returns to this address to have rt_sigreturn(2) called. Unwinders know such
// code, where it has no unwind information, by its instructions: mov $15, %rax; syscall.
static bool is_signal_return(uintptr_t address) {
    static const char instructions[] = "\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05";
    size_t bytes = sizeof instructions - 1;
    const char *last = (const char *)address + bytes - 1;
    return lp_sys_is_readable((const void *)address) && lp_sys_is_readable(last - 7) &&
           memcmp((const void *)address, instructions, bytes) == 0;
}

// Asks the loader for the module and the module for the rule.
static uint64_t make_rule(uintptr_t call) {
    struct lp_loaded loaded;
    uint32_t module = lp_module_find(call, &loaded);
    uint64_t rule = LP_RULE_NO_INFORMATION;
    if (loaded.unwind_header != NULL) {
        struct lp_segment segment = lp_module_segment(&loaded, (uintptr_t)loaded.unwind_header);
        rule = lp_cfi_rule(call, loaded.unwind_header, &segment);
        if (rule == LP_RULE_NO_INFORMATION && is_signal_return(call + 1)) rule = LP_RULE_SIGNAL_FRAME;
    }
    return rule | (uint64_t)module << LP_RULE_MODULE_SHIFT;
}

uint64_t lp_rule_for(uintptr_t return_address) {
    uint32_t generation = lp_rules_generation();
    uint64_t key = (uint64_t)return_address | (uint64_t)(generation >> 16) << LP_ADDRESS_BITS;
    struct slot *slot = &slots[(uint64_t)return_address * 0x9e3779b97f4a7c15ULL >> 48];
    uint64_t rule = lp_load_relaxed_u64(&slot->rule);
    bool is_settled = (generation & LP_RULES_UNDER_WAY) == 0;
    if (__builtin_expect(is_settled && lp_load_relaxed_u64(&slot->check) == check_of(key, rule), 1)) {
        return rule;
    }
    // The byte before a return address belongs to the call.
    rule = make_rule(return_address - 1);
    // Outside of all modules something may be loaded any time.
    if (is_settled && lp_rule_module(rule) != 0) {
        lp_store_relaxed_u64(&slot->rule, rule);
        lp_store_relaxed_u64(&slot->check, check_of(key, rule));
    }
    return rule;
}
