#include "python_layout.h"

#include <stddef.h>

#include "region_layout.h"

// clang-format off
// NOLINTBEGIN(bugprone-macro-parentheses): what is put in are numbers
#define GIL_OBJECTS(ascii, data) \
    .type = 8, .bytes_length = 16, .bytes_data = 32, .text_length = 16, .text_state = 32, \
    .text_ascii = ascii, .text_data = data, .kind_shift = 2, .is_compact = 0x20, .is_ascii = 0x40
#define FREE_OBJECTS(shift, compact, all_ascii) \
    .type = 24, .bytes_length = 32, .bytes_data = 48, .text_length = 32, .text_state = 48, \
    .text_ascii = 56, .text_data = 72, .kind_shift = shift, .is_compact = compact, .is_ascii = all_ascii

#define FRAMES_38_TO_310(at, at_is) \
    .runs = LP_PYTHON_EACH_FRAME, .position = at_is, .thread_frame = 24, .cframe_frame = LP_PYTHON_ABSENT, \
    .thread_id = 176, .frame_back = 24, .frame_code = 32, .frame_at = at, .frame_flag = LP_PYTHON_ABSENT, \
    .frame_bytecode = LP_PYTHON_ABSENT, .code_file = 104, .code_name = 112, .code_first_line = 40, \
    .code_lines = 120, .code_bytecode = LP_PYTHON_ABSENT, .code_bytecodes = LP_PYTHON_ABSENT, \
    .frame_owner = LP_PYTHON_ABSENT, .code_traceable = LP_PYTHON_ABSENT
#define FRAMES_312(thread, cframe, id, owner, first) \
    .runs = LP_PYTHON_ENTRY_FRAME, .position = LP_PYTHON_POINTER, .first_internal_owner = first, \
    .lines = LP_LINES_LOCATIONS, .thread_frame = thread, .cframe_frame = cframe, .thread_id = id, \
    .frame_back = 8, .frame_code = 0, .frame_at = 56, .frame_flag = owner, .frame_owner = owner
#define CODE(file, line, traceable, bytecode) \
    .code_file = file, .code_name = (file) + 16, .code_first_line = line, .code_lines = (file) + 24, \
    .code_traceable = traceable, .code_bytecode = bytecode

static const struct lp_python_layout layouts[] = {
    {.minor = 8, FRAMES_38_TO_310(104, LP_PYTHON_BYTES), .lines = LP_LINES_NUMBERS, GIL_OBJECTS(48, 72)},
    {.minor = 9, FRAMES_38_TO_310(104, LP_PYTHON_BYTES), .lines = LP_LINES_NUMBERS, GIL_OBJECTS(48, 72)},
    {.minor = 10, FRAMES_38_TO_310(96, LP_PYTHON_UNITS), .lines = LP_LINES_RANGES, GIL_OBJECTS(48, 72)},
    {.minor = 11, .runs = LP_PYTHON_ENTRY_FLAG, .position = LP_PYTHON_POINTER, .lines = LP_LINES_LOCATIONS,
     .thread_frame = 56, .cframe_frame = 8, .thread_id = 152, .frame_back = 48, .frame_code = 32,
     .frame_at = 56, .frame_flag = 68, .frame_owner = 69, .frame_bytecode = LP_PYTHON_ABSENT,
     CODE(112, 72, 168, 184),
     .code_bytecodes = LP_PYTHON_ABSENT, GIL_OBJECTS(48, 72)},
    {.minor = 12, FRAMES_312(56, 0, 136, 70, 3), .frame_bytecode = LP_PYTHON_ABSENT, CODE(112, 68, 176, 192),
     .code_bytecodes = LP_PYTHON_ABSENT, GIL_OBJECTS(40, 56)},
    {.minor = 13, FRAMES_312(72, LP_PYTHON_ABSENT, 152, 70, 3), .frame_bytecode = LP_PYTHON_ABSENT,
     CODE(112, 68, 184, 200), .code_bytecodes = LP_PYTHON_ABSENT, GIL_OBJECTS(40, 56)},
    {.minor = 14, FRAMES_312(72, LP_PYTHON_ABSENT, 152, 74, 3), .frame_bytecode = LP_PYTHON_ABSENT,
     CODE(112, 68, 192, 208), .code_bytecodes = LP_PYTHON_ABSENT, GIL_OBJECTS(40, 56)},
    {.minor = 15, FRAMES_312(72, LP_PYTHON_ABSENT, 176, 74, 3), .frame_bytecode = LP_PYTHON_ABSENT,
     CODE(112, 68, 192, 208), .code_bytecodes = LP_PYTHON_ABSENT, GIL_OBJECTS(40, 56)},
    {.minor = 13, .is_free_threaded = true, FRAMES_312(72, LP_PYTHON_ABSENT, 152, 70, 3),
     .frame_bytecode = LP_PYTHON_ABSENT, CODE(128, 84, 200, 216), .code_bytecodes = LP_PYTHON_ABSENT,
     FREE_OBJECTS(2, 0x20, 0x40)},
    {.minor = 14, .is_free_threaded = true, FRAMES_312(72, LP_PYTHON_ABSENT, 152, 78, 3),
     .frame_bytecode = 72, CODE(128, 84, 208, 232), .code_bytecodes = 224, FREE_OBJECTS(8, 0x800, 0x1000)},
    {.minor = 15, .is_free_threaded = true, FRAMES_312(72, LP_PYTHON_ABSENT, 176, 78, 3),
     .frame_bytecode = 72, CODE(128, 84, 208, 232), .code_bytecodes = 224, FREE_OBJECTS(8, 0x800, 0x1000)},
};
// NOLINTEND(bugprone-macro-parentheses)
// clang-format on

const struct lp_python_layout *lp_python_layout_of(unsigned minor, bool is_free_threaded) {
    for (unsigned i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        if (layouts[i].minor == minor && layouts[i].is_free_threaded == is_free_threaded)
            return &layouts[i];
    }
    return NULL;
}
