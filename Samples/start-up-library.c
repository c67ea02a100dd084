// A library that allocates in an IFUNC resolver, at a time when libraries preloaded into its program
// have not been relocated yet, and in a constructor. For start-up.c.
#include <stdlib.h>
#include <string.h>

#define COUNT 20

void *library_blocks[2][COUNT];
static void *kept[2][COUNT]; // known without relocation

static void take(int part, size_t size) {
    for (int i = 0; i < COUNT; i++) {
        kept[part][i] = realloc(malloc(size / 4), size);
        for (size_t at = 0; at < size; at++) ((volatile char *)kept[part][i])[at] = 'x';
        free(calloc(1, 50));
    }
}

static void answer(void) {}

static void (*resolve(void))(void) {
    take(0, 1104);
    return answer;
}
__attribute__((visibility("hidden"))) void early_answer(void) __attribute__((ifunc("resolve")));

__attribute__((constructor)) static void construct(void) {
    take(1, 1105);
}

void library_answer(void) {
    early_answer();
    memcpy(library_blocks, kept, sizeof kept);
}
