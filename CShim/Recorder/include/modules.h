// The files mapped for execution that were seen on a stack, with their build ids, so that an address
// means something after the process is gone, and a library loaded where another one was unloaded is not
// mistaken for it.
#ifndef LEAKPROF_MODULES_H
#define LEAKPROF_MODULES_H

#include <stdbool.h>
#include <stdint.h>

#include "cfi.h"
#include "loader.h"

// The module that contains an address, as found last: consecutive frames often lie in one module.
struct lp_module_range {
    uintptr_t start;
    uintptr_t end; // 0: nothing found yet
    uint32_t index;
};

// Records the program itself as module 1, with the path that /proc/self/exe has now.
void lp_modules_add_program(void);

// Returns the index of the module that contains `address`, 0 when it lies in none or the table is full.
// A module seen for the first time is recorded. `address` must be code this thread is executing or will
// return to, so that its module cannot be unloaded meanwhile. `range` caches; start it with zeros.
// Any thread, lock-free.
uint32_t lp_module_index(uintptr_t address, struct lp_module_range *range);

// The same without a cache, and what the loader knows of the module; its `end` is 0 when there is none.
// Returns 0 also for a module that could not be recorded.
uint32_t lp_module_find(uintptr_t address, struct lp_loaded *loaded);

// The module's readable segment that contains `address`, as its program headers say; an empty one when
// they don't. The module must be mapped.
struct lp_segment lp_module_segment(const struct lp_loaded *loaded, uintptr_t address);

// Whether the file that the module was loaded from has a name that begins like this.
bool lp_module_is_named(uint32_t index, const char *start);

// Copies `length` bytes into the region's strings; returns their offset, or UINT32_MAX when full.
uint32_t lp_add_string(const void *bytes, uint32_t length);

#endif
