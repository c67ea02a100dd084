// Copies of the region that the target writes itself, for hosts where no analyzer is installed.
#ifndef LEAKPROF_REGION_COPY_H
#define LEAKPROF_REGION_COPY_H

#include "region_file.h"

// lp_recorder_copy()'s result when there is no region: -ENODATA on Linux.
#define LP_COPY_NOT_RECORDING (-61)

// Makes `signal` write a copy, unless the program has given that signal a meaning already. The
// constructor runs before the program's own code, so a program that wants the signal takes it over.
void lp_region_copy_on_signal(int signal);

// See lp_recorder_copy().
int lp_region_copy(const char *directory, const struct lp_identity *identity, const char *name);

#endif
