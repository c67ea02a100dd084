#include "symbol_search.h"

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf_symbols.h"

struct search {
    const char *name;
    bool is_behind_shim;
    void *found;
};

static bool contains(const struct dl_phdr_info *info, uintptr_t address) {
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && address >= start && address - start < segment->p_memsz)
            return true;
    }
    return false;
}

static int search_module(struct dl_phdr_info *info, size_t bytes, void *argument) {
    (void)bytes;
    struct search *search = argument;
    if (!search->is_behind_shim) {
        search->is_behind_shim = contains(info, (uintptr_t)&lp_search_symbol);
        return 0;
    }
    struct lp_symbols symbols = lp_symbols_of(info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum);
    const ElfW(Sym) *symbol = lp_symbols_find(&symbols, search->name);
    if (symbol == NULL || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC) return 0;
    search->found = lp_symbol_address(&symbols, symbol);
    return 1;
}

static void *search_from(const char *name, bool begins_at_first) {
    struct search search = {name, begins_at_first, NULL};
    dl_iterate_phdr(search_module, &search);
    return search.found;
}

void *lp_search_symbol(const char *name) {
    return search_from(name, false);
}

void *lp_search_first_symbol(const char *name) {
    return search_from(name, true);
}
