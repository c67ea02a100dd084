// Preloaded into leakprof: somebody ends the process while it writes a file, just before the file is
// whole.
#include <signal.h>

__attribute__((visibility("default"))) int fsync(int descriptor) {
    (void)descriptor;
    return raise(SIGTERM);
}
