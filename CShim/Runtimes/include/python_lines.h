// CPython's line tables: Objects/lnotab_notes.txt up to 3.10, Objects/locations.md (3.11) and
// Objects/code_locations.md after it.
#ifndef LEAKPROF_PYTHON_LINES_H
#define LEAKPROF_PYTHON_LINES_H

#include <stdint.h>

// Returns the first offset in the bytecode that is of the same line as `offset`; `offset` itself when
// it is of no line. `table` has `bytes` bytes of the kind LP_LINES_*. Takes time in proportion to that.
uint32_t lp_python_line_start(uint32_t kind, const uint8_t *table, uint64_t bytes, uint32_t offset);

#endif
