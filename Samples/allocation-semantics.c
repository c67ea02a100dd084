// Prints what the allocation functions return and leave in errno where their behaviour is easily
// changed: sizes of 0, sizes that overflow, alignments that are none, failures, usable sizes.
//
//     allocation-semantics calls    what each call returns; addresses as "block"
//     allocation-semantics inquiry  what mallinfo2, mallopt, malloc_trim and malloc_info say
//     allocation-semantics kept     keeps 100 blocks of 4001 bytes each way that realloc can end with
//     one,
//                                   prints "ready", and waits for a line on stdin
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Not constants to the compiler.
static volatile size_t zero = 0, huge = PTRDIFF_MAX, wrapping = (size_t)1 << 33;
static volatile int is_failed;

#define NOT_OURS 4242

static void say(const char *call, const void *block) {
    int error = errno;
    printf("%s: %s, errno %d\n", call, block == NULL ? "none" : "block", error);
    errno = NOT_OURS;
}

// Writes to all of a block; then what was written last is all that may be there.
static void fill(void *block) {
    size_t usable = malloc_usable_size(block);
    memset(block, 0xa5, usable);
    for (size_t i = 0; i < usable; i++) is_failed |= ((unsigned char *)block)[i] != 0xa5;
}

static void show_calls(void) {
    void *block;
    errno = NOT_OURS;
    say("malloc 0", block = malloc(zero));
    free(block);
    say("free", NULL);
    free(NULL);
    say("free none", NULL);
    say("calloc 0 5", block = calloc(zero, 5));
    say("realloc to 0", realloc(block, zero));
    say("realloc none 0", block = realloc(NULL, zero));
    say("realloc 0 to 9", block = realloc(block, 9));
    free(block);
    say("malloc huge", malloc(huge));
    say("malloc -1", malloc((size_t)-1 - zero));
    say("calloc overflow", calloc(wrapping, wrapping));
    say("reallocarray overflow", reallocarray(NULL, wrapping, wrapping));
    block = malloc(100);
    memset(block, 7, 100);
    say("realloc huge", realloc(block, huge));
    say("reallocarray overflow", reallocarray(block, wrapping, wrapping));
    for (int i = 0; i < 100; i++) is_failed |= ((char *)block)[i] != 7;
    say("reallocarray 10 50", block = reallocarray(block, 10, 50));
    for (int i = 0; i < 100; i++) is_failed |= ((char *)block)[i] != 7;
    say("reallocarray to 0", reallocarray(block, zero, 50));
    say("memalign 3 10", block = memalign(3, 10));
    free(block);
    say("memalign huge", memalign(huge, 10));
    say("memalign 64 huge", memalign(64, huge));
    say("aligned_alloc 64 65", block = aligned_alloc(64, 65));
    printf("%d\n", (int)((uintptr_t)block % 64));
    free(block);
    say("aligned_alloc 3 3", block = aligned_alloc(3, 3));
    free(block);
    say("valloc huge", valloc(huge));
    say("pvalloc huge", pvalloc(huge));
    say("pvalloc 0", block = pvalloc(zero));
    free(block);
    for (size_t alignment = 0; alignment <= 64; alignment = alignment * 2 + 1 - (alignment & 1)) {
        block = (void *)1;
        int status = posix_memalign(&block, alignment, 10);
        printf("posix_memalign %zu: %d, errno %d\n", alignment, status, errno);
        if (status == 0) free(block);
    }
    block = (void *)1;
    printf("posix_memalign huge: %d\n", posix_memalign(&block, 64, huge));
    printf("%d, errno %d\n", block == (void *)1, errno);
    for (size_t size = 0; size < 5000; size += 7) {
        void *blocks[] = {malloc(size), calloc(1, size), realloc(malloc(3), size + 1),
                          memalign(128, size), valloc(size)};
        for (int i = 0; i < 5; i++) {
            printf(" %zu", malloc_usable_size(blocks[i]));
            fill(blocks[i]);
            free(blocks[i]);
        }
    }
    printf("\n%zu, errno %d, failed %d\n", malloc_usable_size(NULL), errno, is_failed);
    // The largest block becomes twice as large in the same place or another.
    unsigned char *large = malloc((size_t)32 << 20);
    large[12345] = 1;
    large = realloc(large, (size_t)64 << 20);
    printf("%d\n", large[12345]);
    free(large);
}

// What differs from run to run is left out: addresses decide how blocks come to lie.
static void show_inquiry(void) {
    struct mallinfo2 before = mallinfo2();
    void *blocks[100];
    for (int i = 0; i < 100; i++) blocks[i] = malloc(1000);
    void *large = malloc(1 << 20);
    struct mallinfo2 after = mallinfo2();
    printf("%zu %zu %zu\n", after.uordblks - before.uordblks, after.hblks - before.hblks,
           after.hblkhd - before.hblkhd);
    for (int i = 0; i < 100; i++) free(blocks[i]);
    free(large);
    after = mallinfo2();
    printf("%zu %zu\n", after.hblks - before.hblks, after.hblkhd - before.hblkhd);
    printf("%d %d %d\n", mallopt(M_MMAP_THRESHOLD, 4096), mallopt(M_ARENA_MAX, 1), mallopt(-77, 0));
    large = malloc(8192);
    printf("%zu\n", mallinfo2().hblks - before.hblks);
    free(large);
    for (int i = 0; i < 100; i++) blocks[i] = malloc(4000);
    for (int i = 0; i < 100; i++) free(blocks[i]);
    printf("%d %d\n", malloc_trim(0), malloc_trim(0));
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    int status = malloc_info(0, file);
    fclose(file);
    printf("%d %d %d\n", status, strncmp(text, "<malloc version=\"1\">", 20),
           strstr(text, "</malloc>") == NULL);
    free(text);
}

__attribute__((noinline)) static void keep_grown(void) {
    for (int i = 0; i < 100; i++) {
        void *volatile kept = realloc(malloc(10), 4001);
        (void)kept;
    }
}
__attribute__((noinline)) static void keep_refused(void) {
    for (int i = 0; i < 100; i++) {
        void *volatile kept = malloc(4001);
        if (realloc(kept, huge) != NULL || reallocarray(kept, wrapping, wrapping) != NULL) exit(60);
    }
}
__attribute__((noinline)) static void keep_shrunk(void) {
    for (int i = 0; i < 100; i++) {
        void *volatile kept = realloc(malloc(400000), 4001);
        (void)kept;
    }
}
__attribute__((noinline)) static void keep_none(void) {
    for (int i = 0; i < 100; i++) {
        if (realloc(malloc(4001), zero) != NULL) exit(61);
        if (calloc(wrapping, wrapping) != NULL || malloc(huge) != NULL) exit(62);
    }
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "calls") == 0) {
        show_calls();
    } else if (strcmp(what, "inquiry") == 0) {
        show_inquiry();
    } else if (strcmp(what, "kept") == 0) {
        keep_grown();
        keep_refused();
        keep_shrunk();
        keep_none();
        puts("ready");
        fflush(stdout);
        getchar();
    } else {
        return 64;
    }
    return 0;
}
