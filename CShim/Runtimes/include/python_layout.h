// Where CPython keeps what is read of it, per version.
//
// The offsets were computed from each version's own headers and compared with what the interpreters
// themselves hold; those from 3.13 on also with _Py_DebugOffsets
// (Include/internal/pycore_debug_offsets.h). They are the same in all releases of a minor version.
#ifndef LEAKPROF_PYTHON_LAYOUT_H
#define LEAKPROF_PYTHON_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#define LP_PYTHON_ABSENT UINT16_MAX

// How many interpreter calls a C frame of the evaluation loop stands for.
enum lp_python_runs {
    LP_PYTHON_EACH_FRAME,  // one
    LP_PYTHON_ENTRY_FLAG,  // all up to the frame that has a flag set
    LP_PYTHON_ENTRY_FRAME, // all up to a frame that is none of a function, see first_internal_owner
};

// What `frame_at` holds.
enum lp_python_position {
    LP_PYTHON_BYTES,   // an int: the offset in bytes
    LP_PYTHON_UNITS,   // an int: the offset in units of 2 bytes
    LP_PYTHON_POINTER, // the instruction's address
};

// Offsets in bytes.
struct lp_python_layout {
    uint8_t minor;
    bool is_free_threaded;
    uint8_t runs;     // enum lp_python_runs
    uint8_t position; // enum lp_python_position
    uint8_t lines;    // LP_LINES_*
    uint8_t first_internal_owner;

    uint16_t thread_frame;   // in PyThreadState: the innermost frame, or where that is told
    uint16_t cframe_frame;   // in what that leads to, LP_PYTHON_ABSENT: it leads to the frame
    uint16_t thread_id;      // pthread_self() of its thread: with glibc, its thread pointer
    uint16_t frame_back;     // in a frame: its caller
    uint16_t frame_code;     // its code object, in the upper bits
    uint16_t frame_at;       // the instruction
    uint16_t frame_flag;     // owner or entry flag, one byte
    uint16_t frame_owner;    // one byte, LP_PYTHON_ABSENT: none
    uint16_t frame_bytecode; // number of the thread's own copy of the bytecode, LP_PYTHON_ABSENT: none
    uint16_t code_file;
    uint16_t code_name;
    uint16_t code_first_line;
    uint16_t code_lines;
    uint16_t code_traceable; // an int: the first unit of bytecode that is the function's,
                             // LP_PYTHON_ABSENT: 0
    uint16_t code_bytecode;  // where the bytecode begins
    uint16_t code_bytecodes; // the threads' copies of it, LP_PYTHON_ABSENT: none

    uint16_t type;         // in every object
    uint16_t bytes_length; // in bytes objects
    uint16_t bytes_data;
    uint16_t text_length; // in str objects, in characters
    uint16_t text_state;  // 32 bits
    uint16_t text_ascii;  // the characters when all are ASCII
    uint16_t text_data;   // else
    uint8_t kind_shift;   // the bytes per character in `text_state`: three bits
    uint16_t is_compact;  // masks: the characters follow the object
    uint16_t is_ascii;
};

// The layout of this version; NULL when it is not known.
const struct lp_python_layout *lp_python_layout_of(unsigned minor, bool is_free_threaded);

#endif
