// libFuzzer's entry: LEAKPROF_FUZZ_TARGET names what is fuzzed, LEAKPROF_FUZZ_SCRATCH a directory for
// the files that it needs. `make fuzz` sets both.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// Fuzz/Entries
void leakprof_fuzz(const char *target, const char *scratch, const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    const char *target = getenv("LEAKPROF_FUZZ_TARGET");
    const char *scratch = getenv("LEAKPROF_FUZZ_SCRATCH");
    if (target == NULL || scratch == NULL) abort();
    leakprof_fuzz(target, scratch, bytes, count);
    return 0;
}
