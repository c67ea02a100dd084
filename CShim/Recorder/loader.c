#include "loader.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stddef.h>

#include "raw.h"
#include "region_layout.h"

typedef int find_object_function(void *address, struct dl_find_object *result);
static find_object_function *find_object;

// ---- Without _dl_find_object ----

#define MAX_MODULES 512U

// Written by one thread at a time, which makes `version` odd meanwhile; who reads it under an odd or a
// changed version reads again. A forked child has its parent's modules, and so its table.
static struct {
    uint32_t version; // atomic
    uint32_t is_busy; // atomic
    uint32_t count;
    struct lp_loaded modules[MAX_MODULES];
} kept;

static int keep_module(struct dl_phdr_info *info, size_t bytes, void *unused) {
    (void)bytes;
    (void)unused;
    if (kept.count == MAX_MODULES) return 1;
    struct lp_loaded *module = &kept.modules[kept.count];
    *module = (struct lp_loaded){UINTPTR_MAX, 0, info->dlpi_addr, NULL, info->dlpi_name};
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_GNU_EH_FRAME) module->unwind_header = (const void *)start;
        if (segment->p_type != PT_LOAD) continue;
        uintptr_t end = start + segment->p_memsz;
        if ((start & ~(uintptr_t)4095) < module->start) module->start = start & ~(uintptr_t)4095;
        if (end > module->end) module->end = end;
    }
    if (module->start < module->end) kept.count++;
    return 0;
}

static void keep_modules(void) {
    uint32_t nobody = 0;
    if (!lp_compare_exchange_u32(&kept.is_busy, &nobody, 1)) return;
    __atomic_fetch_add(&kept.version, 1, __ATOMIC_ACQ_REL);
    kept.count = 0;
    dl_iterate_phdr(keep_module, NULL);
    __atomic_fetch_add(&kept.version, 1, __ATOMIC_ACQ_REL);
    lp_store_release_u32(&kept.is_busy, 0);
}

static bool find_kept(uintptr_t address, struct lp_loaded *loaded) {
    uint32_t version = lp_load_acquire_u32(&kept.version);
    uint32_t count = kept.count;
    bool is_found = false;
    for (uint32_t i = 0; i < count && i < MAX_MODULES && !is_found; i++) {
        *loaded = kept.modules[i];
        is_found = address >= loaded->start && address < loaded->end;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    // What libc has closed for itself is still in the table, but no more in memory.
    return is_found && version % 2 == 0 && version == lp_load_relaxed_u32(&kept.version) &&
           lp_sys_is_readable((const void *)loaded->start);
}

void lp_loader_forget(void) {
    if (find_object == NULL) keep_modules();
}

// ---- Either way ----

bool lp_loader_begin(void) {
    if (find_object != NULL || kept.count != 0) return true;
    // Looked up by name: a reference would make the shim refuse to load where the symbol is missing.
    find_object = (find_object_function *)lp_loader_symbol(RTLD_DEFAULT, "_dl_find_object");
    if (find_object == NULL) keep_modules();
    return find_object != NULL || kept.count != 0;
}

bool lp_loader_find(uintptr_t address, struct lp_loaded *loaded) {
    if (find_object == NULL) {
        if (find_kept(address, loaded)) return true;
        keep_modules();
        return find_kept(address, loaded);
    }
    struct dl_find_object object;
    if (find_object((void *)address, &object) != 0) return false;
    *loaded = (struct lp_loaded){
        .start = (uintptr_t)object.dlfo_map_start,
        .end = (uintptr_t)object.dlfo_map_end,
        .load_bias = object.dlfo_link_map->l_addr,
        .unwind_header = object.dlfo_eh_frame,
        .path = object.dlfo_link_map->l_name,
    };
    return true;
}
