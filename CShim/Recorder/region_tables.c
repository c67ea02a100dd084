#include "region_tables.h"

#include <sys/mman.h>

#include "process.h"
#include "raw.h"

static uint64_t align_page(uint64_t offset) {
    return (offset + 4095) & ~4095ULL;
}

// Divides a region of `bytes` into tables. Modules and epochs have fixed sizes; the rest goes to stack
// nodes (nine parts) and counters (eleven): in 16 MiB, 356,000 nodes and 109,000 counters, for 100,000
// stacks of three nodes each. Compilers, which have the most different stacks, need six for each.
void lp_tables_lay_out(struct lp_header *header, uint64_t bytes) {
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
    header->nodes_capacity = (uint32_t)(rest / 20 * 9 / sizeof(struct lp_node));
    offset = align_page(offset + header->nodes_capacity * sizeof(struct lp_node));
    header->counters_off = offset;
    header->counters_capacity = (uint32_t)((bytes - offset) / sizeof(struct lp_counter));
}

void lp_tables_find(struct lp_header *header) {
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

// Room left behind the used part of a table: other threads may be about to record what they allocated
// before the end, and a page that was given back may not be had again.
#define TRIM_SLACK_BYTES 262144

// Gives the file's pages behind `used` of a table back to the file system, up to `end_bytes`.
static void trim(void *table, uint64_t used_bytes, uint64_t end_bytes) {
    uintptr_t start = ((uintptr_t)table + used_bytes + TRIM_SLACK_BYTES + 4095) & ~(uintptr_t)4095;
    uintptr_t end = ((uintptr_t)table + end_bytes) & ~(uintptr_t)4095;
    if (start < end) lp_sys_advise((void *)start, end - start, MADV_REMOVE);
}

static uint64_t used_of(const uint32_t *used, uint32_t capacity) {
    uint32_t count = lp_load_relaxed_u32(used);
    return count < capacity ? count : capacity;
}

void lp_tables_trim(void) {
    struct lp_header *header = lp_process.header;
    trim(lp_process.nodes,
         used_of(&header->nodes_used, lp_process.nodes_capacity) * sizeof(struct lp_node),
         lp_process.nodes_capacity * sizeof(struct lp_node));
    uint64_t end = lp_process.counters_capacity * sizeof(struct lp_counter);
    uint64_t heap = used_of(&header->heap_used, (uint32_t)(end / 8)) * 8 + TRIM_SLACK_BYTES;
    trim(lp_process.counters,
         used_of(&header->counters_used, lp_process.counters_capacity) * sizeof(struct lp_counter),
         end > heap ? end - heap : 0);
}
