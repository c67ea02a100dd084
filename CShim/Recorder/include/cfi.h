// Call frame information: reads .eh_frame, as the Linux Standard Base 5.0 core specification (chapter
// 10.6) and DWARF 5 (section 6.4) define it.
#ifndef LEAKPROF_CFI_H
#define LEAKPROF_CFI_H

#include <stdint.h>

// A readable piece of memory.
struct lp_segment {
    uintptr_t start;
    uintptr_t end;
};

// What unwind information says about the instruction at `address`: a rule (unwind_rule.h) without
// module index. `header` is the .eh_frame_hdr of the module that `address` lies in, and
// `segment` a readable piece around it, which may be empty: what lies outside of it takes system calls
// to try. Reads only what is mapped, whatever the tables say; allocates nothing and takes no lock; work
// is bounded by the size of one function's entry. Any thread, also in signal handlers.
uint64_t lp_cfi_rule(uintptr_t address, const void *header, const struct lp_segment *segment);

#endif
