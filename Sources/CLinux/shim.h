// System calls that Swift does not import, because they take any arguments or are declared for
// _GNU_SOURCE alone.
#include <grp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// An empty file in memory that goes with its last descriptor, or -1.
static inline int leakprof_empty_memory_file(void) {
    return (int)syscall(SYS_memfd_create, "leakprof", 1U /* MFD_CLOEXEC */);
}

// Gives up every right but those of this user, for good; 0 on success.
static inline int leakprof_become_user(uid_t user, gid_t group) {
    // Of root, setgid(2) and setuid(2) change all three IDs.
    if (setgroups(0, NULL) != 0 || setgid(group) != 0 || setuid(user) != 0) return -1;
    return geteuid() == user && getegid() == group ? 0 : -1;
}

// Ends this process when its parent does, allows it no new rights, and limits its address space and the
// files it writes, in bytes; 0 on success.
static inline int leakprof_confine(rlim_t memory_bytes, rlim_t file_bytes) {
    struct rlimit memory = {memory_bytes, memory_bytes};
    struct rlimit file = {file_bytes, file_bytes};
    struct rlimit core = {0, 0};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    if (setrlimit(RLIMIT_CORE, &core) != 0 || setrlimit(RLIMIT_FSIZE, &file) != 0) return -1;
    // A limit that is lower already stays.
    struct rlimit current;
    if (getrlimit(RLIMIT_AS, &current) == 0 && current.rlim_max < memory_bytes) return 0;
    return setrlimit(RLIMIT_AS, &memory);
}
