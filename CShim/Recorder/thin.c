#include "thin.h"

#include <stdbool.h>

#include "counters.h"
#include "free_filter.h"
#include "live_table.h"
#include "process.h"
#include "sampler.h"
#include "thread_block.h"

struct thinning {
    uint32_t to;
    uint64_t from_interval;
};

static double probability(uint64_t size, uint64_t interval) {
    return interval == 0 ? 1 : lp_one_minus_exp((double)(size | (size == 0)) / (double)interval);
}

bool lp_thin_block(struct lp_live_block *block, uint32_t to) {
    double chance = probability(block->size, lp_process.intervals[to]) /
                    probability(block->size, lp_process.intervals[block->interval_index]);
    if (lp_sampler_uniform(&lp_process.random) > chance) return false;
    block->interval_index = to;
    return true;
}

// Decides on a block that the table has set aside for it.
static bool keeps(uintptr_t address, struct lp_live_block *block, void *argument) {
    const struct thinning *thinning = argument;
    if (!lp_thin_block(block, thinning->to)) return false;
    // Before the table shows it as sampled, so that its free looks for it.
    lp_filter_add(address);
    return true;
}

// Told how it ended: `is_settled` is false when the block was freed meanwhile.
static void settle(uintptr_t address, const struct lp_live_block *block, bool is_kept, bool is_settled,
                   void *argument) {
    const struct thinning *thinning = argument;
    if (is_kept && !is_settled) {
        lp_filter_remove(address);
    } else if (is_kept) {
        lp_count_reweighed(block, thinning->from_interval);
    } else if (is_settled) {
        lp_count_freed(block);
        lp_count(LP_STAT_THINNED, 1);
    }
    // It was counted when it was sampled first, and is again as it is now.
    if (is_settled && thinning->from_interval != 0) lp_filter_remove(address);
}

void lp_thin(uint32_t from, uint32_t to) {
    if (!lp_process.can_thin) return;
    struct thinning thinning = {
        .to = to,
        .from_interval = lp_process.intervals[from],
    };
    struct lp_live_revision revision = {keeps, settle, lp_blocks_removing, &thinning};
    lp_live_revise(&lp_process.live, from, &revision);
}
