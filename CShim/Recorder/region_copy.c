#include "region_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "epochs.h"
#include "process.h"
#include "raw.h"
#include "recorder.h"

#define MAX_NAME 32

static bool is_name_allowed(const char *name) {
    size_t length = strnlen(name, MAX_NAME + 1);
    if (length == 0 || length > MAX_NAME) return false;
    for (; *name != '\0'; name++) {
        bool is_letter = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z');
        if (!is_letter && !(*name >= '0' && *name <= '9') && *name != '-' && *name != '_') return false;
    }
    return true;
}

// Writes the bytes from `start` to `end` of the region at the same offsets of the file.
static long write_range(int descriptor, uint64_t start, uint64_t end) {
    const char *region = (const char *)lp_process.header;
    while (start < end) {
        long written = lp_sys_write_at(descriptor, region + start, end - start, start);
        if (written == -EINTR) continue;
        if (written < 0) return written;
        if (written == 0) return -EIO;
        start += (uint64_t)written;
    }
    return 0;
}

static uint64_t used_end(uint64_t offset, const uint32_t *used, uint32_t capacity,
                         size_t record_bytes) {
    uint32_t count = lp_load_acquire_u32(used);
    return offset + (uint64_t)(count < capacity ? count : capacity) * record_bytes;
}

// Writes what is used, in the order that region_layout.h asks of readers, the header last. The file has
// the region's size; what was not written reads as zeros.
static long write_region(int descriptor, uint32_t cut_epoch) {
    const struct lp_header *header = lp_process.header;
    long status = lp_sys_truncate(descriptor, header->region_bytes);
    if (status != 0) return status;
    status = write_range(descriptor, header->counters_off,
                         used_end(header->counters_off, &header->counters_used,
                                  lp_process.counters_capacity, sizeof(struct lp_counter)));
    if (status != 0) return status;
    status = write_range(descriptor, header->nodes_off,
                         used_end(header->nodes_off, &header->nodes_used, lp_process.nodes_capacity,
                                  sizeof(struct lp_node)));
    if (status != 0) return status;
    uint64_t heap_end =
        header->counters_off + (uint64_t)lp_process.counters_capacity * sizeof(struct lp_counter);
    uint64_t heap_bytes = (uint64_t)lp_load_acquire_u32(&header->heap_used) * 8;
    if (heap_bytes <= heap_end - header->counters_off)
        status = write_range(descriptor, heap_end - heap_bytes, heap_end);
    if (status != 0) return status;
    // Modules, strings, epochs, statistics: everything between the header and the buckets.
    status = write_range(descriptor, header->statistics_off, header->buckets_off);
    if (status != 0) return status;
    struct lp_header copy;
    for (size_t word = 0; word < sizeof copy / sizeof(uint64_t); word++)
        ((uint64_t *)&copy)[word] = lp_load_relaxed_u64(&((const uint64_t *)header)[word]);
    copy.copy_cut_epoch = cut_epoch;
    copy.copied_realtime_ns = lp_realtime_ns();
    copy.copied_monotonic_ns = lp_monotonic_ns();
    long written = lp_sys_write_at(descriptor, &copy, sizeof copy, 0);
    return written == (long)sizeof copy ? 0 : written < 0 ? written : -EIO;
}

static long write_file(int directory, const char *temporary, const char *name, uint32_t cut_epoch) {
    // Beyond the limit the kernel would send SIGXFSZ.
    if (lp_sys_file_size_limit() < lp_process.header->region_bytes) return -EFBIG;
    long descriptor = lp_sys_open_at(directory, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (descriptor < 0) return descriptor;
    long status = write_region((int)descriptor, cut_epoch);
    lp_sys_close((int)descriptor);
    if (status == 0) status = lp_sys_rename_at(directory, temporary, name);
    if (status != 0) lp_sys_unlink_at(directory, temporary);
    return status;
}

int lp_region_copy(const char *directory, const struct lp_identity *identity, const char *name) {
    if (name != NULL && !is_name_allowed(name)) return -EINVAL;
    uint32_t number = lp_add_relaxed_u32(&lp_process.copies, 1) + 1;
    char suffix[MAX_NAME + 40];
    char *end = lp_append_text(suffix, ".");
    if (name != NULL) {
        end = lp_append_text(end, name);
    } else {
        end = lp_append_decimal(end, number);
    }
    char final[LP_REGION_NAME_BYTES + sizeof suffix];
    char temporary[LP_REGION_NAME_BYTES + sizeof suffix];
    lp_append_text(end, ".copy");
    lp_region_name(identity, suffix, final);
    // Two threads that copy under one name must not write into one file.
    end = lp_append_text(end, ".");
    end = lp_append_decimal(end, number);
    lp_append_text(end, ".partial");
    lp_region_name(identity, suffix, temporary);

    int descriptor = lp_directory_open(directory);
    if (descriptor < 0) {
        lp_count(LP_STAT_COPIES_FAILED, 1);
        return descriptor;
    }
    uint32_t cut_epoch = lp_load_acquire_u32(&lp_process.header->epoch);
    lp_epoch_advance(cut_epoch, LP_EPOCH_REQUEST);
    long status = write_file(descriptor, temporary, final, cut_epoch);
    lp_sys_close(descriptor);
    lp_count(status == 0 ? LP_STAT_COPIES_WRITTEN : LP_STAT_COPIES_FAILED, 1);
    return (int)status;
}

static void handle_signal(int signal) {
    (void)signal;
    int saved = errno;
    lp_recorder_copy(NULL);
    errno = saved;
}

void lp_region_copy_on_signal(int signal) {
    struct sigaction current;
    if (signal <= 0 || sigaction(signal, NULL, &current) != 0) return;
    if ((current.sa_flags & SA_SIGINFO) != 0 || current.sa_handler != SIG_DFL) return;
    // SA_RESTART: the program's system calls go on as if the signal had not come. SA_ONSTACK: it may
    // come on a thread whose own stack has little room left.
    struct sigaction action = {.sa_handler = handle_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    sigaction(signal, &action, NULL);
}
