// Allocates and frees for namespaces.c.
#include <stdlib.h>

void *plugin_take(size_t size) {
    return malloc(size);
}

void plugin_give_back(void *block) {
    free(block);
}
