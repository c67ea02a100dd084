// What the loader knows of the modules in this process: where they lie and where their unwind
// information is.
//
// Since 2.35 glibc answers that without a lock, in _dl_find_object(). Before, dl_iterate_phdr() has to
// be asked, which takes the loader's lock: so what it said is kept, and it is asked again only for an
// address that is in no module known so far.
#ifndef LEAKPROF_LOADER_H
#define LEAKPROF_LOADER_H

#include <stdbool.h>
#include <stdint.h>

struct lp_loaded {
    uintptr_t start;
    uintptr_t end;
    uintptr_t load_bias;
    const void *unwind_header; // .eh_frame_hdr, NULL: it has none
    const char *path;          // the loader's, there as long as the module is; "" for the program
};

// Finds out which way there is. Once per process image, in the constructor, before the functions below;
// false when there is none.
bool lp_loader_begin(void);

// Fills `*loaded` with the module that contains `address`; false when none does. Before glibc 2.35 it
// may be a module that is no more: then another one lies where its first page was. Any thread, also in
// signal handlers.
bool lp_loader_find(uintptr_t address, struct lp_loaded *loaded);

// Forgets what was kept: a module may have been unloaded.
void lp_loader_forget(void);

// dlsym(RTLD_DEFAULT or RTLD_NEXT, name) where there is a dlsym: before glibc 2.34 it is in libdl,
// which not every program loads. NULL where there is none.
void *lp_loader_symbol(void *scope, const char *name);

#endif
