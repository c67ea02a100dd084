#include "heap.h"

#include <stddef.h>

#include "process.h"

#define UNIT 8U
#define COUNTER_UNITS (sizeof(struct lp_counter) / UNIT)

// What the heap may have of the table: counters are what nothing can be recorded without.
#define HEAP_SHARE 4U

// The numbers of counters and of the heap's units that are taken: both ends, so that they can't pass
// each other.
union ends {
    uint64_t word;
    struct {
        uint32_t counters;
        uint32_t units;
    };
};

static uint64_t *ends_word(void) {
    return (uint64_t *)(void *)&lp_process.header->counters_used;
}

// Moves the ends by so much if they don't meet; the ends before that in `*before`.
static int move(uint32_t counters, uint32_t units, union ends *before) {
    uint64_t all_units = (uint64_t)lp_process.counters_capacity * COUNTER_UNITS;
    before->word = lp_load_relaxed_u64(ends_word());
    for (;;) {
        union ends after = *before;
        after.counters += counters;
        after.units += units;
        if (after.counters < before->counters || after.units < before->units) return 0;
        if (after.counters * COUNTER_UNITS + after.units > all_units) return 0;
        if (units != 0 && after.units > all_units / HEAP_SHARE) return 0;
        if (lp_compare_exchange_u64(ends_word(), &before->word, after.word)) return 1;
    }
}

uint32_t lp_heap_take_counters(uint32_t count) {
    union ends before;
    return move(count, 0, &before) ? before.counters : 0;
}

void *lp_heap_at(uint32_t position) {
    return (char *)(lp_process.counters + lp_process.counters_capacity) - (uint64_t)position * UNIT;
}

uint32_t lp_heap_take(uint64_t bytes, void **bytes_at) {
    union ends before;
    if (bytes > UINT32_MAX / 2) return 0;
    uint32_t units = (uint32_t)((bytes + UNIT - 1) / UNIT);
    if (!move(0, units, &before)) return 0;
    uint32_t position = before.units + units;
    *bytes_at = lp_heap_at(position);
    return position;
}
