#include <stddef.h>
#include <stdint.h>

// From libiberty's demangle.h, which wants its own config.h. Both return a string to free(3), or NULL, and
// limit their recursion.
#define DMGL_PARAMS (1 << 0)
#define DMGL_ANSI (1 << 1)
char *cplus_demangle_v3(const char *mangled, int options);
char *rust_demangle(const char *mangled, int options);

// From the Swift runtime (swift/Demangling/Demangle.h): the result in a string to free(3) when `output` is
// NULL, or NULL.
char *swift_demangle(const char *mangled, size_t length, char *output, size_t *output_size, uint32_t flags);
