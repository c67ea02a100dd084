// Allocates as early as a program can: in an IFUNC resolver while ld.so still relocates, in
// .preinit_array, and in a constructor, and so does start-up-library.c, which it is linked with. Each
// leaves 20 blocks of a size of its own: 11001, 11002 and 11003 bytes, and the library 1104 and 1105.
// Prints how many of them still hold what was written, and waits for a line on stdin.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 20

extern void *library_blocks[2][COUNT];
void library_answer(void);

static void *blocks[3][COUNT];

// Some are resized and some given back, so that blocks of this stage go through realloc and free.
static void take(void **kept, size_t size) {
    for (int i = 0; i < COUNT; i++) {
        kept[i] = i % 2 == 0 ? malloc(size) : realloc(calloc(1, 100), size);
        memset(kept[i], 'x', size);
        free(malloc(50));
    }
}

static void answer(void) {}

static void (*resolve(void))(void) {
    take(blocks[0], 11001);
    return answer;
}
void early_answer(void) __attribute__((ifunc("resolve")));

static void before_constructors(void) {
    take(blocks[1], 11002);
}
__attribute__((section(".preinit_array"), used)) static void (*preinit)(void) = before_constructors;

__attribute__((constructor)) static void construct(void) {
    take(blocks[2], 11003);
}

static int holds(const char *block, size_t size) {
    return block != NULL && block[0] == 'x' && memcmp(block, block + 1, size - 1) == 0;
}

int main(void) {
    early_answer();
    library_answer();
    int intact = 0;
    for (int i = 0; i < COUNT; i++) {
        for (int part = 0; part < 3; part++) intact += holds(blocks[part][i], 11001 + (size_t)part);
        for (int part = 0; part < 2; part++)
            intact += holds(library_blocks[part][i], 1104 + (size_t)part);
    }
    printf("%d intact\nready\n", intact);
    fflush(stdout);
    return getchar() == EOF;
}
