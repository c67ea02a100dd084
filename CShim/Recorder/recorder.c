#include "recorder.h"

#include <sys/auxv.h>
#include <sys/mman.h>

#include "counters.h"
#include "epochs.h"
#include "free_filter.h"
#include "modules.h"
#include "pool.h"
#include "process.h"
#include "python.h"
#include "raw.h"
#include "region_copy.h"
#include "region_file.h"
#include "region_tables.h"
#include "rule_cache.h"
#include "stack_walk.h"
#include "thread_state.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

union lp_process_pages lp_process_pages __attribute__((aligned(4096)));

// Not static, or the compiler would keep it in registers: nobody here reads it.
struct lp_status lp_status = {
    .mark_low = LP_STATUS_MARK_LOW,
    .mark_high = LP_STATUS_MARK_HIGH,
    .layout_version = LP_LAYOUT_VERSION,
};

// What a forked child needs of its parent; everything else it starts with is in lp_process, wiped.
static struct {
    struct lp_config config;
    struct lp_identity identity;
    bool has_started; // some process in this line of forks called lp_recorder_start()
    bool stays_off;   // or lp_recorder_stay_off()
    bool is_confined; // a system call may be the end of the process; atomic
    uint64_t early_allocations;
    uint64_t early_bytes;
} inherited;

static bool is_confined(void) {
    return __atomic_load_n(&inherited.is_confined, __ATOMIC_RELAXED);
}

static void set_confined(bool is_confined, bool is_strict) {
    __atomic_store_n(&lp_process.is_strict, is_strict, __ATOMIC_RELAXED);
    __atomic_store_n(&inherited.is_confined, is_confined, __ATOMIC_RELAXED);
    __atomic_store_n(&lp_process.is_confined, is_confined, __ATOMIC_RELAXED);
}

// ---- Starting ----

static void fill_header(struct lp_header *header, const struct lp_config *config,
                        const struct lp_identity *identity, uint32_t forked_from) {
    header->layout_version = LP_LAYOUT_VERSION;
    header->layout_signature = lp_layout_signature();
    header->start_ticks = identity->start_ticks;
    header->pid_namespace = identity->pid_namespace;
    header->image_nonce = identity->image_nonce;
    header->started_realtime_ns = lp_realtime_ns();
    header->started_monotonic_ns = lp_monotonic_ns();
    header->last_active_ns = header->started_monotonic_ns;
    header->pid = identity->pid;
    header->forked_from = forked_from;
    header->mode = config->mode;
    header->max_depth = config->depth;
    header->interval_bytes = config->mode == LP_MODE_SAMPLED ? config->interval_bytes : 0;
    header->max_memory_bytes = config->max_memory_bytes;
    header->wanted = config->paused ? LP_WANTED_PAUSED : LP_WANTED_RECORDING;
    header->python = lp_python_state();
    // Record 0 of these tables means "none".
    header->modules_used = 1;
    header->nodes_used = 1;
    header->counters_used = 4;
}

static uint32_t turn_off(uint32_t reason) {
    if (lp_process.header != NULL) {
        lp_store_relaxed_u32(&lp_process.header->off_reason, reason);
        lp_store_release_u32(&lp_process.header->state, LP_STATE_OFF);
    }
    lp_status.off_reason = reason;
    lp_status.is_recording = 0;
    lp_store_release_u32(&lp_process.state, LP_PROCESS_OFF);
    lp_filter_use(true);
    lp_process_change_token();
    return reason;
}

// Makes the region and starts recording in this process. The caller has set `state` to STARTING.
static void begin(uint32_t forked_from) {
    const struct lp_config *config = &inherited.config;
    struct lp_identity *identity = &inherited.identity;
    lp_status.pid = (uint32_t)lp_sys_pid();
    if (lp_sys_advise(&lp_process_pages, sizeof lp_process_pages, MADV_WIPEONFORK) != 0 ||
        !lp_rules_begin()) {
        turn_off(LP_OFF_NO_WIPE_ON_FORK);
        return;
    }
    if (forked_from != 0 && !config->follow_fork) {
        turn_off(LP_OFF_NOT_FOLLOWED);
        return;
    }
    if (!lp_identity_read(identity)) {
        turn_off(LP_OFF_NO_TIME);
        return;
    }
    uint64_t bytes = config->region_bytes;
    void *region = NULL;
    uint32_t reason = lp_region_create(config->directory, identity, &bytes, &region);
    if (reason != LP_OFF_NONE) {
        turn_off(reason);
        return;
    }
    // A child must not be able to write into this region; without the mapping, it can't.
    lp_sys_advise(region, bytes, MADV_DONTFORK);

    struct lp_header *header = region;
    lp_tables_lay_out(header, bytes);
    lp_tables_find(header);
    fill_header(header, config, identity, forked_from);
    lp_process.max_depth = config->depth;
    lp_process.random.seed =
        config->seed != 0 ? config->seed : (identity->image_nonce ^ identity->pid) | 1;
    lp_process.live.max_bytes = config->max_memory_bytes;
    lp_process.can_thin = lp_live_can_revise();
    // Without a barrier for all threads, every insertion needs one of its own.
    lp_process.live.has_own_words = config->blocks_share_nothing && lp_process.can_thin;
    const struct lp_python_layout *python = lp_python_layout();
    if (python != NULL) lp_live_expect_close_blocks(&lp_process.live, !python->is_free_threaded);
    header->intervals_used = 1;
    if (config->mode == LP_MODE_SAMPLED) {
        lp_process.intervals[1] = config->interval_bytes;
        header->intervals_used = 2;
        header->interval_index = 1;
    }
    lp_count(LP_STAT_CONFIG_ERRORS, config->errors);
    lp_epochs_begin();
    // For blocks without a stack, which come when nothing else has room any more.
    lp_counter_find(NULL, 0, 1);
    bool can_unwind = lp_loader_begin();
    if (can_unwind) {
        lp_modules_add_program();
        struct lp_module_range range = {0, 0, 0};
        if (config->other_malloc != 0)
            lp_count(LP_STAT_OTHER_MALLOC, lp_module_index(config->other_malloc, &range));
        // The unwinder sets itself up on first use, which must not happen in a signal handler.
        uint64_t frame;
        uint32_t count;
        lp_unwind((uintptr_t)__builtin_return_address(0), &frame, 1, &count);
        lp_store_relaxed_u32(&header->state, config->paused ? LP_STATE_PAUSED : LP_STATE_RECORDING);
    }
    lp_store_release_u64(&header->magic, LP_MAGIC);
    if (!can_unwind) {
        turn_off(LP_OFF_NO_UNWINDER);
        return;
    }
    lp_record_early(inherited.early_allocations, inherited.early_bytes);
    lp_status.off_reason = LP_OFF_NONE;
    lp_status.is_recording = 1;
    if (config->mode == LP_MODE_AUTO) lp_budget_begin(config->overhead_ppm);
    // What comes later must need no system call, as far as that can be.
    lp_pool_refill();
    lp_live_begin(&lp_process.live);
    lp_blocks_begin();
    lp_process.stack_end = (getauxval(AT_RANDOM) + 4095) & ~(uintptr_t)4095;
    lp_filter_use(config->mode == LP_MODE_SAMPLED || config->paused);
    lp_store_release_u32(&lp_process.state, config->paused ? LP_PROCESS_PAUSED : LP_PROCESS_RECORDING);
    lp_process_change_token();
}

static bool claim_start(void) {
    uint32_t expected = LP_PROCESS_NEW;
    return lp_compare_exchange_u32(&lp_process.state, &expected, LP_PROCESS_STARTING);
}

void lp_recorder_stay_off(void) {
    inherited.stays_off = true;
    lp_filter_use(true);
}

void lp_recorder_start(const struct lp_config *config) {
    if (!claim_start()) return;
    inherited.config = *config;
    if (inherited.config.directory[0] == '\0') lp_directory_default(inherited.config.directory);
    inherited.has_started = true;
    begin(0);
}

// In a child, whose state the kernel has wiped: gives back what it inherited and starts anew. A child
// is single-threaded until it has allocated, so this happens before it can have a second thread.
static void begin_in_child(void) {
    if (!claim_start()) return;
    lp_thread.block = NULL;
    lp_thread.random = 0;
    inherited.early_allocations = 0;
    uint32_t parent = inherited.identity.pid;
    // To make a region takes a dozen system calls.
    if (is_confined()) {
        turn_off(LP_OFF_CONFINED);
        return;
    }
    begin(parent == 0 ? 1 : parent);
}

// ---- Pausing ----

static bool change_state(uint32_t from, uint32_t to) {
    return lp_compare_exchange_u32(&lp_process.state, &from, to);
}

// Frees go on as they did: what was recorded before the pause is still counted when it is freed.
static void pause(void) {
    if (!change_state(LP_PROCESS_RECORDING, LP_PROCESS_PAUSED)) return;
    inherited.config.paused = true;
    lp_store_relaxed_u32(&lp_process.header->state, LP_STATE_PAUSED);
    lp_process_change_token();
}

static void resume(void) {
    // Before any block is recorded exactly, every free has to be looked at.
    if (lp_load_relaxed_u32(&lp_process.header->interval_index) == 0) lp_filter_use(false);
    if (inherited.config.mode == LP_MODE_AUTO && !is_confined())
        lp_budget_begin(inherited.config.overhead_ppm);
    if (!change_state(LP_PROCESS_PAUSED, LP_PROCESS_RECORDING)) return;
    inherited.config.paused = false;
    lp_store_relaxed_u32(&lp_process.header->state, LP_STATE_RECORDING);
    lp_process_change_token();
}

// ---- Answering ----

static void look_up(struct lp_header *header) {
    uint32_t asked = LP_LOOKUP_ASKED;
    if (lp_compare_exchange_u32(&header->lookup, &asked, LP_LOOKUP_UNDER_WAY)) {
        struct lp_live_block block = {.counter = 0};
        uintptr_t address = (uintptr_t)lp_load_relaxed_u64(&header->lookup_address);
        if (!lp_live_find(&lp_process.live, address, &block)) block.counter = 0;
        lp_store_relaxed_u64(&header->lookup_size, block.size);
        lp_store_relaxed_u32(&header->lookup_counter, block.counter);
        lp_store_release_u32(&header->lookup, LP_LOOKUP_ANSWERED);
    }
    // Also what nobody asked properly: or every allocation would come by here.
    __atomic_fetch_and(&header->wanted, ~(uint32_t)LP_WANTED_LOOKUP, __ATOMIC_RELAXED);
}

// Whether the constructor that starts recording or refuses to is still to come.
static bool is_before_start(void) {
    return lp_process_state() == LP_PROCESS_NEW && !inherited.has_started && !inherited.stays_off;
}

bool lp_recorder_look(void) {
    uint32_t state = lp_process_state();
    if (is_before_start()) lp_add_relaxed_u64(&inherited.early_allocations, 1);
    if (state == LP_PROCESS_NEW && inherited.has_started) begin_in_child();
    if (lp_process.header == NULL) return false;
    uint32_t wanted = lp_load_relaxed_u32(&lp_process.header->wanted);
    if ((wanted & LP_WANTED_LOOKUP) != 0) look_up(lp_process.header);
    wanted &= ~(uint32_t)LP_WANTED_LOOKUP;
    if (state == LP_PROCESS_RECORDING && wanted == LP_WANTED_PAUSED) pause();
    if (state == LP_PROCESS_PAUSED && wanted == LP_WANTED_RECORDING) resume();
    return lp_process_state() == LP_PROCESS_RECORDING;
}

// Threads of a paused process look up after so many bytes whether it is still paused.
#define PAUSED_ROOM_BYTES 65536

uint64_t lp_recorder_rest_bytes(void) {
    if (is_before_start()) return 0;
    return lp_process_state() == LP_PROCESS_PAUSED ? PAUSED_ROOM_BYTES : UINT64_MAX / 2;
}

// ---- Giving up system calls ----

bool lp_recorder_confine(const struct lp_caller *caller, bool is_strict) {
    if (is_confined()) return false;
    if (lp_process_state() == LP_PROCESS_NEW) lp_recorder_look();
    if (lp_process_has_region()) {
        lp_budget_pause();
        // Makes the thread's block, and finds out how much of its stack can be read.
        struct lp_thread_block *own = lp_block_enter(caller->sp);
        lp_call_stack(own, caller);
        lp_block_leave(own);
    }
    set_confined(true, is_strict);
    return true;
}

void lp_recorder_release(void) {
    set_confined(false, false);
    bool was_measured = inherited.config.mode == LP_MODE_AUTO && lp_process_has_region();
    if (was_measured) lp_budget_begin(inherited.config.overhead_ppm);
}

// ---- Ending ----

void lp_recorder_end(void) {
    uint32_t state = lp_process_state();
    if (state != LP_PROCESS_RECORDING && state != LP_PROCESS_PAUSED) return;
    // The region stays and looks as after kill -9, which loses nothing.
    if (is_confined()) return;
    // A vfork child that calls exit() by mistake runs our destructor in its parent's memory.
    if ((uint32_t)lp_sys_pid() != inherited.identity.pid) return;
    lp_store_release_u32(&lp_process.state, LP_PROCESS_ENDED);
    lp_process_change_token();
    struct lp_header *header = lp_process.header;
    lp_store_relaxed_u64(&header->ended_monotonic_ns, lp_monotonic_ns());
    lp_store_release_u32(&header->state, LP_STATE_ENDED);
    if (!inherited.config.keep && lp_region_unlink(inherited.config.directory, &inherited.identity)) {
        return;
    }
    lp_tables_trim();
}

int lp_recorder_copy(const char *name) {
    if (!lp_process_has_region() || is_confined()) return LP_COPY_NOT_RECORDING;
    return lp_region_copy(inherited.config.directory, &inherited.identity, name);
}

void lp_record_early(uint64_t allocations, uint64_t bytes_in_use) {
    if (lp_process.statistics == NULL) {
        inherited.early_allocations += allocations;
        inherited.early_bytes = bytes_in_use;
        return;
    }
    lp_count(LP_STAT_EARLY, allocations);
    lp_store_relaxed_u64(&lp_process.statistics[LP_STAT_EARLY_BYTES], bytes_in_use);
}
