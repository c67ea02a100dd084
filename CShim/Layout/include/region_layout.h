// The recording region: what the shim writes and the analyzer reads, defined once for both.
//
// A region is a file of fixed size that the shim maps shared while the target runs. It holds state, not
// a log: stack traces, and for every (stack trace, birth epoch) how much was allocated and freed.
//
//   offset 0                                                                        region_bytes
//   | header | statistics | intervals | epochs | modules | strings | buckets | nodes | counters  heap |
//
// Counters are taken from the front of the last table and the heap's bytes from its back, until they
// meet: what a Python program needs for its code objects is not known when the region is made.
//
// Who writes. The shim is the only writer of everything but a few fields of the header:
// `epoch_request`, which an analyzer may raise to ask for a new birth epoch, `wanted`, with which it
// starts and pauses recording, and `lookup`, with which it asks about one live block. Nothing is ever
// removed or moved: tables are filled by taking the next index with an atomic add on `*_used`, writing
// the record, then publishing it (a release store or a compare-and-swap that makes it reachable). A
// record that was taken but never published is all zero.
//
// How to read it without stopping the writer. Copy with pread(2), never through a mapping: the target
// may truncate the file at any time. Copy in the order counters, nodes, heap, modules, strings. A
// published counter refers to a node that was complete before it, a node to a module or to a code
// object in the heap, a module to its strings, so everything referred to by an earlier copy is complete
// in the later one. In a counter the freed sums lie in front of the allocated sums, so a copy that runs
// upwards sees every free together with its allocation and no live count is negative; a reader that
// finds one anyway (the copy was interrupted between the two) reads that record again.
//
// The peer may be hostile. A reader checks every offset, index and length from its private copy against
// the copy's size before it uses it, and never reads the same field twice.
#ifndef LEAKPROF_REGION_LAYOUT_H
#define LEAKPROF_REGION_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

// The version of shim and analyzer.
#define LEAKPROF_VERSION "0.1.0"

// "LEAKREG1" in memory order. Written last during creation, with release order.
#define LP_MAGIC 0x314745524b41454cULL
// Raised whenever the meaning of a field changes. Readers refuse every other value.
#define LP_LAYOUT_VERSION 5

// Bytes. A region smaller than the minimum has no room for its tables; the maximum bounds a reader.
#define LP_REGION_BYTES_MIN 262144
#define LP_REGION_BYTES_DEFAULT 16777216
#define LP_REGION_BYTES_MAX 1073741824

// Frames kept per stack trace, leaf first; deeper traces are cut at the root end and marked.
#define LP_MAX_DEPTH 128

// A node packs a return address below its module's index.
#define LP_ADDRESS_BITS 48
#define LP_ADDRESS_MASK 0xffffffffffffULL

// In place of the outermost return address of a trace that does not reach the thread's first function.
#define LP_FRAME_TRUNCATED_DEPTH 1  // more frames than the depth limit
#define LP_FRAME_TRUNCATED_UNWIND 2 // no unwind information for the frame before

// Between two frames of a trace: the code of the inner one, and perhaps of frames further in, has no
// unwind information. Their callers were found by frame pointers; some may be missing.
#define LP_FRAME_GUESSED 3

// At the leaf of a trace: the block came from one of CPython's memory domains, not from malloc itself.
#define LP_FRAME_DOMAIN_RAW 4
#define LP_FRAME_DOMAIN_MEM 5
#define LP_FRAME_DOMAIN_OBJECT 6

// A Python frame: this bit, where its code object lies in the heap (the distance from the heap's end in
// units of 8 bytes; 0: there was no room for it), and one more than the offset in bytes of the
// instruction in its bytecode; 0 when none had run. Where the line table is long, the last is the line
// itself, with a bit of its own.
#define LP_FRAME_PYTHON (1ULL << 63)
#define LP_PYTHON_CODE_SHIFT 36
#define LP_PYTHON_CODE_MASK 0x7ffffffULL
#define LP_PYTHON_OFFSET_MASK 0x7ffffffffULL
#define LP_PYTHON_LINE 0x800000000ULL

// Frames and what stands for others: the longest chain of nodes. Python frames are as many again.
#define LP_MAX_TRACE 388

// Values of `mode`.
#define LP_MODE_AUTO 0
#define LP_MODE_EXACT 1
#define LP_MODE_SAMPLED 2

// Values of `state`.
#define LP_STATE_STARTING 0
#define LP_STATE_RECORDING 1
#define LP_STATE_OFF 2    // `off_reason` says why
#define LP_STATE_ENDED 3  // the process ran its exit handlers; late frees are still counted
#define LP_STATE_PAUSED 4 // allocations are not recorded; frees of what was recorded are still counted

// Values of `wanted`.
#define LP_WANTED_RECORDING 0
#define LP_WANTED_PAUSED 1
// Besides either: an answer to `lookup`. The shim takes it away.
#define LP_WANTED_LOOKUP 2

// Values of `lookup`. An analyzer that asks holds the file's lock (flock).
#define LP_LOOKUP_NONE 0
#define LP_LOOKUP_ASKED 1     // by the analyzer, after `lookup_address`
#define LP_LOOKUP_UNDER_WAY 2 // by the shim
#define LP_LOOKUP_ANSWERED 3  // by the shim, after what it found

// Values of `off_reason`.
#define LP_OFF_NONE 0
#define LP_OFF_NO_WIPE_ON_FORK 1 // Linux older than 4.14
#define LP_OFF_NO_UNWINDER 2     // the loader knows of no module
#define LP_OFF_OTHER_SHIM 3      // another copy of the shim records this process
#define LP_OFF_DIRECTORY 4       // the directory is missing, not ours, or open to others
#define LP_OFF_NO_SPACE 5        // less room than the smallest region
#define LP_OFF_FILE 6            // the region's file could not be created or mapped
#define LP_OFF_NOT_FOLLOWED 7    // a forked child, and LEAKPROF_FOLLOW=0
#define LP_OFF_NO_TIME 8         // the process's start time could not be read (/proc missing)
#define LP_OFF_CONFINED 9        // a forked child of a process that gave up system calls (seccomp)

// Values of lp_epoch.reason.
#define LP_EPOCH_START 0
#define LP_EPOCH_CLOCK 1
#define LP_EPOCH_REQUEST 2 // an analyzer or the signal took a snapshot

// Indices into the statistics. All count events and never decrease, unless said otherwise.
#define LP_STAT_EARLY 0                // allocations before recording could start
#define LP_STAT_NESTED 1               // allocations made while inside the next allocator
#define LP_STAT_UNKNOWN_FREES 2        // frees of blocks that were not recorded (exact mode)
#define LP_STAT_REPLACED 3             // allocations at an address whose free was not seen
#define LP_STAT_DROPPED_MEMORY 4       // allocations not recorded: the live table may not grow
#define LP_STAT_DROPPED_MEMORY_BYTES 5 // their size
#define LP_STAT_DROPPED_COUNTERS 6     // allocations not recorded: no counter was left
#define LP_STAT_DROPPED_COUNTERS_BYTES 7
#define LP_STAT_UNREPRESENTABLE 8   // allocations whose address or size does not fit a record
#define LP_STAT_STACKS_LOST 9       // allocations counted without a stack: the stack table is full
#define LP_STAT_TRUNCATED_DEPTH 10  // stack traces cut at the depth limit
#define LP_STAT_TRUNCATED_UNWIND 11 // stack traces cut or guessed, for want of unwind information
#define LP_STAT_MODULES_LOST 12     // modules for which there was no record or no string space left
#define LP_STAT_EPOCHS_LOST 13      // epochs not started: the epoch table is full
#define LP_STAT_COPIES_WRITTEN 14   // snapshots written by the signal or by leakshim_snapshot()
#define LP_STAT_COPIES_FAILED 15
#define LP_STAT_CONFIG_ERRORS 16    // bit set, see LP_CONFIG_ERROR_*; not a count
#define LP_STAT_LIVE_TABLE_BYTES 17 // memory of the live table; not a count
#define LP_STAT_EARLY_BYTES 18      // bytes of the early arena in use; not a count
#define LP_STAT_EPOCHS_MERGED 19 // allocations counted in an older epoch, to leave counters for stacks
#define LP_STAT_THINNED 20       // blocks forgotten when sampling began or its interval rose
#define LP_STAT_OTHER_MALLOC                                                                           \
    21 // module whose malloc is called in place of the shim's, 0: none; not a count
#define LP_STAT_CODES_LOST 22 // code objects for which the heap had no room
#define LP_STAT_COUNT 23

// Bits of LP_STAT_CONFIG_ERRORS: the variable was not understood and its default is in force.
#define LP_CONFIG_ERROR_MODE 1
#define LP_CONFIG_ERROR_INTERVAL 2
#define LP_CONFIG_ERROR_DEPTH 4
#define LP_CONFIG_ERROR_MAX_MEMORY 8
#define LP_CONFIG_ERROR_REGION_SIZE 16
#define LP_CONFIG_ERROR_SIGNAL 32
#define LP_CONFIG_ERROR_FOLLOW 64
#define LP_CONFIG_ERROR_DIR 128
#define LP_CONFIG_ERROR_SEED 256
#define LP_CONFIG_ERROR_KEEP 512
#define LP_CONFIG_ERROR_OVERHEAD 1024
#define LP_CONFIG_ERROR_PAUSED 2048
#define LP_CONFIG_ERROR_PYTHON 4096

// `python`: the interpreter that was found in the process, as 256 * major + minor, 0: none; and what is
// recorded of it.
#define LP_PYTHON_VERSION_MASK 0xffff
#define LP_PYTHON_FRAMES 0x10000        // its frames are part of the stacks
#define LP_PYTHON_ALLOCATORS 0x20000    // what its own allocators hand out are blocks
#define LP_PYTHON_FREE_THREADED 0x40000 // it has no global lock
#define LP_PYTHON_ONLY 0x80000          // no native frames where there are Python frames

// Values of lp_code.table_kind; see lp_code.
#define LP_LINES_NUMBERS 0   // co_lnotab of Python 3.8 and 3.9
#define LP_LINES_RANGES 1    // co_linetable of 3.10
#define LP_LINES_LOCATIONS 2 // co_linetable of 3.11 and later

// Sampling intervals in force during the run, in bytes; entry 0 is 0 and means exact.
#define LP_INTERVALS 62

// Written once at creation unless marked. Times are in nanoseconds.
struct lp_header {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t layout_signature; // lp_layout_signature(): halves built apart refuse each other
    uint64_t region_bytes;
    uint64_t start_ticks;   // process start, clock ticks since boot: field 22 of /proc/PID/stat
    uint64_t pid_namespace; // inode of /proc/self/ns/pid, 0 if unknown
    uint64_t image_nonce;   // from AT_RANDOM: tells two images of one process apart
    uint64_t started_realtime_ns;
    uint64_t started_monotonic_ns;

    uint32_t pid;         // in the target's own pid namespace
    uint32_t forked_from; // parent's pid when this process is a fork without exec, else 0
    uint32_t mode;
    uint32_t max_depth;      // frames
    uint64_t interval_bytes; // configured mean sampling interval, 0 in exact mode
    uint64_t max_memory_bytes;
    uint64_t statistics_off;
    uint64_t intervals_off;
    uint64_t epochs_off;
    uint64_t modules_off;

    uint64_t strings_off;
    uint64_t buckets_off;
    uint64_t nodes_off;
    uint64_t counters_off;
    uint32_t epochs_capacity;
    uint32_t modules_capacity;
    uint32_t strings_capacity; // bytes
    uint32_t buckets_capacity; // power of two
    uint32_t nodes_capacity;
    uint32_t counters_capacity;
    uint32_t directory_off; // the target's working directory at start, in the strings
    uint32_t directory_length;

    // Read on every allocation, written rarely: alone on a cache line, but for the clock, which is
    // written when it has moved.
    uint32_t state;          // atomic
    uint32_t off_reason;     // atomic, set before `state` becomes LP_STATE_OFF
    uint32_t epoch;          // atomic, never decreases; the birth epoch of new blocks, from 1
    uint32_t epoch_request;  // atomic; an analyzer's: the epoch it wants started
    uint32_t interval_index; // atomic; the sampling interval in force
    uint32_t
        recording_ppm; // atomic; auto mode: what recording cost lately, in millionths of the CPU time
    uint64_t ended_monotonic_ns; // 0 until LP_STATE_ENDED
    uint64_t next_epoch_ns;      // atomic; monotonic time at which the clock starts the next epoch
    uint64_t last_active_ns;     // atomic; monotonic time of a recent allocation
    uint32_t wanted;             // atomic; an analyzer's: LP_WANTED_*
    uint32_t lookup;             // atomic; LP_LOOKUP_*
    uint64_t lookup_address;     // an analyzer's: where a block begins

    // How many records of each table are taken; atomic, only grow. May exceed the capacity.
    uint32_t epochs_used;
    uint32_t modules_used;
    uint32_t strings_used;
    uint32_t nodes_used;
    uint32_t counters_used; // changed together with `heap_used`, as one word of 64 bits
    uint32_t heap_used;     // in units of 8 bytes
    uint32_t intervals_used;
    // In a copy written by the target itself; 0 in the region, as are the two times.
    uint32_t copy_cut_epoch; // blocks born in later epochs were allocated after the copy was begun
    uint64_t copied_realtime_ns;
    uint64_t copied_monotonic_ns;
    uint64_t lookup_size;    // of the block that was looked up, in bytes
    uint32_t lookup_counter; // its counter, 0: no block that is live and recorded begins there
    uint32_t python;         // atomic; LP_PYTHON_*
};

// When an epoch began. Epoch n is record n - 1.
struct lp_epoch {
    uint64_t started_monotonic_ns; // written last; 0: not published yet
    uint32_t reason;               // LP_EPOCH_*
    uint32_t reserved;
};

// A file mapped for execution, seen on a stack. The same path loaded again is a new record.
struct lp_module {
    uint64_t start;     // first address of the mapping
    uint64_t end;       // one past the last
    uint64_t load_bias; // runtime address minus the address stated in the file
    uint64_t signature; // what lp_module_signature() read from memory: tells reloads apart
    uint64_t first_seen_ns;
    uint32_t path_off; // into the strings; no terminator is counted in the length
    uint32_t path_length;
    uint32_t build_id_off; // into the strings: the bytes of the note
    uint32_t build_id_length;
    uint32_t build_id_memory_off; // where the note's bytes lie, from the ELF header; 0: there is none
    uint32_t replaced_by;         // atomic; the module loaded at the same address later, 0: none
    uint32_t published;           // 1 once complete (release)
    uint32_t reserved;
};

// One frame of a stack trace; the trace is the chain of parents, so traces share their outer frames.
// Record 0 is the empty trace: the parent of outermost frames, and the stack of blocks without one.
struct lp_node {
    // Return address | module index << 48; for a signal frame, the address plus one. In two halves, or
    // the record would need 4 more bytes to be aligned.
    uint32_t frame_low;
    uint32_t frame_high;
    uint32_t parent;         // the caller's node
    uint32_t next;           // next node with the same hash, 0 ends
    uint32_t newest_counter; // atomic; of the trace that ends here, 0: none
};

// What was allocated at one stack trace in one birth epoch, and how much of that was freed since.
// Sizes are requested sizes in bytes. Record 0 is not used.
//
// A thread that allocates much at one place has a record of its own there and adds to it without
// locking; so a stack and epoch may have several records, and their sums are to be added. Blocks that
// another thread frees are counted apart, in the record that counted their allocation.
//
// When nothing of an epoch is left, the record goes over to the next one. All that it had counted by
// then is of earlier epochs: the `retired` sums.
struct lp_counter {
    uint64_t freed_objects; // by the owner
    uint64_t freed_bytes;
    uint64_t foreign_freed_objects; // atomic; by others than the owner
    uint64_t foreign_freed_bytes;
    uint64_t allocated_objects; // atomic when there is no owner; the sums count recorded blocks, each
    uint64_t allocated_bytes;   // with weight one
    uint32_t stack;             // node index; valid once `epoch` is not 0
    uint16_t epoch;             // atomic; written last (release), only grows
    uint16_t owner;             // number of the thread block it belongs to, 0: it is shared
    uint32_t sampled;           // atomic; index of the lp_sampled record, 0: nothing was sampled
    uint32_t next;              // the stack's next older record, 0 ends
    uint64_t retired_objects;   // at most what was freed, which is at most what was allocated
    uint64_t retired_bytes;
};

// Continues a counter, in the same table, when blocks were sampled: what their weights add to the sums.
// A block of size k recorded under mean interval T stands for w = 1 / (1 - exp(-k / T)) blocks; it adds
// w - 1 objects, k (w - 1) bytes, and the variances w (w - 1) and k^2 w (w - 1) of these estimates
// (Horvitz-Thompson estimator for Poisson sampling; jemalloc's PROFILING_INTERNALS has the derivation).
// Sums wrap; only differences of allocated and freed are meaningful for the variances.
struct lp_sampled {
    uint64_t freed_extra_objects; // in 1/256 objects
    uint64_t freed_extra_bytes;
    uint64_t freed_variance_objects;
    uint64_t freed_variance_bytes;
    uint64_t allocated_extra_objects; // in 1/256 objects
    uint64_t allocated_extra_bytes;
    uint64_t allocated_variance_objects;
    uint64_t allocated_variance_bytes;
    uint64_t retired_extra_objects; // of `allocated_extra`, what is of earlier epochs; in 1/256 objects
    uint64_t retired_extra_bytes;
};

#define LP_EXTRA_OBJECTS_ONE 256

// A Python code object, in the heap, followed by its name and its line table, without gaps. Both names
// are in UTF-8; bytes that Python could not decode in a file's name are as they were.
struct lp_code {
    int32_t first_line;
    uint32_t name_length; // of the qualified name where Python has one (3.11)
    uint32_t file_text; // where the lp_text of the file's name lies, like the code in a frame; 0: none
    uint32_t table_length; // 0 where it is long, see LP_PYTHON_LINE
    uint32_t table_kind;   // LP_LINES_*
    uint32_t reserved;
};

// Text in the heap, followed by its bytes.
struct lp_text {
    uint32_t length;
    uint32_t reserved;
};

// Lies in the shim's own data, where an analyzer finds it by its mark: says why there is no region.
struct lp_status {
    uint64_t mark_low;  // LP_STATUS_MARK_LOW
    uint64_t mark_high; // LP_STATUS_MARK_HIGH
    uint32_t layout_version;
    uint32_t is_recording;
    uint32_t off_reason; // LP_OFF_*
    uint32_t pid;
};

// "leakshim" and "-status" in memory order.
#define LP_STATUS_MARK_LOW 0x6d6968736b61656cULL
#define LP_STATUS_MARK_HIGH 0x007375746174732dULL

// Sizes and offsets as the C compiler lays them out, in bytes: layout_asserts.c holds it to them, and
// LayoutTests holds Swift to them.
#define LP_HEADER_BYTES 320
#define LP_HEADER_STATE_OFF 192
#define LP_HEADER_EPOCHS_USED_OFF 256
#define LP_EPOCH_BYTES 16
#define LP_MODULE_BYTES 72
#define LP_NODE_BYTES 20
#define LP_CODE_BYTES 24
#define LP_TEXT_BYTES 8
#define LP_COUNTER_BYTES 80
#define LP_COUNTER_ALLOCATED_OFF 32
#define LP_COUNTER_STACK_OFF 48
#define LP_SAMPLED_ALLOCATED_OFF 32

static inline uint64_t lp_node_frame(const struct lp_node *node) {
    return node->frame_low | (uint64_t)node->frame_high << 32;
}

static inline uint32_t lp_layout_signature(void) {
    uint32_t hash = LP_LAYOUT_VERSION;
    hash = hash * 31 + (uint32_t)sizeof(struct lp_header);
    hash = hash * 31 + (uint32_t)sizeof(struct lp_epoch);
    hash = hash * 31 + (uint32_t)sizeof(struct lp_module);
    hash = hash * 31 + (uint32_t)sizeof(struct lp_node);
    hash = hash * 31 + (uint32_t)sizeof(struct lp_counter);
    hash = hash * 31 + (uint32_t)sizeof(struct lp_sampled);
    hash = hash * 31 + (uint32_t)sizeof(struct lp_code);
    hash = hash * 31 + (uint32_t)offsetof(struct lp_header, state);
    hash = hash * 31 + (uint32_t)offsetof(struct lp_header, epochs_used);
    hash = hash * 31 + LP_STAT_COUNT;
    return hash;
}

// Fields marked atomic are read and written through these and nothing else, so the memory order of the
// protocol stands here once for both languages.
static inline uint32_t lp_load_relaxed_u32(const uint32_t *field) {
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}
static inline uint64_t lp_load_relaxed_u64(const uint64_t *field) {
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}
static inline uint32_t lp_load_acquire_u32(const uint32_t *field) {
    return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}
static inline uint64_t lp_load_acquire_u64(const uint64_t *field) {
    return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}
static inline void lp_store_relaxed_u32(uint32_t *field, uint32_t value) {
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}
static inline void lp_store_relaxed_u64(uint64_t *field, uint64_t value) {
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}
static inline void lp_store_release_u32(uint32_t *field, uint32_t value) {
    __atomic_store_n(field, value, __ATOMIC_RELEASE);
}
static inline void lp_store_release_u64(uint64_t *field, uint64_t value) {
    __atomic_store_n(field, value, __ATOMIC_RELEASE);
}
static inline uint16_t lp_load_acquire_u16(const uint16_t *field) {
    return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}
static inline void lp_store_release_u16(uint16_t *field, uint16_t value) {
    __atomic_store_n(field, value, __ATOMIC_RELEASE);
}
// Returns the value before the addition.
static inline uint32_t lp_add_relaxed_u32(uint32_t *field, uint32_t amount) {
    return __atomic_fetch_add(field, amount, __ATOMIC_RELAXED);
}
static inline uint64_t lp_add_relaxed_u64(uint64_t *field, uint64_t amount) {
    return __atomic_fetch_add(field, amount, __ATOMIC_RELAXED);
}
// Stores `desired` if the field holds `*expected` and returns 1; else loads the field into `*expected`
// and returns 0. Acquire on both outcomes, release on success.
static inline int lp_compare_exchange_u32(uint32_t *field, uint32_t *expected, uint32_t desired) {
    return __atomic_compare_exchange_n(field, expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
static inline int lp_compare_exchange_u16(uint16_t *field, uint16_t *expected, uint16_t desired) {
    return __atomic_compare_exchange_n(field, expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
static inline int lp_compare_exchange_u64(uint64_t *field, uint64_t *expected, uint64_t desired) {
    return __atomic_compare_exchange_n(field, expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

#endif
