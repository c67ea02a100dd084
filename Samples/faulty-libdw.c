// Preloaded into leakprof: reading a file whose path has FAULTY_FILE in it ends the process that does,
// or never ends, as FAULTY_HOW says (crash, hang). That is what a bug in libdw would do to it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// From libdwfl.h.
typedef void *report_elf(void *, const char *, const char *, int, uint64_t, bool);

__attribute__((visibility("default"))) void *dwfl_report_elf(void *session, const char *name,
                                                             const char *path, int descriptor,
                                                             uint64_t base, bool adds_vaddr) {
    const char *file = getenv("FAULTY_FILE");
    const char *how = getenv("FAULTY_HOW");
    if (file != NULL && how != NULL && strstr(path, file) != NULL) {
        while (strcmp(how, "hang") == 0) pause();
        raise(SIGSEGV);
    }
    report_elf *next = (report_elf *)dlsym(RTLD_NEXT, "dwfl_report_elf");
    return next(session, name, path, descriptor, base, adds_vaddr);
}
