// Demanglers that end. Names come from the target, and what a few hundred characters stand for can fill
// any memory: each substitution may stand for two of the one before.
#ifndef LEAKPROF_DEMANGLERS_H
#define LEAKPROF_DEMANGLERS_H

#include <stddef.h>
#include <stdint.h>

// The readable form of a C++ (Itanium ABI) or a Rust (v0 or legacy) name in a string to free(3); NULL
// when it is not such a name, or its readable form has more than `limit` bytes.
char *leakprof_demangle_cpp(const char *mangled, size_t limit);
char *leakprof_demangle_rust(const char *mangled, size_t limit);

// From the Swift runtime (swift/Demangling/Demangle.h): the result in a string to free(3) when `output`
// is NULL, or NULL. Has no limit: SwiftName.swift says which names are safe.
char *swift_demangle(const char *mangled, size_t length, char *output, size_t *output_size,
                     uint32_t flags);

#endif
