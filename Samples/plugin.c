// A plugin that leaks COUNT blocks of SIZE bytes in a function called NAME; built twice with other
// values.
#include <stdlib.h>

__attribute__((noinline)) void NAME(void) {
    for (int i = 0; i < COUNT; i++) {
        void *volatile kept = malloc(SIZE);
        (void)kept;
    }
}

void run_plugin(void) {
    NAME();
}
