// A library to be built with -O2 -fomit-frame-pointer: its functions keep other things in the frame
// pointer register, so a walk along frame pointers gets lost here.
#include <stddef.h>

typedef void callback(size_t depth);

// Enough live values to need every register.
__attribute__((noinline)) size_t through_library(size_t depth, size_t a, size_t b, size_t c, size_t d,
                                                 callback *function) {
    size_t e = a * b + depth, f = b * c ^ a, g = c * d + b, h = d * a ^ c;
    if (depth > 0) {
        e += through_library(depth - 1, e ^ f, f + g, g ^ h, h + e, function);
    } else {
        function(depth);
    }
    return e * f + g * h + a + b + c + d;
}
