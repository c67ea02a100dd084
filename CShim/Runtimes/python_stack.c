#include "python_stack.h"

#include <stdbool.h>
#include <stddef.h>

#include "python.h"
#include "python_code.h"
#include "region_layout.h"

// How many kept frames are compared with one that is not the next expected.
#define SEARCH 8U

// In a frame's owner.
#define OWNED_BY_GENERATOR 1

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

// Whether the frame is of no function: the interpreter puts one where C calls it.
static bool is_internal(const struct lp_python_layout *layout, uintptr_t frame) {
    return layout->runs == LP_PYTHON_ENTRY_FRAME &&
           *(const uint8_t *)(frame + layout->frame_flag) >= layout->first_internal_owner;
}

static struct lp_python_frame read_frame(const struct lp_python_layout *layout, uintptr_t frame) {
    struct lp_python_frame read = {
        .frame = frame,
        .code_word = word_at(frame, layout->frame_code),
        .at_word = word_at(frame, layout->frame_at),
        .back_word = word_at(frame, layout->frame_back),
        .code = UINT32_MAX,
    };
    if (is_internal(layout, frame)) {
        read.begins_run = true;
        return read;
    }
    uintptr_t code = lp_python_code_of(read.code_word);
    // A frame that is being made, or of something that is no function.
    if (code == 0 || word_at(code, layout->type) != lp_python.code_type) return read;
    read.is_of_function = true;
    read.begins_run =
        layout->runs == LP_PYTHON_EACH_FRAME ||
        (layout->runs == LP_PYTHON_ENTRY_FLAG && *(const uint8_t *)(frame + layout->frame_flag) != 0);
    return read;
}

struct walk {
    struct lp_thread_block *block;
    uint32_t fresh;
    uint32_t left;    // kept frames that may still be met
    uint32_t changed; // number plus one of the kept frame that is read again, 0: none
};

// Follows kept frames from number `from` outwards, which was met. Returns true when all of them are as
// they were; else notes those that are, and where the walk goes on is in `*frame`.
static bool follow(struct walk *walk, const struct lp_python_layout *layout, uint32_t from,
                   uintptr_t *frame) {
    uintptr_t code = layout->frame_code, at = layout->frame_at, back = layout->frame_back;
    const struct lp_python_frame *outermost = walk->block->python;
    int32_t index = (int32_t)from;
    // The kept frames are each other's callers, so their addresses need not be waited for.
    if (layout->position == LP_PYTHON_POINTER) {
        // An instruction's address is of one code object alone.
        for (; index >= 0; index--) {
            const struct lp_python_frame *kept = outermost + index;
            uint64_t changed = (*(const uint64_t *)(kept->frame + at) ^ kept->at_word) |
                               (*(const uint64_t *)(kept->frame + back) ^ kept->back_word);
            if (changed != 0) break;
        }
    } else {
        for (; index >= 0; index--) {
            const struct lp_python_frame *kept = outermost + index;
            uint64_t changed = (*(const uint64_t *)(kept->frame + code) ^ kept->code_word) |
                               (*(const uint64_t *)(kept->frame + at) ^ kept->at_word) |
                               (*(const uint64_t *)(kept->frame + back) ^ kept->back_word);
            if (changed != 0) break;
        }
    }
    *frame = index < 0 ? outermost[0].back_word : outermost[index].frame;
    if (index < 0 && *frame == 0) return true;
    walk->changed = (uint32_t)(index + 1);
    // Frame number `index` is the first that is not as it was; -1 when it is not even there.
    for (int32_t i = (int32_t)from; i != index && walk->fresh < LP_MAX_DEPTH; i--)
        walk->block->python_fresh[walk->fresh++] = outermost[i];
    // It must not be met again.
    walk->left = index > 0 ? (uint32_t)index : 0;
    return false;
}

// Finds the frame among the kept ones that may come next; returns its number plus one. What is not
// found is read anew.
static uint32_t find(const struct lp_python_layout *layout, struct walk *walk, uintptr_t frame) {
    const struct lp_python_frame *kept = walk->block->python;
    if (layout->runs != LP_PYTHON_EACH_FRAME) {
        // Since 3.11 most frames lie on a stack of their own, which grows upwards.
        while (walk->left > 0 && kept[walk->left - 1].frame > frame) walk->left--;
        return walk->left > 0 && kept[walk->left - 1].frame == frame ? walk->left : 0;
    }
    for (uint32_t i = walk->left; i > 0 && walk->left - i < SEARCH; i--) {
        if (kept[i - 1].frame == frame) return i;
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
        if (outer != NULL && !outer->is_of_function && outer->begins_run && !frame->is_of_function)
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
    struct walk walk = {block, 0, block->python_count, 0};
    uint32_t before = block->python_count;
    uint32_t kept = 0;
    uintptr_t frame = innermost(layout);
    while (frame != 0 && walk.fresh < LP_MAX_DEPTH) {
        uint32_t met = find(layout, &walk, frame);
        if (met != 0) {
            if (follow(&walk, layout, met - 1, &frame)) {
                kept = met;
                break;
            }
            continue;
        }
        struct lp_python_frame *read = &block->python_fresh[walk.fresh++];
        *read = read_frame(layout, frame);
        if (walk.changed != 0) {
            // The same function further on: its code object need not be looked up again.
            const struct lp_python_frame *kept_one = &block->python[walk.changed - 1];
            if (kept_one->code_word == read->code_word) read->code = kept_one->code;
            walk.changed = 0;
        }
        frame = word_at(frame, layout->frame_back);
    }
    bool is_cut = kept == 0 && frame != 0;
    // The frames nearest to the leaf are what tells most.
    if (kept + walk.fresh > LP_MAX_DEPTH) {
        for (uint32_t i = kept; i > 0 && walk.fresh < LP_MAX_DEPTH; i--)
            block->python_fresh[walk.fresh++] = block->python[i - 1];
        kept = 0;
        is_cut = true;
    }
    block->is_python_cut = is_cut;
    block->python_count = kept;
    append(block, walk.fresh);
    return (struct lp_python_change){kept, walk.fresh > 0, before > kept};
}

// Where the frame's bytecode begins. A free-threaded interpreter has copies of it for its threads.
static uintptr_t bytecode_of(const struct lp_python_layout *layout, uintptr_t code, uintptr_t frame) {
    uintptr_t shared = code + layout->code_bytecode;
    if (layout->code_bytecodes == LP_PYTHON_ABSENT) return shared;
    uintptr_t copies = word_at(code, layout->code_bytecodes);
    int32_t number = *(const int32_t *)(frame + layout->frame_bytecode);
    if (copies == 0 || number <= 0 || (uint64_t)number >= word_at(copies, 0)) return shared;
    return word_at(copies + 8 * (uintptr_t)number, 8);
}

// The offset of the frame's instruction in its bytecode, negative before the first.
static int64_t offset_of(const struct lp_python_layout *layout, const struct lp_python_frame *frame) {
    switch (layout->position) {
    case LP_PYTHON_BYTES: return (int32_t)frame->at_word;
    case LP_PYTHON_UNITS: return (int64_t)(int32_t)frame->at_word * 2;
    default:
        return (int64_t)(frame->at_word -
                         bytecode_of(layout, lp_python_code_of(frame->code_word), frame->frame));
    }
}

// Whether the instruction is before those of the function itself: if so, its cells and its generator
// are being made, which CPython counts as its caller's doing, or the generator begins.
static bool is_at_beginning(const struct lp_python_layout *layout, const struct lp_python_frame *frame,
                            int64_t offset) {
    if (layout->code_traceable == LP_PYTHON_ABSENT) return false;
    int32_t first = *(const int32_t *)(lp_python_code_of(frame->code_word) + layout->code_traceable);
    return offset < 2 * (int64_t)first;
}

static bool is_of_generator(const struct lp_python_layout *layout,
                            const struct lp_python_frame *frame) {
    return *(const uint8_t *)(frame->frame + layout->frame_owner) == OWNED_BY_GENERATOR;
}

uint64_t lp_python_word(const struct lp_python_layout *layout, struct lp_python_frame *frame,
                        bool *is_lasting) {
    *is_lasting = false;
    if (!frame->is_of_function) return 0;
    int64_t offset = offset_of(layout, frame);
    bool is_beginning = is_at_beginning(layout, frame, offset);
    if (is_beginning && !is_of_generator(layout, frame)) return 0;
    uintptr_t code = lp_python_code_of(frame->code_word);
    if (frame->code == UINT32_MAX) frame->code = lp_python_code(layout, code);
    *is_lasting = !is_beginning && frame->code != 0;
    uint64_t place = 0;
    if (offset >= 0 && offset < INT32_MAX) {
        place = frame->code == 0 ? (uint64_t)offset + 1
                                 : lp_python_code_place(layout, code, frame->code, (uint32_t)offset);
    }
    return LP_FRAME_PYTHON | (uint64_t)frame->code << LP_PYTHON_CODE_SHIFT | place;
}
