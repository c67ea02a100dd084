// System calls for use inside the hooks. syscall(3) is no cancellation point and takes no lock, and its
// wrappers cannot have been replaced by another preloaded library. Each returns what the kernel
// returned, or a negated errno; errno itself stays as it is.
#ifndef LEAKPROF_RAW_H
#define LEAKPROF_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LP_MAP_FAILED ((void *)-1)

long lp_sys_open_at(int directory, const char *path, int flags, unsigned mode);
long lp_sys_close(int descriptor);
long lp_sys_read(int descriptor, void *buffer, size_t bytes);
long lp_sys_read_at(int descriptor, void *buffer, size_t bytes, uint64_t offset);
long lp_sys_write_at(int descriptor, const void *buffer, size_t bytes, uint64_t offset);
long lp_sys_truncate(int descriptor, uint64_t bytes);
long lp_sys_reserve(int descriptor, uint64_t bytes); // fallocate from offset 0
long lp_sys_set_mode(int descriptor, unsigned mode);
long lp_sys_unlink_at(int directory, const char *path);
long lp_sys_rename_at(int directory, const char *from, const char *to);
long lp_sys_make_directory(const char *path, unsigned mode);
long lp_sys_read_link(const char *path, char *buffer, size_t bytes);
long lp_sys_list(int directory, void *buffer, size_t bytes); // getdents64
long lp_sys_pid(void);
long lp_sys_signal_zero(long pid); // kill(pid, 0)
long lp_sys_thread(void);
long lp_sys_signal_thread_zero(long thread); // tgkill of a thread of this process
// Anonymous private memory when `descriptor` is -1, else a shared mapping of it; LP_MAP_FAILED on
// error.
void *lp_sys_map(size_t bytes, int descriptor);
long lp_sys_unmap(void *address, size_t bytes);
long lp_sys_advise(void *address, size_t bytes, int advice);
// Whether the 8 bytes at `address` can be read; they may be anywhere.
bool lp_sys_is_readable(const void *address);
// membarrier(2): registers this process, and makes all its threads pass a full barrier.
long lp_sys_prepare_barrier(void);
long lp_sys_barrier(void);
// The limit on file sizes in bytes, UINT64_MAX when there is none.
uint64_t lp_sys_file_size_limit(void);
uint64_t lp_monotonic_ns(void);
uint64_t lp_realtime_ns(void);

// Writes `value` in decimal at `text` and returns the end; at most 20 characters, no terminator.
char *lp_append_decimal(char *text, uint64_t value);
// Copies `source` with its terminator to `text` and returns the terminator's place.
char *lp_append_text(char *text, const char *source);

#endif
