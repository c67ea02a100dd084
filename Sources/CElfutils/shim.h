#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <gelf.h>

// The callbacks' type has function pointers whose C types Swift would have to spell out.
static inline const Dwfl_Callbacks *leakprof_dwfl_callbacks(char **debuginfo_path) {
    static Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_build_id_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
        .section_address = dwfl_offline_section_address,
    };
    callbacks.debuginfo_path = debuginfo_path;
    return &callbacks;
}

// A file in memory with the given contents, or -1. memfd_create(2) is declared for _GNU_SOURCE alone.
#include <sys/syscall.h>
#include <unistd.h>

static inline int leakprof_memory_file(const void *bytes, size_t count) {
    int descriptor = (int)syscall(SYS_memfd_create, "leakprof", 1U /* MFD_CLOEXEC */);
    if (descriptor < 0) return -1;
    if (write(descriptor, bytes, count) == (ssize_t)count) return descriptor;
    close(descriptor);
    return -1;
}

// Where the kernel mapped the vDSO into this process, or NULL.
#include <sys/auxv.h>

static inline const void *leakprof_own_vdso(void) {
    return (const void *)getauxval(AT_SYSINFO_EHDR);
}

// The machine this was compiled for, as ELF headers name it; EM_NONE for one nobody has tried.
static inline unsigned leakprof_native_machine(void) {
#if defined(__x86_64__)
    return EM_X86_64;
#elif defined(__aarch64__)
    return EM_AARCH64;
#else
    return EM_NONE;
#endif
}

// Whether a file has capabilities(7), with which the loader ignores LD_PRELOAD.
#include <sys/xattr.h>

static inline int leakprof_has_capabilities(int descriptor) {
    return fgetxattr(descriptor, "security.capability", NULL, 0) > 0;
}
