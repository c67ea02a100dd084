// Four threads throw and catch, ROUNDS times each, while a fifth loads and unloads the library it is
// given and a sixth lists the loaded ones, which takes the loader's lock and allocates under it. Every
// thread leaves 50 blocks of 19001 bytes. Waits for a line on stdin.
//
//     throwing-threads ROUNDS LIBRARY
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <link.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static std::atomic<bool> is_done{false};
static std::atomic<long> caught{0};

__attribute__((noinline)) static std::size_t throw_from(int depth) {
    std::string text(40 + static_cast<std::size_t>(depth), 'x');
    if (depth == 0) throw std::runtime_error(text);
    return throw_from(depth - 1) + text.size();
}

static void keep() {
    for (int i = 0; i < 50; i++) {
        void *volatile kept = std::malloc(19001);
        (void)kept;
    }
}

static void throw_and_catch(int rounds) {
    for (int i = 0; i < rounds; i++) {
        try {
            throw_from(i % 12);
        } catch (const std::exception &) {
            caught++;
        }
    }
    keep();
}

static void load_and_unload(const char *path) {
    while (!is_done) {
        void *library = dlopen(path, RTLD_NOW);
        if (library == nullptr) std::abort();
        dlclose(library);
    }
    keep();
}

static int count_module(dl_phdr_info *, std::size_t, void *count) {
    void *volatile block = std::malloc(500);
    std::free(block);
    ++*static_cast<int *>(count);
    return 0;
}

static void list() {
    int count = 0;
    while (!is_done) dl_iterate_phdr(count_module, &count);
    keep();
}

int main(int argc, char **argv) {
    if (argc != 3) return 64;
    std::vector<std::thread> throwers;
    for (int i = 0; i < 4; i++) throwers.emplace_back(throw_and_catch, std::atoi(argv[1]));
    std::thread loader(load_and_unload, argv[2]), lister(list);
    for (std::thread &thrower : throwers) thrower.join();
    is_done = true;
    loader.join();
    lister.join();
    std::printf("%ld caught\nready\n", caught.load());
    std::fflush(stdout);
    return std::getchar() == EOF;
}
