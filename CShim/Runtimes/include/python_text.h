// Python's strings, read in place.
#ifndef LEAKPROF_PYTHON_TEXT_H
#define LEAKPROF_PYTHON_TEXT_H

#include <stdint.h>

#include "python_layout.h"

// Writes the str object at `text` as UTF-8 to `bytes`, at most `capacity` of it, whole characters;
// returns how many bytes. With `bytes` NULL it counts only. Half surrogates that stand for undecodable
// bytes (PEP 383) become those bytes again. What is no compact string is empty.
uint32_t lp_python_text(const struct lp_python_layout *layout, uintptr_t text, char *bytes,
                        uint32_t capacity);

#endif
