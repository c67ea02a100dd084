#include "symbol_search.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HIDDEN_VERSION 0x8000

// A module's dynamic symbols.
struct symbols {
    const ElfW(Sym) * table;
    const char *names;
    const ElfW(Half) * versions; // NULL: none
    const uint32_t *gnu_hash;    // NULL: none
    const uint32_t *system_hash; // NULL: none
};

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

static struct symbols symbols_of(const struct dl_phdr_info *info) {
    struct symbols symbols = {NULL, NULL, NULL, NULL, NULL};
    const ElfW(Dyn) *entry = NULL;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            entry = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    }
    for (; entry != NULL && entry->d_tag != DT_NULL; entry++) {
        // The loader has made addresses of the offsets, but not in the vDSO.
        uintptr_t address = entry->d_un.d_ptr;
        if (address < info->dlpi_addr) address += info->dlpi_addr;
        if (entry->d_tag == DT_SYMTAB) symbols.table = (const ElfW(Sym) *)address;
        if (entry->d_tag == DT_STRTAB) symbols.names = (const char *)address;
        if (entry->d_tag == DT_VERSYM) symbols.versions = (const ElfW(Half) *)address;
        if (entry->d_tag == DT_GNU_HASH) symbols.gnu_hash = (const uint32_t *)address;
        if (entry->d_tag == DT_HASH) symbols.system_hash = (const uint32_t *)address;
    }
    return symbols;
}

// Whether symbol `index` is a definition of `name` that a new program would be bound to.
static bool is_match(const struct symbols *symbols, uint32_t index, const char *name) {
    const ElfW(Sym) *symbol = &symbols->table[index];
    if (symbol->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC) return false;
    if (symbols->versions != NULL && (symbols->versions[index] & HIDDEN_VERSION) != 0) return false;
    return strcmp(symbols->names + symbol->st_name, name) == 0;
}

static uint32_t search_gnu(const struct symbols *symbols, const char *name) {
    uint32_t hash = 5381;
    for (const char *c = name; *c != '\0'; c++) hash = hash * 33 + (unsigned char)*c;
    const uint32_t *table = symbols->gnu_hash;
    uint32_t bucket_count = table[0], first = table[1], bloom_words = table[2];
    const uint32_t *buckets = table + 4 + bloom_words * (sizeof(ElfW(Addr)) / 4);
    const uint32_t *chains = buckets + bucket_count;
    uint32_t index = bucket_count == 0 ? 0 : buckets[hash % bucket_count];
    for (; index >= first && index != 0; index++) {
        uint32_t chained = chains[index - first];
        if ((chained | 1) == (hash | 1) && is_match(symbols, index, name)) return index;
        if ((chained & 1) != 0) break;
    }
    return 0;
}

static uint32_t search_system(const struct symbols *symbols, const char *name) {
    uint32_t count = symbols->system_hash[1];
    for (uint32_t index = 1; index < count; index++) {
        if (is_match(symbols, index, name)) return index;
    }
    return 0;
}

static int search_module(struct dl_phdr_info *info, size_t bytes, void *argument) {
    (void)bytes;
    struct search *search = argument;
    if (!search->is_behind_shim) {
        search->is_behind_shim = contains(info, (uintptr_t)&lp_search_symbol);
        return 0;
    }
    struct symbols symbols = symbols_of(info);
    if (symbols.table == NULL || symbols.names == NULL) return 0;
    uint32_t index = 0;
    if (symbols.gnu_hash != NULL) {
        index = search_gnu(&symbols, search->name);
    } else if (symbols.system_hash != NULL) {
        index = search_system(&symbols, search->name);
    }
    if (index == 0) return 0;
    search->found = (void *)(info->dlpi_addr + symbols.table[index].st_value);
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
