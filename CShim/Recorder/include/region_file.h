// The region as a file: where it lies, who may touch it, when it goes.
//
// <directory>/<pid>.<start-ticks>.region, the directory $LEAKPROF_DIR or /dev/shm/leakprof-<uid>. No
// descriptor stays open: programs count them, close them all, or duplicate others over them. The file
// is reserved in full when it is made and never grows: growing kills targets (SIGXFSZ past
// RLIMIT_FSIZE, SIGBUS on a full tmpfs).
//
// A process that ends by itself removes its region unless it was asked to keep it; one that is killed
// leaves it behind for inspection. The next image of the same process (exec) replaces it. Processes
// that call _exit() (shells and forked workers do) can't be told from killed ones; so that theirs do
// not fill the directory, whoever makes a region removes those of dead processes, the shortest-lived
// first, down to LP_DEAD_REGIONS_KEPT.
#ifndef LEAKPROF_REGION_FILE_H
#define LEAKPROF_REGION_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LP_DEAD_REGIONS_KEPT 16
#define LP_REGION_NAME_BYTES 64

// What identifies this process's image.
struct lp_identity {
    uint32_t pid;
    uint64_t start_ticks;
    uint64_t pid_namespace;
    uint64_t image_nonce;
};

// Reads /proc/self and AT_RANDOM; false when /proc does not tell the start time.
bool lp_identity_read(struct lp_identity *identity);

// Opens the directory, made first if it is missing; returns a descriptor or a negated errno. Refuses
// what is not a directory of this user alone: a symlink, another owner, write access for others.
int lp_directory_open(const char *directory);

// Makes, reserves and maps the region of `identity`, of `*bytes` or less where less room is left.
// Returns LP_OFF_NONE, the mapping and its size, or the LP_OFF_* reason why there is none.
uint32_t lp_region_create(const char *directory, const struct lp_identity *identity, uint64_t *bytes,
                          void **region);

// Removes the region's file; false where it can't be reached, as after chroot or giving up rights.
bool lp_region_unlink(const char *directory, const struct lp_identity *identity);

// Writes "<pid>.<ticks><suffix>" to `name`, LP_REGION_NAME_BYTES long.
void lp_region_name(const struct lp_identity *identity, const char *suffix, char *name);

// Writes the default directory to `directory`, LP_DIRECTORY_BYTES long.
void lp_directory_default(char *directory);

#endif
