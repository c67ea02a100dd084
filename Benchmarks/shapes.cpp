// Allocation shapes, one per run: what `make bench` runs with and without a profiler.
//
//     shapes SHAPE THREADS PAIRS     Prints the CPU time of one pair of allocation and free, in ns.
//
// The time is the whole process's while the threads run, so what a profiler's own threads in it use is
// counted; other processes' is not. A shape prints what it did, never what was expected of it.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <list>
#include <map>
#include <pthread.h>
#include <sched.h>
#include <string>
#include <sys/resource.h>
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

uint32_t next_random(uint32_t &state) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

// Every function makes about `pairs` pairs and returns how many it made.
using Shape = long(int thread, long pairs);

template <int depth> long pair_at(int, long pairs) {
    auto work = [pairs] {
        for (long i = 0; i < pairs; i++) free(allocate(16 + static_cast<size_t>(i) % 500));
    };
    at_depth(depth, work);
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

// Blocks are freed by another thread than the one that made them.
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

// Half of the pairs' blocks live at once, then all are freed in another order.
long big_heap(int, long pairs) {
    size_t blocks = static_cast<size_t>(pairs);
    auto kept = static_cast<void **>(calloc(blocks, sizeof(void *)));
    for (size_t i = 0; i < blocks; i++) {
        kept[i] = allocate(16 + i * 7 % 100);
        memset(kept[i], 1, 16);
    }
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

struct Named {
    const char *name;
    Shape *shape;
};

const Named shapes[] = {
    {"pair-5", pair_at<3>},
    {"pair-16", pair_at<14>},
    {"pair-20", pair_at<18>},
    {"pair-60", pair_at<58>},
    {"containers", containers},
    {"recursion", recursion},
    {"handover", handover},
    {"growth", growth},
    {"big-heap", big_heap},
    {"population-10k", population<10000>},
    {"population-1m", population<1000000>},
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
    int threads = atoi(argv[2]);
    long pairs = atol(argv[3]) / threads;
    std::vector<Run> runs(static_cast<size_t>(threads));
    for (int i = 0; i < threads; i++) runs[static_cast<size_t>(i)] = {{}, shape, i, pairs, 0};
    double before = cpu_ns();
    if (threads == 1) {
        start(&runs[0]);
    } else {
        for (Run &run : runs) pthread_create(&run.thread, nullptr, start, &run);
        for (Run &run : runs) pthread_join(run.thread, nullptr);
    }
    double used = cpu_ns() - before;
    long made = 0;
    for (const Run &run : runs) made += run.made;
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    printf("%.2f ns per pair, %ld pairs, %ld KiB\n", used / static_cast<double>(made), made,
           usage.ru_maxrss);
    return 0;
}
