#include "elf_symbols.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>

#define HIDDEN_VERSION 0x8000

struct lp_symbols lp_symbols_of(uintptr_t load_bias, const ElfW(Phdr) * segments, unsigned count) {
    struct lp_symbols symbols = {load_bias, NULL, NULL, NULL, NULL, NULL};
    const ElfW(Dyn) *entry = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (segments[i].p_type == PT_DYNAMIC)
            entry = (const ElfW(Dyn) *)(load_bias + segments[i].p_vaddr);
    }
    for (; entry != NULL && entry->d_tag != DT_NULL; entry++) {
        // The loader has made addresses of the offsets, but not in the vDSO.
        uintptr_t address = entry->d_un.d_ptr;
        if (address < load_bias) address += load_bias;
        if (entry->d_tag == DT_SYMTAB) symbols.table = (const ElfW(Sym) *)address;
        if (entry->d_tag == DT_STRTAB) symbols.names = (const char *)address;
        if (entry->d_tag == DT_VERSYM) symbols.versions = (const ElfW(Half) *)address;
        if (entry->d_tag == DT_GNU_HASH) symbols.gnu_hash = (const uint32_t *)address;
        if (entry->d_tag == DT_HASH) symbols.system_hash = (const uint32_t *)address;
    }
    if (symbols.names == NULL) symbols.table = NULL;
    return symbols;
}

static bool is_match(const struct lp_symbols *symbols, uint32_t index, const char *name) {
    const ElfW(Sym) *symbol = &symbols->table[index];
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    if (symbol->st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_OBJECT)) return false;
    if (symbols->versions != NULL && (symbols->versions[index] & HIDDEN_VERSION) != 0) return false;
    return strcmp(symbols->names + symbol->st_name, name) == 0;
}

static uint32_t search_gnu(const struct lp_symbols *symbols, const char *name) {
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

static uint32_t search_system(const struct lp_symbols *symbols, const char *name) {
    uint32_t count = symbols->system_hash[1];
    for (uint32_t index = 1; index < count; index++) {
        if (is_match(symbols, index, name)) return index;
    }
    return 0;
}

const ElfW(Sym) * lp_symbols_find(const struct lp_symbols *symbols, const char *name) {
    uint32_t index = 0;
    if (symbols->table == NULL) return NULL;
    if (symbols->gnu_hash != NULL) {
        index = search_gnu(symbols, name);
    } else if (symbols->system_hash != NULL) {
        index = search_system(symbols, name);
    }
    return index == 0 ? NULL : &symbols->table[index];
}
