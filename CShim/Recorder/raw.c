#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Restores errno: whoever called malloc must not see ours change it.
#define LP_SYSCALL(...)                                                                                \
    do {                                                                                               \
        int saved = errno;                                                                             \
        long result = syscall(__VA_ARGS__);                                                            \
        if (result == -1) result = -errno;                                                             \
        errno = saved;                                                                                 \
        return result;                                                                                 \
    } while (0)

long lp_sys_open_at(int directory, const char *path, int flags, unsigned mode) {
    LP_SYSCALL(SYS_openat, directory, path, flags | O_CLOEXEC | O_NOFOLLOW, mode);
}

long lp_sys_close(int descriptor) {
    LP_SYSCALL(SYS_close, descriptor);
}

long lp_sys_read(int descriptor, void *buffer, size_t bytes) {
    LP_SYSCALL(SYS_read, descriptor, buffer, bytes);
}

long lp_sys_read_at(int descriptor, void *buffer, size_t bytes, uint64_t offset) {
    LP_SYSCALL(SYS_pread64, descriptor, buffer, bytes, offset);
}

long lp_sys_write_at(int descriptor, const void *buffer, size_t bytes, uint64_t offset) {
    LP_SYSCALL(SYS_pwrite64, descriptor, buffer, bytes, offset);
}

long lp_sys_truncate(int descriptor, uint64_t bytes) {
    LP_SYSCALL(SYS_ftruncate, descriptor, bytes);
}

long lp_sys_reserve(int descriptor, uint64_t bytes) {
    LP_SYSCALL(SYS_fallocate, descriptor, 0, 0L, bytes);
}

long lp_sys_set_mode(int descriptor, unsigned mode) {
    LP_SYSCALL(SYS_fchmod, descriptor, mode);
}

long lp_sys_unlink_at(int directory, const char *path) {
    LP_SYSCALL(SYS_unlinkat, directory, path, 0);
}

long lp_sys_rename_at(int directory, const char *from, const char *to) {
    LP_SYSCALL(SYS_renameat, directory, from, directory, to);
}

long lp_sys_make_directory(const char *path, unsigned mode) {
    LP_SYSCALL(SYS_mkdirat, AT_FDCWD, path, mode);
}

long lp_sys_read_link(const char *path, char *buffer, size_t bytes) {
    LP_SYSCALL(SYS_readlinkat, AT_FDCWD, path, buffer, bytes);
}

long lp_sys_list(int directory, void *buffer, size_t bytes) {
    LP_SYSCALL(SYS_getdents64, directory, buffer, bytes);
}

long lp_sys_pid(void) {
    LP_SYSCALL(SYS_getpid);
}

long lp_sys_signal_zero(long pid) {
    LP_SYSCALL(SYS_kill, pid, 0);
}

long lp_sys_thread(void) {
    LP_SYSCALL(SYS_gettid);
}

long lp_sys_signal_thread_zero(long thread) {
    LP_SYSCALL(SYS_tgkill, lp_sys_pid(), thread, 0);
}

static long read_as_signal_set(const void *address) {
    // The kernel copies the set before it looks at `how`, and no `how` is -1: it fails either way.
    LP_SYSCALL(SYS_rt_sigprocmask, -1, address, NULL, sizeof(uint64_t));
}

bool lp_sys_is_readable(const void *address) {
    return read_as_signal_set(address) != -EFAULT;
}

void *lp_sys_map(size_t bytes, int descriptor) {
    int saved = errno;
    int flags = descriptor < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    long result = syscall(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE, flags, descriptor, 0L);
    errno = saved;
    return result == -1 ? LP_MAP_FAILED : (void *)result;
}

long lp_sys_unmap(void *address, size_t bytes) {
    LP_SYSCALL(SYS_munmap, address, bytes);
}

long lp_sys_advise(void *address, size_t bytes, int advice) {
    LP_SYSCALL(SYS_madvise, address, bytes, advice);
}

long lp_sys_prepare_barrier(void) {
    LP_SYSCALL(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
}

long lp_sys_barrier(void) {
    LP_SYSCALL(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

uint64_t lp_sys_file_size_limit(void) {
    int saved = errno;
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    long result = syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit);
    errno = saved;
    return result != 0 || limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

// clock_gettime() reads the vDSO without a system call and leaves errno alone when it succeeds, as it
// does for these clocks.
static uint64_t clock_ns(clockid_t clock) {
    struct timespec now = {0, 0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t lp_monotonic_ns(void) {
    return clock_ns(CLOCK_MONOTONIC_COARSE);
}

uint64_t lp_realtime_ns(void) {
    return clock_ns(CLOCK_REALTIME);
}

char *lp_append_decimal(char *text, uint64_t value) {
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count > 0) *text++ = digits[--count];
    return text;
}

char *lp_append_text(char *text, const char *source) {
    size_t length = strlen(source);
    memcpy(text, source, length + 1);
    return text + length;
}
