// A program that defines its own malloc, as programs do that are linked with an allocator: libraries
// use it as well, and a preloaded one is not asked. With -DPARTLY, calloc stays libc's, and free takes
// blocks of both. Leaves 25 blocks of 13001 bytes from malloc, 25 of 13002 from strdup in libc, and 25
// of 13003 from calloc. Waits for a line on stdin.
#include <stddef.h>
#include <stdio.h>
#include <string.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);
void *calloc(size_t count, size_t size);

void *malloc(size_t size) {
    return __libc_malloc(size);
}

void free(void *block) {
    __libc_free(block);
}

void *realloc(void *block, size_t size) {
    return __libc_realloc(block, size);
}

#ifndef PARTLY
extern void *__libc_calloc(size_t count, size_t size);

void *calloc(size_t count, size_t size) {
    return __libc_calloc(count, size);
}
#endif

int main(void) {
    char text[13002];
    memset(text, 'x', sizeof text);
    text[13001] = '\0';
    for (int i = 0; i < 25; i++) {
        void *volatile kept[] = {malloc(13001), strdup(text), calloc(1, 13003)};
        (void)kept;
        free(calloc(1, 13004));
    }
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
