// dlsym(RTLD_NEXT) where there is no dlsym: before glibc 2.34, in programs that do without libdl.
#ifndef LEAKPROF_SYMBOL_SEARCH_H
#define LEAKPROF_SYMBOL_SEARCH_H

// The function `name` of the first module loaded behind the shim that defines it, NULL when none does.
// Reads the symbol tables that the loader reads (System V ABI, chapter 5; GNU hash tables). Takes the
// loader's lock, allocates nothing.
void *lp_search_symbol(const char *name);

// The same from the program itself on: what every module but the very first definition's is bound to.
void *lp_search_first_symbol(const char *name);

#endif
