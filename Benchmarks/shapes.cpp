// Allocation shapes, one per run: what `make bench` runs with and without a profiler.
//
//     shapes SHAPE THREADS PAIRS     Prints the CPU time of one pair of allocation and free, in ns, and
//                                    the resident memory while the shape's blocks were live, in KiB.
//
// The time is the whole process's while the threads run, so what a profiler's own threads in it use is
// counted; other processes' is not. A shape prints what it did, never what was expected of it.
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <execinfo.h>
#include <fcntl.h>
#include <list>
#include <map>
#include <mutex>
#include <pthread.h>
#include <string>
#include <unistd.h>
#include <vector>

#define NOINLINE __attribute__((noinline))

namespace {

// The compiler may not assume anything about the block, nor leave the pair out.
inline void keep(void *block) {
    asm volatile("" : : "r"(block) : "memory");
}

// Calls `work` with `depth` frames of its own below it. What comes after the call keeps it from
// becoming a jump.
template <typename Work> NOINLINE void at_depth(int depth, Work &work) {
    if (depth <= 1) {
        work();
    } else {
        at_depth(depth - 1, work);
    }
    asm volatile("");
}

NOINLINE void *allocate(size_t size) {
    void *block = malloc(size);
    keep(block);
    return block;
}

// How many frames are on the stack, down to the one of the function that calls this.
NOINLINE int frames() {
    void *addresses[128];
    return backtrace(addresses, 128) - 1;
}

// What of the process is in memory now, exactly: the kernel counts the pages (getrusage's figure is
// off by what each processor has not added up yet).
long resident_kib() {
    char text[1024];
    int descriptor = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(descriptor, text, sizeof text - 1);
    close(descriptor);
    text[length > 0 ? length : 0] = '\0';
    const char *line = strstr(text, "Rss:");
    return line == nullptr ? 0 : atol(line + 4);
}

std::atomic<long> live_kib;
int thread_count;

uint32_t next_random(uint32_t &state) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

// Every function makes about `pairs` pairs and returns how many it made.
using Shape = long(int thread, long pairs);

// malloc is called with `depth` frames on the stack, counted from where the program or thread begins.
template <int depth> long pair_at(int, long pairs) {
    auto work = [pairs]() __attribute__((always_inline)) {
        for (long i = 0; i < pairs; i++) {
            void *block = malloc(16 + static_cast<size_t>(i) % 500);
            keep(block);
            free(block);
        }
    };
    int missing = depth - frames();
    if (missing > 0) {
        at_depth(missing, work);
    } else {
        work();
    }
    return pairs;
}

// Lists, maps and strings come and go, a few hundred live at a time.
struct Containers {
    std::list<std::string> names;
    std::map<uint32_t, std::string> index;
    std::vector<std::string> words;
};

NOINLINE void fill(Containers &containers, uint32_t &random, long &pairs) {
    for (int i = 0; i < 40; i++) {
        containers.names.emplace_back(30 + next_random(random) % 40, 'n');
        containers.index[next_random(random) % 4096] = std::string(24, 'v');
        containers.words.push_back(containers.names.back());
        pairs += 5;
    }
}

long containers(int thread, long pairs) {
    uint32_t random = 2463534242U + static_cast<uint32_t>(thread);
    long made = 0;
    auto work = [&] {
        while (made < pairs) {
            Containers containers;
            fill(containers, random, made);
            fill(containers, random, made);
        }
    };
    at_depth(8, work);
    return made;
}

// A list of small nodes grows to `pairs` nodes and is taken down from its front: the shape that MemHawk
// publishes figures of.
long lists(int, long pairs) {
    std::list<int> list;
    for (long i = 0; i < pairs; i++) list.emplace_back(static_cast<int>(i));
    for (long i = 0; i < pairs; i++) list.pop_front();
    return pairs;
}

// A tree walk: every allocation has another stack than the one before.
NOINLINE long walk(int depth, uint32_t path, uint32_t &random, std::vector<void *> &kept) {
    void *block = allocate(24 + path % 64);
    long made = 1;
    if (depth > 0) {
        if (next_random(random) % 2 != 0) {
            made += walk(depth - 1, path * 2, random, kept);
        } else {
            made += walk(depth - 1, path * 2 + 1, random, kept);
        }
    }
    free(block);
    return made;
}

long recursion(int thread, long pairs) {
    uint32_t random = 88172645U + static_cast<uint32_t>(thread);
    std::vector<void *> kept;
    long made = 0;
    while (made < pairs) made += walk(40, 1, random, kept);
    return made;
}

// Threads make blocks and put them where another thread's are, and free those.
std::atomic<void *> mailboxes[64][256];

long handover(int thread, long pairs) {
    auto &out = mailboxes[thread % 64];
    for (long i = 0; i < pairs; i++) {
        auto &in = mailboxes[(static_cast<uint64_t>(thread) + static_cast<uint64_t>(i)) % 64];
        free(out[i % 256].exchange(allocate(64)));
        if (i % 2 == 0) free(in[i % 256].exchange(nullptr));
    }
    return pairs;
}

// One thread makes blocks, another frees them. They hand them over in batches and sleep while there is
// nothing to do, so that waiting is not counted.
struct Queue {
    static constexpr size_t batch = 4096;
    static constexpr size_t batches = 8;

    std::mutex mutex;
    std::condition_variable changed;
    size_t filled = 0;
    size_t emptied = 0;
    void *blocks[batches][batch];

    void wait_for_room() {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return filled - emptied < batches; });
    }

    void wait_for_blocks() {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return filled > emptied; });
    }

    void advance(size_t &count) {
        std::unique_lock lock(mutex);
        count++;
        changed.notify_one();
    }
};

Queue queues[64];

// Threads with even numbers make, odd ones free.
long producer_consumer(int thread, long pairs) {
    Queue &queue = queues[thread / 2 % 64];
    size_t batches = static_cast<size_t>(pairs) * 2 / Queue::batch;
    for (size_t i = 0; i < batches; i++) {
        auto &blocks = queue.blocks[i % Queue::batches];
        if (thread % 2 == 0) {
            queue.wait_for_room();
            for (size_t j = 0; j < Queue::batch; j++) blocks[j] = allocate(16 + j % 240);
            queue.advance(queue.filled);
        } else {
            queue.wait_for_blocks();
            for (void *block : blocks) free(block);
            queue.advance(queue.emptied);
        }
    }
    return static_cast<long>(batches * Queue::batch / 2);
}

// Vectors that grow by realloc from 16 bytes to 64 KiB.
long growth(int, long pairs) {
    long made = 0;
    while (made < pairs) {
        void *block = nullptr;
        for (size_t size = 16; size <= 65536; size += size / 2, made++) {
            block = realloc(block, size);
            keep(block);
        }
        free(block);
    }
    return made;
}

// All the pairs' blocks live at once, of 16 bytes and up to `spread` more, then freed in another order.
template <size_t spread> long big_heap(int, long pairs) {
    size_t blocks = static_cast<size_t>(pairs);
    auto kept = static_cast<void **>(calloc(blocks, sizeof(void *)));
    for (size_t i = 0; i < blocks; i++) {
        kept[i] = allocate(16 + i * 7 % spread);
        memset(kept[i], 1, 16);
    }
    live_kib = resident_kib();
    for (size_t i = 0; i < blocks; i++) free(kept[i * 7919 % blocks]);
    free(kept);
    return pairs;
}

// As many blocks live as `live`, replaced in random order.
template <size_t live> long population(int thread, long pairs) {
    static void *kept[16][live];
    auto &own = kept[thread % 16];
    uint32_t random = 3141592653U + static_cast<uint32_t>(thread);
    for (long i = 0; i < pairs; i++) {
        void *&slot = own[next_random(random) % live];
        free(slot);
        slot = allocate(16 + static_cast<size_t>(i) % 240);
    }
    return pairs;
}

// Threads that have made their pairs and all are there: what one of them keeps in memory.
long idle_threads(int thread, long pairs) {
    static pthread_barrier_t barrier;
    static bool is_ready = [] {
        return pthread_barrier_init(&barrier, nullptr, static_cast<unsigned>(thread_count)) == 0;
    }();
    if (!is_ready) abort();
    long made = pair_at<16>(thread, pairs);
    pthread_barrier_wait(&barrier);
    if (thread == 0) live_kib = resident_kib();
    pthread_barrier_wait(&barrier);
    return made;
}

// No pairs, but multiplications that wait for one another, of 3 cycles each: the clock of the core.
long clock_cycles(int, long multiplications) {
    uint64_t product = 3;
    for (long i = 0; i < multiplications; i++) asm volatile("imul %0, %0" : "+r"(product));
    return multiplications;
}

struct Named {
    const char *name;
    Shape *shape;
};

const Named shapes[] = {
    {"pair-5", pair_at<5>},
    {"pair-16", pair_at<16>},
    {"pair-20", pair_at<20>},
    {"pair-60", pair_at<60>},
    {"containers", containers},
    {"lists", lists},
    {"recursion", recursion},
    {"handover", handover},
    {"producer-consumer", producer_consumer},
    {"growth", growth},
    {"big-heap", big_heap<100>},
    {"one-gib", big_heap<184>},
    {"population-10k", population<10000>},
    {"population-1m", population<1000000>},
    {"idle-threads", idle_threads},
    {"clock", clock_cycles},
};

struct Run {
    pthread_t thread;
    Shape *shape;
    int number;
    long pairs;
    long made;
};

void *start(void *argument) {
    auto run = static_cast<Run *>(argument);
    run->made = run->shape(run->number, run->pairs);
    return nullptr;
}

double cpu_ns() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

} // namespace

int main(int argc, char **argv) {
    Shape *shape = nullptr;
    for (const Named &named : shapes) {
        if (argc == 4 && strcmp(named.name, argv[1]) == 0) shape = named.shape;
    }
    if (shape == nullptr) {
        fprintf(stderr, "usage: shapes SHAPE THREADS PAIRS, SHAPE one of:");
        for (const Named &named : shapes) fprintf(stderr, " %s", named.name);
        fprintf(stderr, "\n");
        return 64;
    }
    thread_count = atoi(argv[2]);
    long pairs = atol(argv[3]) / thread_count;
    std::vector<Run> runs(static_cast<size_t>(thread_count));
    for (int i = 0; i < thread_count; i++) runs[static_cast<size_t>(i)] = {{}, shape, i, pairs, 0};
    double before = cpu_ns();
    if (thread_count == 1) {
        start(&runs[0]);
    } else {
        for (Run &run : runs) pthread_create(&run.thread, nullptr, start, &run);
        for (Run &run : runs) pthread_join(run.thread, nullptr);
    }
    double used = cpu_ns() - before;
    long made = 0;
    for (const Run &run : runs) made += run.made;
    printf("%.3f ns per pair, %ld pairs, %ld KiB\n", used / static_cast<double>(made), made,
           live_kib.load());
    return 0;
}
