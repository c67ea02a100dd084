#include "recorder.h"

#include <string.h>
#include <sys/mman.h>

#include "call_stack.h"
#include "counters.h"
#include "epochs.h"
#include "free_filter.h"
#include "modules.h"
#include "process.h"
#include "raw.h"
#include "region_copy.h"
#include "region_file.h"
#include "rule_cache.h"
#include "sampler.h"
#include "stack_table.h"
#include "stack_walk.h"
#include "thin.h"
#include "thread_block.h"
#include "thread_state.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

union lp_process_pages lp_process_pages __attribute__((aligned(4096)));
_Thread_local struct lp_thread lp_thread;

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
    uint64_t early_allocations;
    uint64_t early_bytes;
} inherited;

// ---- Starting ----

static uint64_t align_page(uint64_t offset) {
    return (offset + 4095) & ~4095ULL;
}

// Divides a region of `bytes` into tables. Modules and epochs have fixed sizes; the rest goes to stack
// nodes (two parts) and counters (three): in 16 MiB, 260,000 nodes and 150,000 counters.
static void lay_out(struct lp_header *header, uint64_t bytes) {
    bool is_small = bytes < (4 << 20);
    header->region_bytes = bytes;
    header->epochs_capacity = is_small ? 256 : 1024;
    header->modules_capacity = is_small ? 256 : LP_MODULE_SLOTS / 2;
    header->strings_capacity = is_small ? 32768 : 262144;

    uint64_t offset = align_page(sizeof *header);
    header->statistics_off = offset;
    header->intervals_off = offset + 1024;
    _Static_assert(LP_STAT_COUNT * sizeof(uint64_t) <= 1024, "the statistics fit before the intervals");
    offset += 4096;
    header->epochs_off = offset;
    offset = align_page(offset + header->epochs_capacity * sizeof(struct lp_epoch));
    header->modules_off = offset;
    offset = align_page(offset + header->modules_capacity * sizeof(struct lp_module));
    header->strings_off = offset;
    offset = align_page(offset + header->strings_capacity);

    uint64_t rest = bytes - offset;
    uint32_t buckets = 1024;
    while ((uint64_t)buckets * 2 * 64 <= rest) buckets *= 2;
    header->buckets_off = offset;
    header->buckets_capacity = buckets;
    offset = align_page(offset + buckets * sizeof(uint32_t));

    rest = bytes - offset;
    header->nodes_off = offset;
    header->nodes_capacity = (uint32_t)(rest / 5 * 2 / sizeof(struct lp_node));
    offset = align_page(offset + header->nodes_capacity * sizeof(struct lp_node));
    header->counters_off = offset;
    header->counters_capacity = (uint32_t)((bytes - offset) / sizeof(struct lp_counter));
}

static void find_tables(struct lp_header *header) {
    char *region = (char *)header;
    lp_process.statistics = (uint64_t *)(region + header->statistics_off);
    lp_process.intervals = (uint64_t *)(region + header->intervals_off);
    lp_process.epochs = (struct lp_epoch *)(region + header->epochs_off);
    lp_process.modules = (struct lp_module *)(region + header->modules_off);
    lp_process.strings = region + header->strings_off;
    lp_process.buckets = (uint32_t *)(region + header->buckets_off);
    lp_process.nodes = (struct lp_node *)(region + header->nodes_off);
    lp_process.counters = (struct lp_counter *)(region + header->counters_off);
    lp_process.epochs_capacity = header->epochs_capacity;
    lp_process.modules_capacity = header->modules_capacity;
    lp_process.strings_capacity = header->strings_capacity;
    lp_process.buckets_mask = header->buckets_capacity - 1;
    lp_process.nodes_capacity = header->nodes_capacity;
    lp_process.counters_capacity = header->counters_capacity;
    lp_process.header = header;
}

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
    lay_out(header, bytes);
    find_tables(header);
    fill_header(header, config, identity, forked_from);
    lp_process.max_depth = config->depth;
    lp_process.random.seed =
        config->seed != 0 ? config->seed : (identity->image_nonce ^ identity->pid) | 1;
    lp_process.live.max_bytes = config->max_memory_bytes;
    lp_process.can_thin = lp_live_can_revise();
    // Without a barrier for all threads, every insertion needs one of its own.
    lp_process.live.has_own_words = config->blocks_share_nothing && lp_process.can_thin;
    header->intervals_used = 1;
    if (config->mode == LP_MODE_SAMPLED) {
        lp_process.intervals[1] = config->interval_bytes;
        header->intervals_used = 2;
        header->interval_index = 1;
    }
    lp_count(LP_STAT_CONFIG_ERRORS, config->errors);
    lp_epochs_begin();
    bool can_unwind = lp_loader_begin();
    if (can_unwind) {
        lp_modules_add_program();
        // The unwinder sets itself up on first use, which must not happen in a signal handler.
        uint64_t frame;
        lp_unwind((uintptr_t)__builtin_return_address(0), &frame, 1);
        lp_store_relaxed_u32(&header->state, LP_STATE_RECORDING);
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
    lp_filter_use(config->mode == LP_MODE_SAMPLED);
    lp_store_release_u32(&lp_process.state, LP_PROCESS_RECORDING);
    lp_process_change_token();
}

static bool claim_start(void) {
    uint32_t expected = LP_PROCESS_NEW;
    return lp_compare_exchange_u32(&lp_process.state, &expected, LP_PROCESS_STARTING);
}

void lp_recorder_stay_off(void) {
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
    begin(parent == 0 ? 1 : parent);
}

// Whether allocations are recorded now; in a forked child, the first call starts its recording.
static inline bool is_recording(void) {
    uint32_t state = lp_process_state();
    if (__builtin_expect(state == LP_PROCESS_RECORDING, 1)) return true;
    if (state != LP_PROCESS_NEW || !inherited.has_started) return false;
    begin_in_child();
    return lp_process_state() == LP_PROCESS_RECORDING;
}

// ---- Ending ----

// Room left behind the used part of a table: other threads may be about to record what they allocated
// before the end, and a page that was given back may not be had again.
#define TRIM_SLACK_BYTES 262144

// Gives the file's pages behind `used` of a table back to the file system.
static void trim(void *table, uint64_t used_bytes, uint64_t table_bytes) {
    uintptr_t start = ((uintptr_t)table + used_bytes + TRIM_SLACK_BYTES + 4095) & ~(uintptr_t)4095;
    uintptr_t end = ((uintptr_t)table + table_bytes) & ~(uintptr_t)4095;
    if (start < end) lp_sys_advise((void *)start, end - start, MADV_REMOVE);
}

static uint64_t used_of(const uint32_t *used, uint32_t capacity) {
    uint32_t count = lp_load_relaxed_u32(used);
    return count < capacity ? count : capacity;
}

void lp_recorder_end(void) {
    if (lp_process_state() != LP_PROCESS_RECORDING) return;
    // A vfork child that calls exit() by mistake runs our destructor in its parent's memory.
    if ((uint32_t)lp_sys_pid() != inherited.identity.pid) return;
    lp_store_release_u32(&lp_process.state, LP_PROCESS_ENDED);
    lp_process_change_token();
    struct lp_header *header = lp_process.header;
    lp_store_relaxed_u64(&header->ended_monotonic_ns, lp_monotonic_ns());
    lp_store_release_u32(&header->state, LP_STATE_ENDED);
    if (!inherited.config.keep) {
        lp_region_unlink(inherited.config.directory, &inherited.identity);
        return;
    }
    trim(lp_process.nodes,
         used_of(&header->nodes_used, lp_process.nodes_capacity) * sizeof(struct lp_node),
         lp_process.nodes_capacity * sizeof(struct lp_node));
    trim(lp_process.counters,
         used_of(&header->counters_used, lp_process.counters_capacity) * sizeof(struct lp_counter),
         lp_process.counters_capacity * sizeof(struct lp_counter));
}

int lp_recorder_copy(const char *name) {
    uint32_t state = lp_process_state();
    if (state != LP_PROCESS_RECORDING && state != LP_PROCESS_ENDED) return LP_COPY_NOT_RECORDING;
    return lp_region_copy(inherited.config.directory, &inherited.identity, name);
}

// ---- Recording ----

// Puts a block into the live table, where its free will find it; false when there is no room.
static bool insert(void *block, const struct lp_live_block *live) {
    struct lp_live_block stale;
    uintptr_t address = (uintptr_t)block;
    if (live->interval_index != 0) lp_filter_add(address);
    bool is_inserted = lp_live_insert(&lp_process.live, address, live, &stale);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect(stale.counter != 0, 0)) {
        lp_count(LP_STAT_REPLACED, 1);
        lp_count_freed(&stale);
    }
    if (live->interval_index != 0) {
        if (!is_inserted) lp_filter_remove(address);
    } else if (lp_load_relaxed_u32(&lp_process.header->interval_index) != 0) {
        // The interval changed meanwhile, and who changed it may have looked for this block too early.
        lp_filter_add_exact(address);
    }
    return is_inserted;
}

// For a block that is counted as allocated and found no room: under the interval that is in force since
// then, it is most likely not recorded at all, and if it is, there should be room.
static void insert_thinned(void *block, struct lp_live_block *live) {
    lp_budget_save_memory();
    struct lp_live_block before = *live;
    uint32_t now = lp_load_relaxed_u32(&lp_process.header->interval_index);
    bool is_kept = lp_thin_block(live, now);
    if (is_kept && now != before.interval_index && insert(block, live)) {
        lp_count_reweighed(live, lp_process.intervals[before.interval_index]);
        return;
    }
    if (is_kept) {
        lp_count(LP_STAT_DROPPED_MEMORY, 1);
        lp_count(LP_STAT_DROPPED_MEMORY_BYTES, live->size);
    } else {
        lp_count(LP_STAT_THINNED, 1);
    }
    lp_count_freed(&before);
}

static void record(struct lp_thread_block *own, void *block, size_t size, uint32_t stack,
                   uint32_t interval_index) {
    struct lp_live_block live = {.size = size, .interval_index = interval_index};
    live.counter = lp_counter_for(own, stack, lp_epoch_now());
    if (live.counter == 0) {
        lp_count(LP_STAT_DROPPED_COUNTERS, 1);
        lp_count(LP_STAT_DROPPED_COUNTERS_BYTES, size);
        return;
    }
    if (!lp_live_is_representable((uintptr_t)block, &live)) {
        lp_count(LP_STAT_UNREPRESENTABLE, 1);
        return;
    }
    bool is_inserted = insert(block, &live);
    lp_count_allocated(own, &live);
    if (!is_inserted) insert_thinned(block, &live);
    uint64_t bytes = lp_load_relaxed_u64(&lp_process.live.bytes);
    if (bytes != lp_load_relaxed_u64(&lp_process.statistics[LP_STAT_LIVE_TABLE_BYTES]))
        lp_store_relaxed_u64(&lp_process.statistics[LP_STAT_LIVE_TABLE_BYTES], bytes);
    if (own != NULL) {
        uint64_t interval = lp_process.intervals[interval_index];
        // A sample stands for about an interval's bytes, or for itself.
        own->work.bytes += size > interval ? size : interval;
        own->work.blocks += size >= interval ? 1 : interval / (size | 1);
    }
}

// Whether this allocation is recorded, and under which interval. What it reads is in force at least
// until the token changes again.
static inline bool is_taken(size_t size, uint32_t *interval_index) {
    uint64_t token = lp_load_acquire_u64(&lp_process.token);
    if (!is_recording()) {
        lp_sampler_rest();
        lp_thread.token = token;
        return false;
    }
    // A child has begun, and with it the token.
    if (token == 0) token = lp_load_acquire_u64(&lp_process.token);
    lp_thread.token = token;
    *interval_index = lp_load_relaxed_u32(&lp_process.header->interval_index);
    return lp_sampler_takes(size, lp_process.intervals[*interval_index], &lp_process.random);
}

void lp_record_allocation(void *block, size_t size, const struct lp_caller *caller) {
    uint32_t interval_index;
    if (!is_taken(size, &interval_index)) return;
    struct lp_thread_block *own = lp_block_enter(caller->sp);
    uint64_t begun = lp_work_begin(own);
    record(own, block, size, lp_call_stack(own, caller), interval_index);
    lp_work_end(own, begun);
    lp_block_leave(own);
}

void lp_record_stack(void *block, size_t size, const uint64_t *frames, uint32_t count) {
    uint32_t interval_index;
    if (!is_taken(size, &interval_index)) return;
    struct lp_thread_block *own = lp_block_enter((uintptr_t)__builtin_frame_address(0));
    record(own, block, size, lp_stack_intern(frames, count), interval_index);
    lp_block_leave(own);
}

void lp_record_nested(void) {
    lp_count(LP_STAT_NESTED, 1);
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

// Frees are counted also after the end, for as long as the process lives.
static bool is_counting_frees(void) {
    uint32_t state = lp_process_state();
    return state == LP_PROCESS_RECORDING || state == LP_PROCESS_ENDED;
}

bool lp_withdraw(void *block, struct lp_live_block *withdrawn) {
    if (!is_counting_frees()) return false;
    struct lp_thread_block *own = lp_thread.block;
    bool has_own = own != NULL && own->number != LP_NO_NUMBER;
    if (!lp_live_remove(&lp_process.live, (uintptr_t)block, withdrawn, has_own ? &own->removing : NULL))
        return false;
    if (withdrawn->interval_index != 0) lp_filter_remove((uintptr_t)block);
    return true;
}

void lp_record_withdrawn_free(const struct lp_live_block *withdrawn) {
    lp_count_freed(withdrawn);
}

void lp_put_back(void *block, const struct lp_live_block *withdrawn) {
    // Its slot was free a moment ago; if others have filled the whole window since, the block is
    // dropped.
    if (insert(block, withdrawn)) return;
    lp_count(LP_STAT_DROPPED_MEMORY, 1);
    lp_count(LP_STAT_DROPPED_MEMORY_BYTES, withdrawn->size);
    lp_count_freed(withdrawn);
}

void lp_record_free(void *block) {
    // In a child that has not begun, nothing may be touched that was its parent's.
    if (!is_counting_frees()) return;
    struct lp_live_block freed;
    // Entered or not: at worst, a signal handler's operation is not counted.
    struct lp_thread_block *own = lp_thread.block;
    if (own != NULL && own->number == LP_NO_NUMBER) own = NULL;
    uint64_t begun = lp_work_begin(own);
    bool is_recorded = lp_withdraw(block, &freed);
    if (is_recorded) lp_count_freed(&freed);
    lp_work_end(own, begun);
    if (!is_recorded && own != NULL) own->work.fruitless++;
    if (!is_recorded && lp_load_relaxed_u32(&lp_process.header->interval_index) == 0)
        lp_count(LP_STAT_UNKNOWN_FREES, 1);
}
