#include "python_stack.h"

#include <stdbool.h>
#include <stddef.h>

#include "python.h"
#include "python_code.h"
#include "region_layout.h"

// How many kept frames are compared with one that is not the next expected.
#define SEARCH 8U

static uintptr_t word_at(uintptr_t object, uint16_t offset) {
    return *(const uintptr_t *)(object + offset);
}

static uintptr_t innermost(const struct lp_python_layout *layout) {
    uintptr_t thread = lp_python_thread(layout);
    if (thread == 0) return 0;
    uintptr_t frame = word_at(thread, layout->thread_frame);
    if (layout->cframe_frame == LP_PYTHON_ABSENT || frame == 0) return frame;
    return word_at(frame, layout->cframe_frame);
}

static uint64_t instruction_of(const struct lp_python_layout *layout, uintptr_t frame) {
    if (layout->position == LP_PYTHON_POINTER) return word_at(frame, layout->frame_at);
    return (uint64_t)(int64_t) * (const int32_t *)(frame + layout->frame_at);
}

// Whether the frame is of no function: the interpreter puts one where C calls it.
static bool is_internal(const struct lp_python_layout *layout, uintptr_t frame) {
    return layout->runs == LP_PYTHON_ENTRY_FRAME &&
           *(const uint8_t *)(frame + layout->frame_flag) >= layout->first_internal_owner;
}

// A code object's address; the low bits are the interpreter's own.
static uintptr_t code_of(const struct lp_python_layout *layout, uintptr_t frame) {
    return word_at(frame, layout->frame_code) & ~(uintptr_t)3;
}

static struct lp_python_frame read_frame(const struct lp_python_layout *layout, uintptr_t frame) {
    struct lp_python_frame read = {.frame = frame};
    if (is_internal(layout, frame)) {
        read.begins_run = true;
        return read;
    }
    uintptr_t code = code_of(layout, frame);
    // A frame that is being made, or of something that is no function.
    if (code == 0 || word_at(code, layout->type) != lp_python.code_type) return read;
    read.code = code;
    read.at = instruction_of(layout, frame);
    read.begins_run =
        layout->runs == LP_PYTHON_EACH_FRAME ||
        (layout->runs == LP_PYTHON_ENTRY_FLAG && *(const uint8_t *)(frame + layout->frame_flag) != 0);
    return read;
}

static inline bool is_unchanged(const struct lp_python_layout *layout,
                                const struct lp_python_frame *kept) {
    if (kept->code == 0) return kept->begins_run && is_internal(layout, kept->frame);
    return code_of(layout, kept->frame) == kept->code && !is_internal(layout, kept->frame) &&
           instruction_of(layout, kept->frame) == kept->at;
}

struct walk {
    struct lp_thread_block *block;
    uint32_t fresh;
    uint32_t left; // kept frames that may still be met
};

// Follows kept frames from number `from` outwards, which was met. Returns true when all of them are as
// they were; else notes those that are, and where the walk goes on is in `*frame`.
static bool follow(struct walk *walk, const struct lp_python_layout *layout, uint32_t from,
                   uintptr_t *frame) {
    const struct lp_python_frame *kept = walk->block->python;
    uint32_t index = from;
    for (;;) {
        if (!is_unchanged(layout, &kept[index])) {
            *frame = kept[index].frame;
            break;
        }
        uintptr_t caller = word_at(kept[index].frame, layout->frame_back);
        if (index == 0 && caller == 0) return true;
        if (index == 0 || caller != kept[index - 1].frame) {
            *frame = caller;
            index--; // this one is as it was, its caller is not; may wrap
            break;
        }
        // Its address is known from the last time: reading on must not wait for the word that was just
        // compared with it.
        index--;
    }
    walk->left = index + 1;
    for (uint32_t i = from; i != index && walk->fresh < LP_MAX_DEPTH; i--)
        walk->block->python_fresh[walk->fresh++] = kept[i];
    // What changed is read again, and must not be met again.
    if (walk->left > 0) walk->left--;
    return false;
}

// Finds the frame among the kept ones that may come next; returns its number plus one.
static uint32_t find(const struct walk *walk, uintptr_t frame) {
    for (uint32_t i = walk->left; i > 0 && walk->left - i < SEARCH; i--) {
        if (walk->block->python[i - 1].frame == frame) return i;
    }
    return 0;
}

// Puts the fresh frames behind the kept ones.
static void append(struct lp_thread_block *block, uint32_t fresh) {
    while (fresh > 0) {
        struct lp_python_frame *frame = &block->python[block->python_count];
        const struct lp_python_frame *outer = block->python_count == 0 ? NULL : frame - 1;
        *frame = block->python_fresh[--fresh];
        // What is left of a run that was cut is one, and two internal frames in a row make one.
        if (outer == NULL) frame->begins_run = true;
        if (outer != NULL && outer->code == 0 && outer->begins_run && frame->code == 0)
            frame->begins_run = false;
        frame->runs = (uint16_t)((outer == NULL ? 0 : outer->runs) + (frame->begins_run ? 1 : 0));
        frame->node = 0;
        block->python_count++;
    }
}

struct lp_python_change lp_python_walk(const struct lp_python_layout *layout,
                                       struct lp_thread_block *block) {
    uint32_t generation = lp_python_code_generation();
    if (block->python_generation != generation) {
        block->python_generation = generation;
        block->python_count = 0;
    }
    struct walk walk = {block, 0, block->python_count};
    uint32_t before = block->python_count;
    uint32_t kept = 0;
    uintptr_t frame = innermost(layout);
    while (frame != 0 && walk.fresh < LP_MAX_DEPTH) {
        uint32_t met = find(&walk, frame);
        if (met != 0) {
            if (follow(&walk, layout, met - 1, &frame)) {
                kept = met;
                break;
            }
            continue;
        }
        block->python_fresh[walk.fresh++] = read_frame(layout, frame);
        frame = word_at(frame, layout->frame_back);
    }
    // The frames nearest to the leaf are what tells most.
    if (kept + walk.fresh > LP_MAX_DEPTH) {
        for (uint32_t i = kept; i > 0 && walk.fresh < LP_MAX_DEPTH; i--)
            block->python_fresh[walk.fresh++] = block->python[i - 1];
        kept = 0;
    }
    block->is_python_cut = kept == 0 && walk.fresh == LP_MAX_DEPTH && frame != 0;
    block->python_count = kept;
    append(block, walk.fresh);
    return (struct lp_python_change){kept, walk.fresh > 0, before > kept};
}

// Where the frame's bytecode begins. A free-threaded interpreter has copies of it for its threads.
static uintptr_t bytecode_of(const struct lp_python_layout *layout,
                             const struct lp_python_frame *frame) {
    uintptr_t shared = frame->code + layout->code_bytecode;
    if (layout->code_bytecodes == LP_PYTHON_ABSENT) return shared;
    uintptr_t copies = word_at(frame->code, layout->code_bytecodes);
    int32_t number = *(const int32_t *)(frame->frame + layout->frame_bytecode);
    if (copies == 0 || number <= 0 || (uint64_t)number >= word_at(copies, 0)) return shared;
    return word_at(copies + 8 * (uintptr_t)number, 8);
}

uint64_t lp_python_word(const struct lp_python_layout *layout, const struct lp_python_frame *frame) {
    if (frame->code == 0) return 0;
    int64_t offset = (int64_t)frame->at;
    if (layout->position == LP_PYTHON_UNITS) offset *= 2;
    if (layout->position == LP_PYTHON_POINTER) offset -= (int64_t)bytecode_of(layout, frame);
    uint32_t code = lp_python_code(layout, frame->code);
    uint64_t place = 0;
    if (offset >= 0 && offset < INT32_MAX) {
        uint32_t at = (uint32_t)offset;
        if (code != 0) at = lp_python_code_line_start(layout, frame->code, code, at);
        place = (uint64_t)at + 1;
    }
    return LP_FRAME_PYTHON | (uint64_t)code << LP_PYTHON_CODE_SHIFT | place;
}
