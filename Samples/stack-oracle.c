// Linked into a shim in place of its lp_call_stack (--wrap): walks every recorded stack a second time
// with libgcc's unwinder, and ends the program with status 99 when the two differ. Where code has no
// unwind information, libgcc ends and the recorder may guess on: up to there, they are compared.
//
// What was compared is counted in the file that STACK_ORACLE names, which must be there and a page
// long. All processes add to it, so nothing is lost with those that are killed, leave by _exit or run
// another program. The stacks that differ are written to standard error and to the file's name +
// ".log".
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "call_stack.h"
#include "process.h"
#include "rule_cache.h"
#include "unwind_rule.h"

uint32_t __real_lp_call_stack(struct lp_thread_block *block, const struct lp_caller *caller);
uint32_t __wrap_lp_call_stack(struct lp_thread_block *block, const struct lp_caller *caller);

// script/compare-stacks and StackOracleTests read them in this order.
struct counts {
    uint64_t compared;    // stacks walked both ways, and the same
    uint64_t by_rules;    // of these, found without the general unwinder
    uint64_t cut;         // of these, with a marker for what is missing
    uint64_t outside;     // of these, with a frame in no module
    uint64_t lost;        // not compared: the stack table was full
    uint64_t unowned;     // not compared: in a signal handler that interrupted the recorder
    uint64_t guessed;     // compared as far as libgcc's goes
    uint64_t differences; // processes ended
};

#define FILE_BYTES 4096

// Programs without STACK_ORACLE, or in a sandbox, count for themselves.
static struct counts own_counts;
static struct counts *counts; // atomic

static struct counts *find_counts(void) {
    struct counts *found = __atomic_load_n(&counts, __ATOMIC_ACQUIRE);
    if (found != NULL) return found;
    int saved = errno;
    const char *path = getenv("STACK_ORACLE");
    int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void *memory = MAP_FAILED;
    if (file >= 0) memory = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    found = memory == MAP_FAILED ? &own_counts : memory;
    __atomic_store_n(&counts, found, __ATOMIC_RELEASE);
    errno = saved;
    return found;
}

static void add(uint64_t *count) {
    __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
}

static void print(int file, const char *title, uint32_t node) {
    dprintf(file, "%s\n", title);
    for (; node != 0; node = lp_process.nodes[node].parent) {
        uint64_t frame = lp_node_frame(&lp_process.nodes[node]);
        const struct lp_module *module = &lp_process.modules[frame >> LP_ADDRESS_BITS];
        dprintf(file, "  %#lx in %.*s, stated %#lx, rule %#lx\n", frame & LP_ADDRESS_MASK,
                (int)module->path_length, lp_process.strings + module->path_off,
                (frame & LP_ADDRESS_MASK) - module->load_bias, lp_rule_for(frame & LP_ADDRESS_MASK));
    }
}

static _Noreturn void end(uint32_t found, uint32_t expected) {
    add(&find_counts()->differences);
    char path[4096];
    const char *name = getenv("STACK_ORACLE");
    snprintf(path, sizeof path, "%s.log", name == NULL ? "/dev/null" : name);
    int files[] = {2, open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
    for (int i = 0; i < 2; i++) {
        dprintf(files[i], "process %d of %s\n", getpid(), program_invocation_name);
        print(files[i], "the recorder's stack:", found);
        print(files[i], "libgcc's:", expected);
    }
    _exit(99);
}

static bool is_marker(uint64_t frame) {
    return frame == LP_FRAME_TRUNCATED_DEPTH || frame == LP_FRAME_TRUNCATED_UNWIND ||
           frame == LP_FRAME_GUESSED;
}

// Leaf first; returns how many.
static uint32_t frames_of(uint32_t node, uint64_t *frames) {
    uint32_t count = 0;
    for (; node != 0 && count < LP_MAX_TRACE; node = lp_process.nodes[node].parent)
        frames[count++] = lp_node_frame(&lp_process.nodes[node]);
    return count;
}

// Whether `found` goes on where libgcc ended for want of unwind information.
static bool is_continued(uint32_t found, uint32_t expected) {
    uint64_t frames[LP_MAX_TRACE], expected_frames[LP_MAX_TRACE];
    uint32_t count = frames_of(found, frames);
    uint32_t common = frames_of(expected, expected_frames) - 1;
    return common > 0 && count > common + 1 && expected_frames[common] == LP_FRAME_TRUNCATED_UNWIND &&
           memcmp(frames, expected_frames, common * sizeof *frames) == 0 &&
           lp_rule_kind(lp_rule_for(frames[common - 1] & LP_ADDRESS_MASK)) == LP_RULE_NO_INFORMATION;
}

static void examine(struct counts *sums, uint32_t node) {
    bool is_outside = false;
    bool is_cut = false;
    for (; node != 0; node = lp_process.nodes[node].parent) {
        uint64_t frame = lp_node_frame(&lp_process.nodes[node]);
        if (is_marker(frame)) {
            is_cut = is_cut || frame != LP_FRAME_GUESSED;
        } else if (frame >> LP_ADDRESS_BITS == 0) {
            is_outside = true;
        }
    }
    if (is_cut) add(&sums->cut);
    if (is_outside) add(&sums->outside);
}

uint32_t __wrap_lp_call_stack(struct lp_thread_block *block, const struct lp_caller *caller) {
    uint32_t node = __real_lp_call_stack(block, caller);
    struct counts *sums = find_counts();
    if (block == NULL) {
        add(&sums->unowned);
        return node;
    }
    uint32_t expected = __real_lp_call_stack(NULL, caller);
    if (node == 0 || expected == 0) {
        add(&sums->lost);
        return node;
    }
    bool is_guessed = node != expected;
    if (is_guessed && !is_continued(node, expected)) end(node, expected);
    add(&sums->compared);
    if (block->count > 0) add(&sums->by_rules);
    if (is_guessed) add(&sums->guessed);
    examine(sums, node);
    return node;
}
