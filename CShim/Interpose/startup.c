// Loading and ending: reads the environment, starts the recorder before main, ends it at exit. And the
// functions of leakshim.h.
#include <errno.h>
#include <sys/auxv.h>

#include "config.h"
#include "early_arena.h"
#include "leakshim.h"
#include "next_allocator.h"
#include "process.h"
#include "python.h"
#include "recorder.h"
#include "region_copy.h"
#include "region_layout.h"

#define EXPORT __attribute__((visibility("default")))

// In a program that runs with more rights than its caller, the environment is the caller's: the shim
// forwards and does nothing else.
static bool is_privileged(void) {
    return getauxval(AT_SECURE) != 0;
}

static void start_recording(const char *const *environment) {
    static struct lp_config config;
    lp_config_parse(environment, &config);
    if (!config.start) {
        lp_recorder_stay_off();
        return;
    }
    config.blocks_share_nothing = lp_next_is_glibc();
    config.other_malloc = lp_other_malloc();
    lp_record_early(lp_early_allocations(), lp_early_bytes());
    lp_python_begin(config.python);
    lp_recorder_start(&config);
    if (!lp_process_has_region()) return;
    lp_python_look_everywhere();
    lp_region_copy_on_signal(config.signal);
}

// Linked with -z initfirst: runs before the constructors of the libraries that the program needs,
// libc's among them, so that what they allocate is recorded, and environ is not set yet. glibc's loader
// passes what main gets.
__attribute__((constructor)) static void start(int argc, char **argv, char **environment) {
    (void)argc;
    (void)argv;
    if (is_privileged() || !lp_runs_on_glibc()) {
        lp_recorder_stay_off();
        return;
    }
    int saved = errno; // programs may expect it to be 0 when main begins
    lp_has_next_allocator();
    start_recording((const char *const *)environment);
    errno = saved;
}

__attribute__((destructor)) static void end(void) {
    lp_recorder_end();
}

EXPORT int leakshim_snapshot(const char *name) {
    return lp_recorder_copy(name);
}

EXPORT const char *leakshim_version(void) {
    return LEAKPROF_VERSION;
}
