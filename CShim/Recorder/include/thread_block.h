// What the recorder remembers per thread: its last call stack and the counters it has to itself.
//
// Blocks are never given back: a thread that begins takes over the block of one that has ended, with
// its counters. A block belongs to one thread at a time, so nothing in it is atomic; a signal handler
// that comes while its thread is at work in the block does without (lp_block_enter() returns NULL).
#ifndef LEAKPROF_THREAD_BLOCK_H
#define LEAKPROF_THREAD_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region_layout.h"
#include "thread_state.h"

// One frame of the last call stack. What unwinding reads to get from a frame to its caller are these
// three registers and the words at two places of the stack, so while those words are unchanged, the
// rest of the stack is too.
struct lp_frame_state {
    uint64_t sp;      // the stack pointer once the callee has returned
    uint64_t pc;      // where the callee returns to
    uint64_t rbp;     // the frame pointer register there
    uint32_t node;    // the trace from the outermost frame to this one
    int16_t rbp_slot; // where the caller's rbp is, in 8 bytes from the caller's sp; see below
    uint16_t module;  // index of the module `pc` lies in
};

#define LP_RBP_UNCHANGED 0
#define LP_RBP_NOT_REPLAYABLE INT16_MIN // the step to the caller reads other words as well
#define LP_RBP_GUESSED (INT16_MIN + 1)  // likewise: LP_FRAME_GUESSED stands between the two

// One frame of the Python stack that belongs to it.
struct lp_python_frame {
    uintptr_t frame; // its address
    // What the frame has in the places of its code object and its instruction: while all
    // three are unchanged, it is where it was.
    uint64_t code_word;
    uint64_t at_word;
    uint64_t back_word; // and of its caller
    uint32_t code;      // where its code object is described; UINT32_MAX: not looked up yet
    uint32_t node;      // the trace from the outermost frame to this one
    uint16_t runs;      // how many runs have begun from the outermost frame up to this one
    bool begins_run;    // a run is what one call of the interpreter's evaluation loop executes
    bool is_of_function;
};

// How the kept stack's outermost frame came to be the last.
enum lp_stack_end {
    LP_STACK_COMPLETE,
    LP_STACK_TOO_DEEP,
    LP_STACK_NO_CALLER, // no unwind information, and nothing that looks like a frame
    LP_STACK_ASTRAY,    // what should be its caller is none
};

// Places for the counters this thread used last, by their stack.
#define LP_COUNTER_PLACES 512

struct lp_counter_place {
    uint32_t stack;
    uint32_t counter;
};

// What a thread has done for the recording; auto mode adds it up over all threads.
struct lp_work {
    uint64_t operations;  // allocations and frees that were recorded, and frees that were looked for
    uint64_t fruitless;   // of these, frees of blocks that were not recorded
    uint64_t bytes;       // that were allocated, sampled ones by their weight
    uint64_t blocks;      // likewise
    uint64_t timed;       // operations of which the time was taken
    uint64_t timed_ticks; // of the time stamp counter
};

// The number of a thread without a block, which owns nothing.
#define LP_NO_NUMBER 0xffff

struct lp_thread_block {
    uintptr_t busy;   // stack address of the hook at work in the block, 0: none
    uint16_t number;  // from 1
    bool is_measured; // auto mode wants to know what this thread does; atomic

    struct lp_work work;
    uintptr_t removing;     // the block that is being taken out of the live table, 0: none; atomic
    uint32_t counters_next; // records taken for this thread alone and not used yet
    uint32_t counters_end;
    struct lp_counter_place counters[LP_COUNTER_PLACES];

    uint32_t generation; // of the rules the kept stack was walked by
    uint32_t count;      // frames kept; the outermost is frame 0
    enum lp_stack_end end;
    uintptr_t end_slot; // the word that was 0 and ended the walk, 0: it ended in another way
    // Stack memory that is known to be readable, whole pages.
    uintptr_t readable_low;
    uintptr_t readable_high;
    struct lp_frame_state frames[LP_MAX_DEPTH];
    struct lp_frame_state fresh[LP_MAX_DEPTH]; // found in the walk under way, leaf first

    // Only in threads of an interpreter: the Python frames, likewise, and how both belong together.
    bool is_mixed;              // whether the kept stack is one of both
    uint32_t python_mallocs;    // calls of malloc itself that were recorded
    uint32_t python_generation; // of the code objects that the kept frames are of
    uint32_t python_count;
    bool is_python_cut;                // there are more Python frames than are kept
    int32_t excess;                    // calls of the evaluation loop for which there is no run
    uint8_t evaluations[LP_MAX_DEPTH]; // how many of frames[0...i] are calls of the evaluation loop
    struct lp_python_frame python[LP_MAX_DEPTH];
    struct lp_python_frame python_fresh[LP_MAX_DEPTH];
};

// Takes a block for this thread: a new one or one whose thread has ended. Never NULL; where there is
// none to be had, a block that is always busy.
struct lp_thread_block *lp_block_claim(void);

// Makes the first blocks, of which this thread takes one. Before any other thread records.
void lp_blocks_begin(void);

// The work of all threads so far.
struct lp_work lp_blocks_work(void);

// Says of all blocks whether auto mode wants to know what their threads do.
void lp_blocks_measure(bool is_measured);

// Calls `each` with the `removing` words that are not 0.
void lp_blocks_removing(void (*each)(uintptr_t address, void *list), void *list);

// Whether the mark in the busy `block` was left by a hook that a longjmp ended: `frame`, the stack
// address of the hook that asks, lies on the same stack but further out.
bool lp_block_is_abandoned(const struct lp_thread_block *block, uintptr_t frame);

// Adds to a field that this thread alone writes and others read. One instruction, so that a signal
// handler that adds to it as well comes before or after, never in between; without the lock that other
// writers would need.
static inline void lp_add_own(uint64_t *field, uint64_t amount) {
    __asm__ volatile("addq %1, %0" : "+m"(*field) : "er"(amount) : "cc");
}

// Gives this thread's block to the hook whose stack address is `frame`; NULL when an interrupted hook
// has it.
static inline struct lp_thread_block *lp_block_enter(uintptr_t frame) {
    struct lp_thread_block *block = lp_thread.block;
    if (__builtin_expect(block == NULL, 0)) block = lp_block_claim();
    if (__builtin_expect(block->busy != 0, 0) && !lp_block_is_abandoned(block, frame)) return NULL;
    block->busy = frame;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return block;
}

// The number of this thread's block, also when an interrupted hook has it.
static inline uint16_t lp_thread_number(void) {
    const struct lp_thread_block *block = lp_thread.block;
    return block == NULL ? LP_NO_NUMBER : block->number;
}

static inline void lp_block_leave(struct lp_thread_block *block) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (block != NULL) block->busy = 0;
}

#endif
