// Where the tables lie in a region, and how much of them is used.
#ifndef LEAKPROF_REGION_TABLES_H
#define LEAKPROF_REGION_TABLES_H

#include <stdint.h>

#include "region_layout.h"

// Divides a region of `bytes` among its tables and writes that into the header.
void lp_tables_lay_out(struct lp_header *header, uint64_t bytes);

// Points `lp_process` at the header and its tables.
void lp_tables_find(struct lp_header *header);

// Gives what was never used of the region back to the file system.
void lp_tables_trim(void);

#endif
