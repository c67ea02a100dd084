// How the two belong together. A C frame of the interpreter's evaluation loop executes a run of Python
// frames: one up to CPython 3.10, since then all that call each other without C in between. Python's
// frames tell where runs begin. So the innermost evaluation belongs to the innermost run, the next to
// the next, and a run's frames stand behind its evaluation:
//
//     main → … → evaluation → index → get_data → C function → malloc
//
// The two ends of this can differ in number: the native stack may be cut at its outer end, and the
// compiler may have moved parts of the evaluation loop elsewhere, which are not recognized. Then what
// is outermost stands alone.
//
// The evaluation loop's own return address says which kind of instruction is executed. It would make
// a stack of its own of every kind, so the loop's first address stands for it.
#include "mixed_stack.h"

#include <stddef.h>

#include "modules.h"
#include "process.h"
#include "python.h"
#include "python_code.h"
#include "python_stack.h"
#include "stack_table.h"

struct mix {
    const struct lp_python_layout *layout;
    struct lp_thread_block *block;
    uint32_t python; // the Python frame that is next
    uint32_t node;
    bool is_lost; // the stack table is full
};

static void add(struct mix *mix, uint64_t word) {
    if (mix->is_lost || word == 0) return;
    mix->node = lp_stack_child(mix->node, word);
    mix->is_lost = mix->node == 0;
}

// All that decides on the step: what else would have to be looked up is the code object's, which its
// address and the generation stand for.
static uint64_t step_of(const struct mix *mix, const struct lp_python_frame *frame) {
    const uint64_t factor = 0x9e3779b97f4a7c15ULL;
    uint32_t generation =
        lp_load_acquire_u32(lp_python_generation_of(lp_python_code_of(frame->code_word)));
    uint64_t step = ((uint64_t)generation << 32 | mix->node) * factor;
    step = ((step ^ step >> 29) ^ frame->code_word) * factor;
    return ((step ^ step >> 29) ^ frame->at_word) * factor;
}

// Adds a Python frame. Programs go the same ways again and again: what was found out once about a step
// needs no looking up of code object, line and node.
static void add_python(struct mix *mix, struct lp_python_frame *frame) {
    if (mix->is_lost) return;
    uint64_t step = step_of(mix, frame);
    uint32_t known = lp_python_known_step(step);
    if (known != 0) {
        mix->node = known;
        return;
    }
    bool is_lasting;
    add(mix, lp_python_word(mix->layout, frame, &is_lasting));
    if (is_lasting && !mix->is_lost) lp_python_note_step(step, mix->node);
}

static bool is_evaluation(const struct lp_thread_block *block, uint32_t i) {
    return block->evaluations[i] != (i == 0 ? 0 : block->evaluations[i - 1]);
}

// An interpreter in a library, or one that is the program itself, consists of nothing but the
// interpreter; a program that only contains one does not.
static void note_module(uint32_t module) {
    if (lp_load_relaxed_u32(&lp_process.python_module) != 0) return;
    if (module != 1 || lp_module_is_named(module, "python"))
        lp_store_relaxed_u32(&lp_process.python_module, module);
}

// Counts the evaluations among frames that were not there the last time.
static uint32_t count_evaluations(struct lp_thread_block *block, uint32_t native_kept) {
    uint32_t count = native_kept == 0 ? 0 : block->evaluations[native_kept - 1];
    for (uint32_t i = native_kept; i < block->count; i++) {
        // A return address right behind the function belongs to its last call.
        if (block->frames[i].pc - 1 - lp_python.evaluator < lp_python.evaluator_bytes) {
            count++;
            note_module(block->frames[i].module);
        }
        block->evaluations[i] = (uint8_t)count;
    }
    return count;
}

static uint32_t count_runs(const struct lp_thread_block *block) {
    return block->python_count == 0 ? 0 : block->python[block->python_count - 1].runs;
}

// Adds the Python frames up to the end of run number `run`, from 1.
static void add_run(struct mix *mix, uint32_t run) {
    struct lp_thread_block *block = mix->block;
    if (mix->python == 0 && block->is_python_cut && run > 0) add(mix, LP_FRAME_TRUNCATED_DEPTH);
    for (; mix->python < block->python_count; mix->python++) {
        struct lp_python_frame *frame = &block->python[mix->python];
        if (frame->runs > run) return;
        add_python(mix, frame);
        frame->node = mix->node;
    }
}

// Whether the native frame is the interpreter's own, which only shows how it works. What comes first
// stays: a stack begins with something.
static bool is_folded(const struct mix *mix, uint32_t i) {
    uint32_t module = lp_load_relaxed_u32(&lp_process.python_module);
    return mix->node != 0 && module != 0 && mix->block->frames[i].module == module &&
           !lp_python.is_native && mix->block->python_count > 0;
}

// Adds an evaluation, without its run.
static void add_evaluation(struct mix *mix, uint32_t i) {
    const struct lp_frame_state *frame = &mix->block->frames[i];
    if (is_folded(mix, i)) return;
    add(mix, lp_frame(lp_python.evaluator + 1, frame->module));
}

static void add_native(struct mix *mix, uint32_t i) {
    const struct lp_frame_state *frame = &mix->block->frames[i];
    if (is_folded(mix, i)) return;
    if (__builtin_expect(frame->rbp_slot == LP_RBP_GUESSED, 0)) add(mix, LP_FRAME_GUESSED);
    add(mix, lp_frame(frame->pc, frame->module));
}

// Adds the native frames from number `from` inwards, and the runs that belong to them.
static uint32_t add_from(struct mix *mix, uint32_t from) {
    struct lp_thread_block *block = mix->block;
    for (uint32_t i = from; i < block->count; i++) {
        int32_t run = is_evaluation(block, i) ? block->evaluations[i] - block->excess : 0;
        if (run > 0) {
            add_evaluation(mix, i);
            add_run(mix, (uint32_t)run);
        } else {
            add_native(mix, i);
        }
        block->frames[i].node = mix->is_lost ? 0 : mix->node;
    }
    if (mix->is_lost) {
        lp_count(LP_STAT_STACKS_LOST, 1);
        return 0;
    }
    return mix->node;
}

// Takes up `mix` behind the first `native_kept` native frames and what belongs to them.
static void take_up(struct mix *mix, uint32_t native_kept) {
    struct lp_thread_block *block = mix->block;
    uint32_t runs = 0;
    if (native_kept > 0) {
        runs = block->evaluations[native_kept - 1];
        mix->node = block->frames[native_kept - 1].node;
        mix->is_lost = mix->node == 0;
    }
    while (mix->python > 0 && block->python[mix->python - 1].runs > runs) mix->python--;
}

// Where a change among the Python frames makes an earlier beginning necessary: the number of the
// evaluation whose run is changed, from 1; UINT32_MAX when there is none.
static uint32_t changed_run(const struct lp_thread_block *block, struct lp_python_change change) {
    if (!change.is_longer && !change.is_shorter) return UINT32_MAX;
    if (change.kept == 0) return 1;
    uint32_t last_kept = block->python[change.kept - 1].runs;
    // Those that are gone may have been of the last kept frame's run.
    return change.is_shorter ? last_kept : block->python[change.kept].runs;
}

// Takes up `mix` in run number `run`, behind the Python frames that are kept; returns the native frame
// that follows.
static uint32_t take_up_in_run(struct mix *mix, uint32_t run) {
    struct lp_thread_block *block = mix->block;
    // It is among the innermost, most of the time.
    uint32_t i = block->count - 1;
    while (i > 0 && block->evaluations[i - 1] >= run) i--;
    if (mix->python > 0 && block->python[mix->python - 1].runs == run &&
        block->python[mix->python - 1].node != 0) {
        mix->node = block->python[mix->python - 1].node;
    } else {
        while (mix->python > 0 && block->python[mix->python - 1].runs >= run) mix->python--;
        if (i > 0) mix->node = block->frames[i - 1].node;
        mix->is_lost = i > 0 && mix->node == 0;
        add_evaluation(mix, i);
    }
    add_run(mix, run);
    block->frames[i].node = mix->is_lost ? 0 : mix->node;
    return i + 1;
}

uint32_t lp_mixed_intern(const struct lp_python_layout *layout, struct lp_thread_block *block,
                         uint32_t native_kept, uint64_t *marker) {
    if (!block->is_mixed) {
        // The interpreter was found after the stack was kept, or the block is a new thread's.
        block->is_mixed = true;
        block->python_count = 0;
        native_kept = 0;
    }
    struct lp_python_change change = lp_python_walk(layout, block);
    uint32_t evaluations = count_evaluations(block, native_kept);
    int32_t excess = (int32_t)evaluations - (int32_t)count_runs(block);
    bool is_even = excess == 0 && block->excess == 0 && !block->is_python_cut;
    block->excess = excess;
    // Of a native stack that is cut, the part that is missing has nothing to say where all Python
    // frames are there.
    if (*marker == LP_FRAME_TRUNCATED_DEPTH && excess < 0 && !block->is_python_cut &&
        !lp_python.is_native)
        *marker = 0;
    struct mix mix = {layout, block, change.kept, 0, false};
    uint32_t from = 0;
    if (is_even) {
        uint32_t run = changed_run(block, change);
        uint32_t kept_runs = native_kept == 0 ? 0 : block->evaluations[native_kept - 1];
        if (run == UINT32_MAX && native_kept == block->count && native_kept > 0)
            return block->frames[native_kept - 1].node;
        if (run <= kept_runs) {
            if (run == 1) add(&mix, *marker);
            from = take_up_in_run(&mix, run);
            return add_from(&mix, from);
        }
        take_up(&mix, native_kept);
        from = native_kept;
    } else {
        mix.python = 0;
    }
    if (from == 0) add(&mix, *marker);
    if (from == 0 && excess < 0) add_run(&mix, (uint32_t)-excess);
    return add_from(&mix, from);
}

bool lp_python_intern(const struct lp_python_layout *layout, struct lp_thread_block *block,
                      uint32_t *node) {
    if (!block->is_mixed) block->python_count = 0;
    block->is_mixed = true;
    struct lp_python_change change = lp_python_walk(layout, block);
    if (block->python_count == 0) return false;
    if (change.kept == block->python_count && !change.is_longer) {
        *node = block->python[change.kept - 1].node;
        if (*node != 0) return true;
    }
    struct mix mix = {layout, block, change.kept, 0, false};
    if (change.kept > 0) mix.node = block->python[change.kept - 1].node;
    if (mix.node == 0) mix.python = 0;
    if (block->is_python_cut) lp_count(LP_STAT_TRUNCATED_DEPTH, 1);
    add_run(&mix, UINT32_MAX);
    // Not one of them is a function that has begun.
    if (mix.node == 0 && !mix.is_lost) return false;
    if (mix.is_lost) lp_count(LP_STAT_STACKS_LOST, 1);
    *node = mix.is_lost ? 0 : mix.node;
    return true;
}
