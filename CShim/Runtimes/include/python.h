// CPython as the recorder sees it: finds the interpreter in the process and tells whose thread state is
// this thread's.
//
// Nothing here takes the interpreter's lock or changes anything of it, except that its allocators are
// wrapped (python_allocators.h).
#ifndef LEAKPROF_PYTHON_H
#define LEAKPROF_PYTHON_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#include "python_layout.h"

struct lp_python_allocator {
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t size);
    void *(*realloc)(void *context, void *block, size_t size);
    void (*free)(void *context, void *block);
};

// The interpreter of this process; the first that is found, if it has several. Kept across forks.
struct lp_python {
    const struct lp_python_layout *layout; // NULL: none found, or its version is not known; atomic
    bool is_only;                          // no native frames are wanted where there are Python frames
    bool is_native;                        // the interpreter's own frames are wanted as well
    uint32_t state;                        // LP_PYTHON_* of the region's header; atomic
    uint32_t unsettled;                    // see python_allocators.h; atomic
    uintptr_t evaluator;                   // _PyEval_EvalFrameDefault
    uintptr_t evaluator_bytes;
    uintptr_t code_type;
    uintptr_t text_type;
    void *(*own_thread)(void);     // PyGILState_GetThisThreadState
    void *(*current_thread)(void); // the thread state that has the lock
    void (*get_allocator)(int domain, struct lp_python_allocator *allocator);
    void (*set_allocator)(int domain, struct lp_python_allocator *allocator);
    const char *(*allocator_name)(void);
    int (*is_initialized)(void);
    void *(*first_interpreter)(void);
    void *(*next_interpreter)(void *interpreter);
};
extern struct lp_python lp_python;

// Says what is wanted of an interpreter, before any is looked for. `use` is LP_USE_PYTHON_*.
void lp_python_begin(uint32_t use);

// Whether the module is an interpreter; then it is used from here on. The module must stay loaded
// meanwhile. Any thread.
void lp_python_look(uintptr_t load_bias, const ElfW(Phdr) * segments, unsigned count);

// Looks at all modules that are loaded. Takes the loader's lock.
void lp_python_look_everywhere(void);

// Whether the interpreter is of a library that the program has opened and may close: it is called at
// every allocation. Whoever closes one keeps it loaded, if that is possible, and says so before.
bool lp_python_may_go(void);
void lp_python_end_going(bool is_kept);

// LP_PYTHON_* of the region's header.
uint32_t lp_python_state(void);

static inline const struct lp_python_layout *lp_python_layout(void) {
    return __atomic_load_n(&lp_python.layout, __ATOMIC_ACQUIRE);
}

// This thread's PyThreadState, whether or not it has the interpreter's lock; 0 when it has none.
uintptr_t lp_python_thread(const struct lp_python_layout *layout);

#endif
