// The dynamic symbols of a module that is loaded, without the loader's help: dlsym() takes its lock,
// and does not see what a program has opened for itself alone (RTLD_LOCAL).
#ifndef LEAKPROF_ELF_SYMBOLS_H
#define LEAKPROF_ELF_SYMBOLS_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

struct lp_symbols {
    uintptr_t load_bias;
    const ElfW(Sym) * table; // NULL: it has none
    const char *names;
    const ElfW(Half) * versions; // NULL: none
    const uint32_t *gnu_hash;    // NULL: none
    const uint32_t *system_hash; // NULL: none
};

// Of the module with these program headers, which must stay loaded while the result is used.
struct lp_symbols lp_symbols_of(uintptr_t load_bias, const ElfW(Phdr) * segments, unsigned count);

// The function or object of this name that the module defines, and that a new program would be bound
// to; NULL when it defines none.
const ElfW(Sym) * lp_symbols_find(const struct lp_symbols *symbols, const char *name);

// Where the symbol's function or object is.
static inline void *lp_symbol_address(const struct lp_symbols *symbols, const ElfW(Sym) * symbol) {
    return (void *)(symbols->load_bias + symbol->st_value);
}

#endif
