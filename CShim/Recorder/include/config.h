// What the environment asks of the recorder.
#ifndef LEAKPROF_CONFIG_H
#define LEAKPROF_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define LP_DIRECTORY_BYTES 512

// What is recorded of an interpreter in the process.
#define LP_USE_PYTHON_OFF 0
#define LP_USE_PYTHON_ON 1
#define LP_USE_PYTHON_ONLY 2   // where there are Python frames, no native ones
#define LP_USE_PYTHON_NATIVE 3 // the interpreter's own frames as well

struct lp_config {
    uint32_t mode;           // LP_MODE_*
    uint32_t depth;          // frames kept per stack trace, 1 to LP_MAX_DEPTH
    uint64_t interval_bytes; // mean sampling interval of sampled mode
    uint32_t overhead_ppm; // auto mode: the part of the CPU time that recording may cost, in millionths
    uint64_t max_memory_bytes; // of the live table
    uint64_t region_bytes;
    uint64_t seed;  // of the sampling random numbers; 0: from AT_RANDOM
    int32_t signal; // that makes the target write a copy of its region; 0: none
    bool follow_fork;
    bool keep;                          // the region outlives a process that ends by itself
    uint32_t python;                    // LP_USE_PYTHON_*
    bool paused;                        // recording waits until an analyzer wants it
    bool start;                         // false: LEAKPROF_MODE=off
    bool blocks_share_nothing;          // no two blocks share 32 bytes; not from the environment
    uintptr_t other_malloc;             // that is called in place of the shim's, 0: none; likewise
    uint32_t errors;                    // LP_CONFIG_ERROR_*
    char directory[LP_DIRECTORY_BYTES]; // "": the default, /dev/shm/leakprof-<uid>
};

// Fills `config` from the LEAKPROF_* entries of `environment`, a null-terminated array of "NAME=value".
// A value that is not understood sets a bit in `errors` and leaves the default. Allocates nothing.
void lp_config_parse(const char *const *environment, struct lp_config *config);

#endif
