#include "region_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "raw.h"
#include "region_layout.h"

static const char region_suffix[] = ".region";

// Reads a small file whole; returns its length, or a negated errno.
static long read_file(const char *path, char *buffer, size_t bytes) {
    long descriptor = lp_sys_open_at(AT_FDCWD, path, O_RDONLY, 0);
    if (descriptor < 0) return descriptor;
    long length = lp_sys_read((int)descriptor, buffer, bytes);
    lp_sys_close((int)descriptor);
    return length;
}

// Parses decimal digits and moves `*text` behind them; false when there are none.
static bool take_decimal(const char **text, uint64_t *value) {
    const char *cursor = *text;
    uint64_t result = 0;
    while (*cursor >= '0' && *cursor <= '9') result = result * 10 + (uint64_t)(*cursor++ - '0');
    if (cursor == *text) return false;
    *text = cursor;
    *value = result;
    return true;
}

// Field 22 of proc(5)'s stat: when the process started, in clock ticks since boot.
static bool read_start_ticks(uint64_t *ticks) {
    char stat[1024];
    long length = read_file("/proc/self/stat", stat, sizeof stat - 1);
    if (length <= 0) return false;
    stat[length] = '\0';
    // The second field is the command's name in parentheses and may contain any of them itself.
    const char *cursor = strrchr(stat, ')');
    for (int field = 2; cursor != NULL && field < 22; field++) cursor = strchr(cursor + 1, ' ');
    if (cursor == NULL) return false;
    cursor++;
    return take_decimal(&cursor, ticks);
}

bool lp_identity_read(struct lp_identity *identity) {
    memset(identity, 0, sizeof *identity);
    identity->pid = (uint32_t)lp_sys_pid();
    const void *random = (const void *)getauxval(AT_RANDOM);
    if (random != NULL) memcpy(&identity->image_nonce, random, sizeof identity->image_nonce);
    char target[64];
    long length = lp_sys_read_link("/proc/self/ns/pid", target, sizeof target - 1);
    if (length > 5) {
        target[length] = '\0';
        const char *cursor = target + 5; // behind "pid:["
        take_decimal(&cursor, &identity->pid_namespace);
    }
    return read_start_ticks(&identity->start_ticks);
}

void lp_directory_default(char *directory) {
    char *end = lp_append_text(directory, "/dev/shm/leakprof-");
    end = lp_append_decimal(end, (uint64_t)geteuid());
    *end = '\0';
}

void lp_region_name(const struct lp_identity *identity, const char *suffix, char *name) {
    char *end = lp_append_decimal(name, identity->pid);
    *end++ = '.';
    end = lp_append_decimal(end, identity->start_ticks);
    lp_append_text(end, suffix);
}

// fstat() by number: the wrapper's symbol is newer than the oldest glibc the shim loads on.
static long stat_descriptor(int descriptor, struct stat *result) {
    int saved = errno;
    long status = syscall(SYS_fstat, descriptor, result);
    if (status != 0) status = -errno;
    errno = saved;
    return status;
}

static int open_existing(const char *directory) {
    long descriptor = lp_sys_open_at(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY, 0);
    if (descriptor < 0) return (int)descriptor;
    struct stat status;
    if (stat_descriptor((int)descriptor, &status) != 0 || status.st_uid != geteuid() ||
        (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        lp_sys_close((int)descriptor);
        return -EPERM;
    }
    return (int)descriptor;
}

int lp_directory_open(const char *directory) {
    int descriptor = open_existing(directory);
    if (descriptor != -ENOENT) return descriptor;
    lp_sys_make_directory(directory, 0700);
    return open_existing(directory);
}

// Parses "<pid>.<ticks>.region".
static bool parse_region_name(const char *name, uint64_t *pid, uint64_t *ticks) {
    return take_decimal(&name, pid) && *name++ == '.' && take_decimal(&name, ticks) &&
           strcmp(name, region_suffix) == 0;
}

// Reads the header of a region in `directory`; false when it is not one of this layout.
static bool read_header(int directory, const char *name, struct lp_header *header) {
    long descriptor = lp_sys_open_at(directory, name, O_RDONLY | O_NONBLOCK, 0);
    if (descriptor < 0) return false;
    long length = lp_sys_read_at((int)descriptor, header, sizeof *header, 0);
    lp_sys_close((int)descriptor);
    return length == (long)sizeof *header && header->magic == LP_MAGIC;
}

// The layout of what getdents64(2) returns.
struct directory_entry {
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

#define LISTING_BYTES 32768

// Counts the regions of dead processes and finds the one whose process was active for the shortest
// time. A process of another pid namespace that shares the directory can't be seen from here and only
// seems dead, so its region is not counted.
static uint32_t find_least_dead(int directory, char *listing, uint64_t pid_namespace, char *least) {
    uint32_t dead = 0;
    uint64_t shortest_ns = UINT64_MAX;
    lseek(directory, 0, SEEK_SET);
    for (;;) {
        long length = lp_sys_list(directory, listing, LISTING_BYTES);
        if (length <= 0) return dead;
        for (long offset = 0; offset < length;) {
            const struct directory_entry *entry = (const void *)(listing + offset);
            offset += entry->bytes;
            uint64_t pid;
            uint64_t ticks;
            if (!parse_region_name(entry->name, &pid, &ticks)) continue;
            if (strlen(entry->name) >= LP_REGION_NAME_BYTES) continue;
            if (lp_sys_signal_zero((long)pid) != -ESRCH) continue;
            struct lp_header header;
            bool is_region = read_header(directory, entry->name, &header);
            if (is_region && header.pid_namespace != pid_namespace) continue;
            dead++;
            uint64_t active_ns = is_region ? header.last_active_ns - header.started_monotonic_ns : 0;
            if (active_ns >= shortest_ns) continue;
            shortest_ns = active_ns;
            lp_append_text(least, entry->name);
        }
    }
}

// Removes regions of dead processes beyond LP_DEAD_REGIONS_KEPT.
static void prune(int directory, const struct lp_identity *identity) {
    char *listing = lp_sys_map(LISTING_BYTES, -1);
    if (listing == LP_MAP_FAILED) return;
    char name[LP_REGION_NAME_BYTES];
    while (find_least_dead(directory, listing, identity->pid_namespace, name) > LP_DEAD_REGIONS_KEPT) {
        if (lp_sys_unlink_at(directory, name) != 0) break;
    }
    lp_sys_unmap(listing, LISTING_BYTES);
}

// The number in a file of the control group file system, UINT64_MAX when there is none ("max").
__attribute__((noinline)) static uint64_t read_limit(const char *root, const char *group,
                                                     const char *file) {
    char path[512];
    if (strlen(root) + strlen(group) + strlen(file) >= sizeof path) return UINT64_MAX;
    lp_append_text(lp_append_text(lp_append_text(path, root), group), file);
    char text[32];
    long length = read_file(path, text, sizeof text - 1);
    if (length <= 0) return UINT64_MAX;
    text[length] = '\0';
    const char *cursor = text;
    uint64_t limit;
    return take_decimal(&cursor, &limit) ? limit : UINT64_MAX;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

// The memory limit of a control group and of the outermost one that can be seen from here, which is the
// same in most containers. One of the two versions' files is there.
static uint64_t limit_of_group(const char *group, bool is_version_1) {
    const char *root = is_version_1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
    const char *file = is_version_1 ? "/memory.limit_in_bytes" : "/memory.max";
    uint64_t outermost = read_limit(root, "", file);
    return strcmp(group, "/") == 0 ? outermost : smaller(outermost, read_limit(root, group, file));
}

// How much memory this process's control group may have, UINT64_MAX when there is no limit or /proc
// does not tell. The region counts as its memory (cgroups(7)).
static uint64_t memory_limit(void) {
    char groups[1024]; // lines of "hierarchy:controllers:group"; memory's is among the first
    long length = read_file("/proc/self/cgroup", groups, sizeof groups - 1);
    if (length <= 0) return UINT64_MAX;
    groups[length] = '\0';
    uint64_t limit = UINT64_MAX;
    for (char *line = groups, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (group == NULL) continue;
        *group++ = '\0';
        bool is_version_1 = strcmp(controllers, ":memory") == 0;
        if (is_version_1 || controllers[1] == '\0')
            limit = smaller(limit, limit_of_group(group, is_version_1));
    }
    return limit;
}

// Of a control group's memory, the region takes at most one part in so many: what is beyond the limit
// ends the target.
#define MEMORY_PART 16

// The room for a region: a quarter of what is free, so that the target's own use of the file system is
// not what runs out first, a part of what its control group may have, and within the limit on file
// sizes, beyond which the kernel sends SIGXFSZ.
static uint64_t room_in(int directory, uint64_t wanted) {
    struct statfs system;
    int saved = errno;
    long status = syscall(SYS_fstatfs, directory, &system);
    errno = saved;
    uint64_t limit = lp_sys_file_size_limit();
    uint64_t room = status == 0 ? (uint64_t)system.f_bavail * (uint64_t)system.f_bsize / 4 : wanted;
    // A tmpfs without a size limit reports no blocks at all.
    if (status == 0 && system.f_type == TMPFS_MAGIC && system.f_blocks == 0) room = wanted;
    room = smaller(room, memory_limit() / MEMORY_PART);
    return smaller(smaller(room, limit), wanted);
}

static uint32_t create_in(int directory, const struct lp_identity *identity, uint64_t *bytes,
                          void **region) {
    char name[LP_REGION_NAME_BYTES];
    lp_region_name(identity, region_suffix, name);
    long descriptor = lp_sys_open_at(directory, name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (descriptor == -EEXIST) {
        // Left by the image this process had before exec, unless another copy of the shim is at work.
        struct lp_header header;
        if (read_header(directory, name, &header) && header.image_nonce == identity->image_nonce) {
            return LP_OFF_OTHER_SHIM;
        }
        lp_sys_unlink_at(directory, name);
        descriptor = lp_sys_open_at(directory, name, O_RDWR | O_CREAT | O_EXCL, 0600);
    }
    if (descriptor < 0) return LP_OFF_FILE;
    lp_sys_set_mode((int)descriptor, 0600); // whatever the umask

    uint64_t size = room_in(directory, *bytes) & ~4095ULL;
    long status = -ENOSPC;
    for (; size >= LP_REGION_BYTES_MIN; size = size / 2 & ~4095ULL) {
        status = lp_sys_reserve((int)descriptor, size);
        if (status != -ENOSPC) break;
    }
    uint32_t reason = status == -ENOSPC ? LP_OFF_NO_SPACE : LP_OFF_FILE;
    void *memory = LP_MAP_FAILED;
    if (status == 0) memory = lp_sys_map(size, (int)descriptor);
    lp_sys_close((int)descriptor);
    if (memory == LP_MAP_FAILED) {
        lp_sys_unlink_at(directory, name);
        return reason;
    }
    *bytes = size;
    *region = memory;
    return LP_OFF_NONE;
}

uint32_t lp_region_create(const char *directory, const struct lp_identity *identity, uint64_t *bytes,
                          void **region) {
    int descriptor = lp_directory_open(directory);
    if (descriptor < 0) return LP_OFF_DIRECTORY;
    prune(descriptor, identity);
    uint32_t reason = create_in(descriptor, identity, bytes, region);
    lp_sys_close(descriptor);
    return reason;
}

bool lp_region_unlink(const char *directory, const struct lp_identity *identity) {
    int descriptor = open_existing(directory);
    if (descriptor < 0) return false;
    char name[LP_REGION_NAME_BYTES];
    lp_region_name(identity, region_suffix, name);
    long status = lp_sys_unlink_at(descriptor, name);
    lp_sys_close(descriptor);
    return status == 0;
}
