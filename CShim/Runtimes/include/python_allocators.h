// CPython's own allocators: small objects never reach malloc, so its memory domains are wrapped, and
// what they give out is recorded as blocks. PEP 445 has the interface.
#ifndef LEAKPROF_PYTHON_ALLOCATORS_H
#define LEAKPROF_PYTHON_ALLOCATORS_H

#include <stdbool.h>

#include "python_layout.h"

// Puts the wrappers around whatever the domains' allocators are. At any time, with or without the
// interpreter's lock, on any thread. False when the interpreter has no such interface.
bool lp_python_wrap_allocators(const struct lp_python_layout *layout);

// Puts them there again if the interpreter has thrown them away, as it does when it is told to use
// certain allocators (PYTHONMALLOC, -X dev), and when it is initialized a second time. For now and
// then.
void lp_python_check_allocators(const struct lp_python_layout *layout);

#endif
