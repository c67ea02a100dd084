#include "modules.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>

#include "process.h"
#include "python.h"
#include "raw.h"
#include "rule_cache.h"

#define PAGE 4096U
#define MAX_PATH 4095U
#define MAX_BUILD_ID 64U

uint32_t lp_add_string(const void *bytes, uint32_t length) {
    uint32_t *used = &lp_process.header->strings_used;
    uint32_t room = lp_process.strings_capacity;
    if (length > room || lp_load_relaxed_u32(used) > room - length) return UINT32_MAX;
    uint32_t offset = lp_add_relaxed_u32(used, length);
    if (offset > room - length) return UINT32_MAX;
    memcpy(lp_process.strings + offset, bytes, length);
    return offset;
}

// Where the ELF header of the module that spans `start` to `end` is mapped. That is at its start, but
// for programs linked to fixed addresses with gaps between their segments: of those the loader tells
// the segment that was asked for.
static uintptr_t image_of(uintptr_t start, uintptr_t end) {
    uintptr_t entry = getauxval(AT_ENTRY);
    return entry >= start && entry < end ? getauxval(AT_PHDR) & ~(uintptr_t)(PAGE - 1) : start;
}

struct lp_segment lp_module_segment(const struct lp_loaded *loaded, uintptr_t address) {
    struct lp_segment none = {0, 0};
    const ElfW(Ehdr) *elf = (const ElfW(Ehdr) *)image_of(loaded->start, loaded->end);
    if (memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 || elf->e_phentsize != sizeof(ElfW(Phdr)))
        return none;
    if (elf->e_phoff > PAGE || elf->e_phnum > (PAGE - elf->e_phoff) / sizeof(ElfW(Phdr))) return none;
    const ElfW(Phdr) *segments = (const ElfW(Phdr) *)((uintptr_t)elf + elf->e_phoff);
    for (unsigned i = 0; i < elf->e_phnum; i++) {
        if (segments[i].p_type != PT_LOAD || (segments[i].p_flags & PF_R) == 0) continue;
        uintptr_t start = loaded->load_bias + segments[i].p_vaddr;
        if (address >= start && address - start < segments[i].p_filesz)
            return (struct lp_segment){start, start + segments[i].p_filesz};
    }
    return none;
}

// Where the build id's bytes lie behind `start`, with their number in `*length`; 0 when there is none
// within the module's first page. That page is mapped and readable: it holds the program headers that
// the loader itself used, and linkers put the note right behind them.
static uint32_t find_build_id(uintptr_t start, uintptr_t load_bias, uint32_t *length) {
    const ElfW(Ehdr) *elf = (const ElfW(Ehdr) *)start;
    if (memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 || elf->e_phentsize != sizeof(ElfW(Phdr))) return 0;
    if (elf->e_phoff > PAGE || elf->e_phnum > (PAGE - elf->e_phoff) / sizeof(ElfW(Phdr))) return 0;
    const ElfW(Phdr) *segments = (const ElfW(Phdr) *)(start + elf->e_phoff);
    for (unsigned i = 0; i < elf->e_phnum; i++) {
        if (segments[i].p_type != PT_NOTE) continue;
        uintptr_t note = load_bias + segments[i].p_vaddr;
        if (note < start || note - start > PAGE || segments[i].p_memsz > PAGE - (note - start))
            continue;
        uintptr_t end = note + segments[i].p_memsz;
        while (end - note >= sizeof(ElfW(Nhdr))) {
            const ElfW(Nhdr) *header = (const ElfW(Nhdr) *)note;
            uintptr_t name_bytes = ((uintptr_t)header->n_namesz + 3) & ~(uintptr_t)3;
            uintptr_t text_bytes = ((uintptr_t)header->n_descsz + 3) & ~(uintptr_t)3;
            uintptr_t left = end - note - sizeof *header;
            if (name_bytes > left || text_bytes > left - name_bytes) break;
            uintptr_t text = note + sizeof *header + name_bytes;
            if (header->n_type == NT_GNU_BUILD_ID && header->n_namesz == 4 &&
                memcmp(header + 1, "GNU", 4) == 0 && header->n_descsz >= 8 &&
                header->n_descsz <= MAX_BUILD_ID) {
                *length = header->n_descsz;
                return (uint32_t)(text - start);
            }
            note = text + text_bytes;
        }
    }
    return 0;
}

// Eight bytes that differ between builds, read from the mapped module: a reload is told by them.
static uint64_t module_signature(uintptr_t start, uint32_t build_id_memory_off) {
    const ElfW(Ehdr) *elf = (const ElfW(Ehdr) *)start;
    uint64_t signature = elf->e_entry ^ elf->e_shoff << 20 ^ (uint64_t)elf->e_phnum << 56;
    if (build_id_memory_off != 0) {
        uint64_t id;
        memcpy(&id, (const char *)start + build_id_memory_off, sizeof id);
        signature ^= id;
    }
    return signature;
}

// A program may have opened its interpreter itself, long after it started.
static void look_for_interpreter(uintptr_t image, uintptr_t load_bias) {
    const ElfW(Ehdr) *elf = (const ElfW(Ehdr) *)image;
    if (memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 || elf->e_phentsize != sizeof(ElfW(Phdr))) return;
    if (elf->e_phoff > PAGE || elf->e_phnum > (PAGE - elf->e_phoff) / sizeof(ElfW(Phdr))) return;
    lp_python_look(load_bias, (const ElfW(Phdr) *)(image + elf->e_phoff), elf->e_phnum);
}

// Takes a module record and fills it; 0 when the table is full.
static uint32_t add_module(const struct lp_loaded *loaded, const char *path, uint32_t path_length) {
    uint32_t *used = &lp_process.header->modules_used;
    if (lp_load_relaxed_u32(used) >= lp_process.modules_capacity) return 0;
    uint32_t index = lp_add_relaxed_u32(used, 1);
    if (index >= lp_process.modules_capacity) return 0;

    struct lp_module *module = &lp_process.modules[index];
    uintptr_t start = loaded->start;
    module->start = start;
    module->end = loaded->end;
    module->load_bias = loaded->load_bias;
    module->first_seen_ns = lp_monotonic_ns();
    uint32_t build_id_length = 0;
    uintptr_t image = image_of(start, loaded->end);
    module->build_id_memory_off = find_build_id(image, module->load_bias, &build_id_length);
    module->signature = module_signature(image, module->build_id_memory_off);
    module->path_off = lp_add_string(path, path_length);
    if (module->path_off != UINT32_MAX) {
        module->path_length = path_length;
    } else {
        lp_count(LP_STAT_MODULES_LOST, 1);
    }
    module->build_id_off =
        lp_add_string((const char *)image + module->build_id_memory_off, build_id_length);
    if (module->build_id_off != UINT32_MAX) module->build_id_length = build_id_length;
    look_for_interpreter(image, module->load_bias);
    lp_store_release_u32(&module->published, 1);
    return index;
}

// Whether the record describes what is mapped at `object` now. Reads the module's first page, which is
// there: it is loaded, and begins where the recorded module began.
static bool is_same_module(const struct lp_module *module, const struct lp_loaded *loaded) {
    return module->end == loaded->end && module->load_bias == loaded->load_bias &&
           module->signature ==
               module_signature(image_of(loaded->start, loaded->end), module->build_id_memory_off);
}

// Where the record of a module that begins at `start` is looked for, in the order of `probe`.
static uint32_t *slot_of(uintptr_t start, uint32_t probe) {
    uint32_t place = (uint32_t)(start / PAGE * 0x9e3779b97f4a7c15ULL >> 32);
    return &lp_process.module_slots[(place + probe) % LP_MODULE_SLOTS];
}

// The record of this module, 0: it has none yet.
static uint32_t find_module(const struct lp_loaded *loaded) {
    for (uint32_t probe = 0; probe < LP_MODULE_SLOTS; probe++) {
        uint32_t index = lp_load_acquire_u32(slot_of(loaded->start, probe));
        const struct lp_module *module = &lp_process.modules[index];
        if (index == 0) return 0;
        if (module->start == loaded->start) return is_same_module(module, loaded) ? index : 0;
    }
    return 0;
}

static uint32_t find_or_add_module(const struct lp_loaded *loaded, const char *path,
                                   uint32_t path_length) {
    uintptr_t start = loaded->start;
    for (uint32_t probe = 0; probe < LP_MODULE_SLOTS; probe++) {
        uint32_t *slot = slot_of(start, probe);
        uint32_t index = lp_load_acquire_u32(slot);
        struct lp_module *module = &lp_process.modules[index];
        if (index != 0 && module->start != start) continue;
        if (index != 0 && is_same_module(module, loaded)) return index;
        uint32_t added = add_module(loaded, path, path_length);
        if (added == 0) {
            lp_count(LP_STAT_MODULES_LOST, 1);
            return 0;
        }
        uint32_t replaced = index;
        if (lp_compare_exchange_u32(slot, &index, added)) {
            if (replaced != 0) lp_store_release_u32(&module->replaced_by, added);
            return added;
        }
        // Another thread took the slot, most likely for the same module: look at it again.
        probe--;
    }
    lp_count(LP_STAT_MODULES_LOST, 1);
    return 0;
}

bool lp_module_is_named(uint32_t index, const char *start) {
    const struct lp_module *module = &lp_process.modules[index];
    if (module->path_length == 0) return false;
    const char *path = lp_process.strings + module->path_off;
    const char *slash = memrchr(path, '/', module->path_length);
    const char *name = slash == NULL ? path : slash + 1;
    size_t length = module->path_length - (size_t)(name - path);
    return length >= strlen(start) && memcmp(name, start, strlen(start)) == 0;
}

static bool ask_loader(uintptr_t address, struct lp_loaded *loaded) {
    *loaded = (struct lp_loaded){0, 0, 0, NULL, NULL};
    if (lp_loader_find(address, loaded)) return true;
    *loaded = (struct lp_loaded){0, 0, 0, NULL, NULL};
    return false;
}

uint32_t lp_module_find(uintptr_t address, struct lp_loaded *loaded) {
    if (!ask_loader(address, loaded)) return 0;
    uint32_t index = find_module(loaded);
    if (index != 0) return index;
    // A library that nobody was seen to unload may have been where this one is, because libc closes
    // some (character set converters) for itself. Where there is no record to be had, this would be for
    // every address.
    if (lp_load_relaxed_u32(&lp_process.header->modules_used) < lp_process.modules_capacity) {
        lp_rules_begin_unload();
        lp_rules_end_unload();
        if (!ask_loader(address, loaded)) return 0;
    }
    return find_or_add_module(loaded, loaded->path, (uint32_t)strnlen(loaded->path, MAX_PATH));
}

uint32_t lp_module_index(uintptr_t address, struct lp_module_range *range) {
    if (address >= range->start && address < range->end) return range->index;
    struct lp_loaded loaded;
    uint32_t index = lp_module_find(address, &loaded);
    if (loaded.end == 0) return 0;
    *range = (struct lp_module_range){loaded.start, loaded.end, index};
    return index;
}

// Reads a link to the end of the strings, which nobody else uses yet: the stack may be a small
// thread's. Returns the text's length, 0 when there is no such link.
static uint32_t read_link(const char *link, char **text) {
    *text = lp_process.strings + lp_process.strings_capacity - MAX_PATH;
    long length = lp_sys_read_link(link, *text, MAX_PATH);
    return length > 0 ? (uint32_t)length : 0;
}

void lp_modules_add_program(void) {
    struct lp_header *header = lp_process.header;
    char *text;
    uint32_t length = read_link("/proc/self/cwd", &text);
    uint32_t offset = lp_add_string(text, length);
    if (offset != UINT32_MAX) {
        header->directory_off = offset;
        header->directory_length = length;
    }
    lp_process.loader_start = getauxval(AT_BASE);
    struct lp_loaded program;
    if (lp_loader_find(getauxval(AT_ENTRY), &program)) {
        length = read_link("/proc/self/exe", &text);
        // A program that was started by naming the loader has none by the kernel's account: what was
        // executed is the loader. It writes into the auxiliary vector what it loaded.
        const char *named = (const char *)getauxval(AT_EXECFN);
        bool is_loader = lp_process.loader_start == 0 && named != NULL;
        if (is_loader) {
            find_or_add_module(&program, named, (uint32_t)strnlen(named, MAX_PATH));
        } else {
            find_or_add_module(&program, text, length);
        }
    }
    memset(text, 0, MAX_PATH);
}
