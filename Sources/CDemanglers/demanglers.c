#include "CDemanglers.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

// From libiberty's demangle.h, which wants its own config.h. They hand the result over piece by piece,
// hold nothing that would have to be freed while they do, and limit their recursion.
#define DMGL_PARAMS (1 << 0)
#define DMGL_ANSI (1 << 1)
typedef void (*demangle_callback)(const char *piece, size_t length, void *opaque);
int cplus_demangle_v3_callback(const char *mangled, int options, demangle_callback callback,
                               void *opaque);
int rust_demangle_callback(const char *mangled, int options, demangle_callback callback, void *opaque);

struct output {
    char *text;
    size_t length;
    size_t limit;
    jmp_buf too_long; // the demanglers can't be told to stop
};

static void append(const char *piece, size_t length, void *opaque) {
    struct output *output = opaque;
    if (length > output->limit - output->length) longjmp(output->too_long, 1);
    memcpy(output->text + output->length, piece, length);
    output->length += length;
}

typedef int (*demangle_function)(const char *, int, demangle_callback, void *);

static char *demangle(demangle_function demangler, const char *mangled, int options, size_t limit) {
    struct output output = {.text = malloc(limit + 1), .limit = limit};
    if (output.text == NULL) return NULL;
    if (setjmp(output.too_long) == 0 && demangler(mangled, options, append, &output)) {
        output.text[output.length] = '\0';
        return output.text;
    }
    free(output.text);
    return NULL;
}

char *leakprof_demangle_cpp(const char *mangled, size_t limit) {
    return demangle(cplus_demangle_v3_callback, mangled, DMGL_PARAMS | DMGL_ANSI, limit);
}

char *leakprof_demangle_rust(const char *mangled, size_t limit) {
    return demangle(rust_demangle_callback, mangled, 0, limit);
}
