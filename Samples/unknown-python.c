// What looks like an interpreter of a version that nobody knows: the version 3.99 is made of the
// symbols that one is known by. Keeps 100 blocks of 1234 bytes, writes "ready" and waits for a line.
//
// To be linked so that it exports them (-rdynamic).
#include <stdio.h>
#include <stdlib.h>

char _PyRuntime[1000] = "none that is known";
const unsigned long Py_Version = 0x03630000;

// None of these may be called: what they return is not known either.
void *PyGILState_GetThisThreadState(void) {
    abort();
}
void *PyThreadState_GetUnchecked(void) {
    abort();
}
void PyMem_GetAllocator(int domain, void *allocator) {
    (void)domain;
    (void)allocator;
    abort();
}
void PyMem_SetAllocator(int domain, void *allocator) {
    (void)domain;
    (void)allocator;
    abort();
}
char PyCode_Type[400];
char PyUnicode_Type[400];

int main(void) {
    static void *volatile kept[100];
    for (int i = 0; i < 100; i++) kept[i] = malloc(1234);
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
