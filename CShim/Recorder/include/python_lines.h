// CPython's line tables: Objects/lnotab_notes.txt up to 3.10, Objects/locations.md (3.11) and
// Objects/code_locations.md after it.
//
// Not beside the others of Runtimes: tests compare it with the analyzer's reading.
#ifndef LEAKPROF_PYTHON_LINES_H
#define LEAKPROF_PYTHON_LINES_H

#include <stdbool.h>
#include <stdint.h>

// A stretch of bytecode that is of one line, and how the table goes on behind it.
struct lp_line_stretch {
    uint32_t next; // offset in the table
    uint32_t start;
    uint32_t end;
    int32_t line; // counted from the first line
    bool has_line;
    int32_t pending; // what the entry that ended this stretch adds to the line
};

// Where every table begins.
#define LP_LINES_BEGIN ((struct lp_line_stretch){.has_line = true})

// Moves `*stretch` on to the one that `offset` lies in; false when the table has none. What lies before
// it is not looked at: it must be of this table, and not behind `offset`. `table` has `bytes` bytes of
// the kind LP_LINES_*. Takes time in proportion to what is passed.
bool lp_python_find_line(uint32_t kind, const uint8_t *table, uint64_t bytes, uint32_t offset,
                         struct lp_line_stretch *stretch);

// Returns the first offset in the bytecode that is of the same line as `offset`; `offset` itself when
// it is of no line. Takes time in proportion to the table's length.
uint32_t lp_python_line_start(uint32_t kind, const uint8_t *table, uint64_t bytes, uint32_t offset);

#endif
