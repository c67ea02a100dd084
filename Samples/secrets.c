// Has secrets: in live and freed blocks, on the stack, in static data and, from its caller, in the
// environment. Each is SECRET_WORD from the environment, which nothing else in this file spells out.
// Prints "ready" and waits for a line.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char in_data[256];

int main(void) {
    const char *word = getenv("SECRET_WORD");
    if (word == NULL || strlen(word) > 200) return 1;
    char on_stack[256];
    strcpy(on_stack, word);
    strcpy(in_data, word);
    for (int i = 0; i < 100; i++) {
        char *kept = malloc(256);
        if (kept == NULL) return 1;
        strcpy(kept, word);
        if (i % 2 == 0) free(kept);
    }
    printf("ready %d\n", strcmp(on_stack, in_data));
    fflush(stdout);
    return getchar() == EOF;
}
