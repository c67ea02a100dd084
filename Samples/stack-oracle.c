// Linked into a shim in place of its lp_call_stack (--wrap): walks every recorded stack a second time
// with libgcc's unwinder, and ends the program when the two differ. What it has compared, it writes to
// the file that STACK_ORACLE names.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "call_stack.h"
#include "process.h"

uint32_t __real_lp_call_stack(struct lp_thread_block *block, const struct lp_caller *caller);
uint32_t __wrap_lp_call_stack(struct lp_thread_block *block, const struct lp_caller *caller);

static uint64_t compared, replayed, outside;

static void print(const char *title, uint32_t node) {
    char line[160];
    dprintf(2, "%s\n", title);
    for (; node != 0; node = lp_process.nodes[node].parent) {
        uint64_t frame = lp_node_frame(&lp_process.nodes[node]);
        snprintf(line, sizeof line, "  %#lx in %.*s\n", frame & LP_ADDRESS_MASK,
                 (int)lp_process.modules[frame >> 48].path_length,
                 lp_process.strings + lp_process.modules[frame >> 48].path_off);
        if (write(2, line, strlen(line)) < 0) return;
    }
}

uint32_t __wrap_lp_call_stack(struct lp_thread_block *block, const struct lp_caller *caller) {
    uint32_t node = __real_lp_call_stack(block, caller);
    uint32_t expected = __real_lp_call_stack(NULL, caller);
    if (node != expected) {
        print("the recorder's stack:", node);
        print("libgcc's:", expected);
        _exit(99);
    }
    __atomic_fetch_add(&compared, 1, __ATOMIC_RELAXED);
    // Both ask the same loader: what it does not know, they agree about.
    for (uint32_t i = node; i != 0; i = lp_process.nodes[i].parent) {
        if (lp_node_frame(&lp_process.nodes[i]) >> 48 != 0) continue;
        __atomic_fetch_add(&outside, 1, __ATOMIC_RELAXED);
        break;
    }
    if (block != NULL && block->count > 0) __atomic_fetch_add(&replayed, 1, __ATOMIC_RELAXED);
    return node;
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("STACK_ORACLE");
    int file = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0) return;
    dprintf(file, "%lu %lu %lu\n", compared, replayed, outside);
    close(file);
}
