// CPython's own allocators: small objects never reach malloc, so its memory domains are wrapped, and
// what they give out is recorded as blocks. PEP 445 has the interface.
#ifndef LEAKPROF_PYTHON_ALLOCATORS_H
#define LEAKPROF_PYTHON_ALLOCATORS_H

#include <stdbool.h>

#include "python.h"
#include "python_layout.h"
#include "region_layout.h"

// Puts the wrappers around whatever the domains' allocators are. At any time, with or without the
// interpreter's lock, on any thread. False when the interpreter has no such interface.
bool lp_python_wrap_allocators(const struct lp_python_layout *layout);

// Puts them there again if the interpreter has thrown them away, as it does when it is told to use
// certain allocators (PYTHONMALLOC, -X dev), and when it is initialized a second time. For now and
// then.
void lp_python_check_allocators(const struct lp_python_layout *layout);

// While an interpreter starts, that is looked at whenever malloc is called: a sample may be far off,
// and pymalloc has its memory from mmap. It has started when a wrapper is called and it is initialized;
// one that never is may not cost anything for good.
#define LP_PYTHON_UNSETTLED_CALLS 1048576U

// Whether every allocation is to be told to lp_python_settle().
static inline bool lp_python_is_unsettled(void) {
    return lp_load_relaxed_u32(&lp_python.unsettled) != 0;
}

// To be called for each, by malloc's hook or by a wrapper.
void lp_python_settle(bool is_wrapper);

#endif
