#include <zlib.h>

// deflateInit2() and inflateInit2() are macros, which Swift does not import.
static inline int leakprof_gzip_begin(z_stream *stream) {
    // Level 4: the default, 6, makes profiles a tenth smaller and takes two to four times as long.
    // 15 + 16: the largest window, with a gzip header. zlib writes modification time 0 into it.
    return deflateInit2(stream, 4, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
}

static inline int leakprof_gunzip_begin(z_stream *stream) {
    return inflateInit2(stream, 15 + 16);
}
