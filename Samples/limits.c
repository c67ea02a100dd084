// Takes away from itself what its argument says, and allocates.
//
//     limits address-space|data|file-size|descriptors|mappings|dumpable|recursion
//
// Keeps 50 blocks of 3001 bytes before, 50 of 3002 after, prints what it found, and waits for a line on
// stdin.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

__attribute__((noinline)) static void keep(size_t size) {
    for (int i = 0; i < 50; i++) {
        void *volatile kept = malloc(size);
        (void)kept;
    }
}

__attribute__((noinline)) static void churn(int count) {
    for (int i = 0; i < count; i++) {
        void *volatile block = malloc((size_t)i % 3000);
        free(block);
    }
}

static size_t pages_of(int field) {
    char text[256] = {0};
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fgets(text, sizeof text, file) == NULL) exit(60);
    fclose(file);
    size_t sizes[7] = {0};
    sscanf(text, "%zu %zu %zu %zu %zu %zu", &sizes[0], &sizes[1], &sizes[2], &sizes[3], &sizes[4],
           &sizes[5]);
    return sizes[field] * 4096;
}

// Gets blocks until there are no more, and gives them back: twice.
static void exhaust(size_t size, size_t expected) {
    for (int round = 0; round < 2; round++) {
        void **newest = NULL;
        size_t bytes = 0;
        void **block;
        errno = 0;
        while ((block = malloc(size)) != NULL) {
            *block = (void *)newest;
            newest = block;
            bytes += size;
        }
        printf("%zu: %s: %s\n", size, strerror(errno), bytes >= expected ? "enough" : "too early");
        errno = 0;
        void *larger = realloc(newest, 1UL << 40);
        printf("%s: %s\n", larger == NULL ? "refused" : "got", strerror(errno));
        while (newest != NULL) {
            void **older = (void **)*newest;
            free((void *)newest);
            newest = older;
        }
    }
}

static void set(__rlimit_resource_t what, rlim_t value) {
    struct rlimit limit = {value, value};
    if (setrlimit(what, &limit) != 0) exit(61);
}

// Takes mappings until the kernel gives no more, but for a few.
static void exhaust_mappings(void) {
    size_t pages = 70000;
    char *all = mmap(NULL, pages * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) exit(62);
    size_t page = 1;
    while (page < pages && mprotect(all + page * 4096, 4096, PROT_NONE) == 0) page += 2;
    printf("%zu mappings\n", page);
    // Each is two.
    churn(100000);
    void *many[1000];
    for (int i = 0; i < 1000; i++) many[i] = malloc(200000);
    int failed = 0;
    for (int i = 0; i < 1000; i++) {
        failed += many[i] == NULL;
        free(many[i]);
    }
    printf("%d failed\n", failed);
    churn(100000);
}

__attribute__((noinline)) static int recurse(int depth) {
    volatile int frame = depth;
    if (depth == 0) {
        churn(10000);
        keep(3003);
        return 0;
    }
    return recurse(depth - 1) + frame - depth;
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    keep(3001);
    puts(how);
    if (strcmp(how, "address-space") == 0) {
        set(RLIMIT_AS, pages_of(0) + (512 << 20));
        exhaust(1 << 20, 300 << 20);
        exhaust(100, 100 << 20);
    } else if (strcmp(how, "data") == 0) {
        set(RLIMIT_DATA, pages_of(5) + (256 << 20));
        exhaust(1 << 20, 150 << 20);
        exhaust(100, 50 << 20);
    } else if (strcmp(how, "file-size") == 0) {
        set(RLIMIT_FSIZE, 0);
        churn(300000);
    } else if (strcmp(how, "descriptors") == 0) {
        set(RLIMIT_NOFILE, 0);
        churn(300000);
    } else if (strcmp(how, "mappings") == 0) {
        exhaust_mappings();
    } else if (strcmp(how, "dumpable") == 0) {
        prctl(PR_SET_DUMPABLE, 0);
        churn(1000);
    } else if (strcmp(how, "recursion") == 0) {
        struct rlimit limit = {512 << 20, 512 << 20};
        printf("%d\n", setrlimit(RLIMIT_STACK, &limit));
        printf("%d\n", recurse(100000));
    } else if (*how != '\0') {
        return 64;
    }
    keep(3002);
    puts("ready");
    fflush(stdout);
    getchar();
    return 0;
}
