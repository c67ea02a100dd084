// A library with BYTES of thread-local memory, for static-tls.c.
static _Thread_local long calls[BYTES / sizeof(long)];

long count_here(void) {
    return ++calls[BYTES / sizeof(long) - 1];
}
