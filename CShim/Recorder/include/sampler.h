// Which allocations a sampling recorder keeps, and what each kept one stands for.
#ifndef LEAKPROF_SAMPLER_H
#define LEAKPROF_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

// Where threads get their random numbers from.
struct lp_random_source {
    uint64_t seed;    // not 0
    uint64_t streams; // how many threads have drawn from it; atomic
};

// Whether an allocation of `size` bytes is recorded under the mean interval `interval_bytes` (0: all
// are). Bytes are points of a Poisson process with that mean gap; a block is recorded when it contains
// one, which has probability 1 - exp(-size / interval). A block of size 0 counts as one byte. Works on
// this thread's state, which takes a stream of its own from `source` when it meets it first.
bool lp_sampler_takes(uint64_t size, uint64_t interval_bytes, struct lp_random_source *source);

// A random number in (0, 1] from this thread's generator.
double lp_sampler_uniform(struct lp_random_source *source);

// Lets this thread allocate so much without asking, unless the process's token changes.
void lp_sampler_rest(uint64_t room_bytes);

// What a recorded block adds to the estimates beyond itself; see struct lp_sampled.
struct lp_weight {
    uint64_t extra_objects; // in 1/256 objects
    uint64_t extra_bytes;
    uint64_t variance_objects;
    uint64_t variance_bytes;
};

// The weight of a block of `size` bytes recorded under `interval_bytes`, at least 1. Pure.
struct lp_weight lp_weight_of(uint64_t size, uint64_t interval_bytes);

// -ln(u) for 0 < u <= 1, and 1 - exp(-x) for x >= 0, to a relative error below 1e-12: libm would be a
// second library in the target.
double lp_negative_log(double u);
double lp_one_minus_exp(double x);

#endif
