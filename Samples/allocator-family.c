// Every function of CShim/Interpose/hooks.h: each allocating one leaves 100 blocks of a size of its
// own, each freeing one frees 100 of another. Then waits for a line on stdin. Exits with 0 when every
// call kept its promises.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT 100
#define EACH for (int i = 0; i < COUNT; i++)

// Not in every libc's headers: weak, so that the program also runs where nobody has them.
extern void cfree(void *block) __attribute__((weak));
extern void free_sized(void *block, size_t size) __attribute__((weak));
extern void free_aligned_sized(void *block, size_t alignment, size_t size) __attribute__((weak));

static int failures;
static void *kept[20 * COUNT];
static int kept_count;

static void keep(void *block, size_t alignment) {
    if (block == NULL || (uintptr_t)block % alignment != 0) failures++;
    kept[kept_count++] = block;
}

static void check(int condition) {
    failures += !condition;
}

int main(void) {
    EACH keep(malloc(10001), 16);
    EACH keep(calloc(3, 10001 / 3 + 1), 16); // 10002
    EACH keep(realloc(malloc(50), 10003), 16);
    EACH keep(reallocarray(malloc(50), 4, 2501), 16); // 10004
    EACH {
        void *block = NULL;
        check(posix_memalign(&block, 64, 10005) == 0);
        keep(block, 64);
    }
    EACH keep(aligned_alloc(128, 10112), 128);
    EACH keep(memalign(256, 10007), 256);
    EACH keep(valloc(10008), 4096);
    EACH keep(pvalloc(10009), 4096);
    EACH keep(realloc(NULL, 10010), 16);

    EACH free(malloc(20001));
    EACH check(realloc(malloc(20002), 0) == NULL);
    if (cfree != NULL) EACH cfree(malloc(20003));
    if (free_sized != NULL) EACH free_sized(malloc(20004), 20004);
    if (free_aligned_sized != NULL) EACH free_aligned_sized(aligned_alloc(64, 20032), 64, 20032);
    EACH check(malloc_usable_size(kept[i]) >= 10001);

    // What fails must not be counted, must not lose the old block, and must say why.
    size_t huge = PTRDIFF_MAX;
    volatile size_t wide = SIZE_MAX / 2;
    check(malloc(huge) == NULL && errno == ENOMEM);
    check(calloc(wide, 4) == NULL);
    check(realloc(kept[0], huge) == NULL);
    check(reallocarray(kept[1], wide, 4) == NULL && errno == ENOMEM);
    void *untouched = NULL;
    check(posix_memalign(&untouched, 3, 100) == EINVAL && untouched == NULL);
    free(NULL);
    check(malloc_usable_size(NULL) == 0);
    errno = 42;
    free(malloc(20005));
    check(errno == 42);

    printf("%d failures\n", failures);
    fflush(stdout);
    getchar();
    return failures != 0;
}
