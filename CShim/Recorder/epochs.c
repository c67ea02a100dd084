#include "epochs.h"

#include "process.h"
#include "raw.h"
#include "thread_state.h"

// The clock's epochs last 15 s at first and a sixteenth of the run later: a run of a week has about
// 150.
#define SHORTEST_NS 15000000000ULL
#define RUN_FRACTION 16

// Reading the clock costs about as much as a few dozen instructions, so not every allocation does.
#define ALLOCATIONS_PER_LOOK 32

static void publish(uint32_t epoch, uint64_t now, uint32_t reason) {
    struct lp_epoch *record = &lp_process.epochs[epoch - 1];
    record->reason = reason;
    lp_store_release_u64(&record->started_monotonic_ns, now);
    lp_add_relaxed_u32(&lp_process.header->epochs_used, 1);
}

static void set_clock(uint64_t now) {
    uint64_t run = now - lp_process.header->started_monotonic_ns;
    uint64_t length = run / RUN_FRACTION > SHORTEST_NS ? run / RUN_FRACTION : SHORTEST_NS;
    lp_store_relaxed_u64(&lp_process.header->next_epoch_ns, now + length);
}

void lp_epochs_begin(void) {
    uint64_t now = lp_process.header->started_monotonic_ns;
    publish(1, now, LP_EPOCH_START);
    set_clock(now);
    lp_store_release_u32(&lp_process.header->epoch, 1);
}

uint32_t lp_epoch_advance(uint32_t current, uint32_t reason) {
    struct lp_header *header = lp_process.header;
    if (current >= lp_process.epochs_capacity) {
        lp_count(LP_STAT_EPOCHS_LOST, 1);
        return current;
    }
    // The clock first, so that it does not start another one while this one's record is written.
    uint64_t now = lp_monotonic_ns();
    set_clock(now);
    uint32_t next = current;
    if (!lp_compare_exchange_u32(&header->epoch, &next, current + 1)) return next;
    publish(current + 1, now, reason);
    return current + 1;
}

uint32_t lp_epoch_look(uint32_t epoch) {
    struct lp_header *header = lp_process.header;
    if (lp_load_relaxed_u32(&header->epoch_request) == epoch + 1)
        return lp_epoch_advance(epoch, LP_EPOCH_REQUEST);
    // Samples are rare enough to look every time.
    lp_thread.clock_countdown =
        lp_load_relaxed_u32(&header->interval_index) == 0 ? ALLOCATIONS_PER_LOOK : 0;
    uint64_t now = lp_monotonic_ns();
    // The line is read on every allocation of every thread: written only when the clock has moved.
    if (lp_load_relaxed_u64(&header->last_active_ns) != now)
        lp_store_relaxed_u64(&header->last_active_ns, now);
    lp_budget_look(now);
    if (now >= lp_load_relaxed_u64(&header->next_epoch_ns))
        return lp_epoch_advance(epoch, LP_EPOCH_CLOCK);
    return epoch;
}
