// The bytes at the back of the region's last table, and the records at its front (region_layout.h).
#ifndef LEAKPROF_HEAP_H
#define LEAKPROF_HEAP_H

#include <stdint.h>

// Takes `count` counters; returns the index of the first, 0 when there is no room. Any thread,
// lock-free.
uint32_t lp_heap_take_counters(uint32_t count);

// Takes `bytes` of the heap. Returns how far in front of the heap's end they begin, in units of 8
// bytes, and where that is in `*bytes_at`; 0 when there is no room, or when the heap has its share of
// the table. The bytes are zero. Any thread, lock-free.
uint32_t lp_heap_take(uint64_t bytes, void **bytes_at);

// Where something in the heap lies.
void *lp_heap_at(uint32_t position);

#endif
