#include "sampler.h"

#include <string.h>

#include "region_layout.h"
#include "thread_state.h"

#define LN2 0.69314718055994530942

double lp_negative_log(double u) {
    uint64_t bits;
    memcpy(&bits, &u, sizeof bits);
    int64_t exponent = (int64_t)(bits >> 52 & 0x7ff) - 1023;
    bits = (bits & 0xfffffffffffffULL) | 1023ULL << 52;
    double mantissa;
    memcpy(&mantissa, &bits, sizeof mantissa);
    if (mantissa > 1.4142135623730951) {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh((m - 1) / (m + 1)); the argument is at most 0.172, so 9 terms reach 1e-15.
    double s = (mantissa - 1) / (mantissa + 1);
    double square = s * s;
    double sum = 0;
    for (int term = 17; term >= 1; term -= 2) sum = sum * square + 1.0 / term;
    return -(2 * s * sum + (double)exponent * LN2);
}

double lp_one_minus_exp(double x) {
    if (x > 40) return 1; // exp(-40) is below the precision of 1
    // expm1(-x) by its series where that does not cancel, else by halving the argument:
    // 1 - e^-2y = (1 - e^-y) (2 - (1 - e^-y)).
    int doublings = 0;
    while (x > 0.5) {
        x *= 0.5;
        doublings++;
    }
    double sum = 0;
    for (int term = 16; term >= 1; term--) sum = (1 - sum) * x / term;
    for (; doublings > 0; doublings--) sum = sum * (2 - sum);
    return sum;
}

// splitmix64 (Steele, Lea, Flood 2014): one state word, any seed will do.
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

double lp_sampler_uniform(struct lp_random_source *source) {
    uint64_t *random = &lp_thread.random;
    // The first thread's numbers depend on the seed alone.
    if (*random == 0) *random = source->seed + (lp_add_relaxed_u64(&source->streams, 1) << 32);
    // 53 random bits make a number in (0, 1].
    return (double)((next_random(random) >> 11) + 1) * 0x1p-53;
}

static uint64_t draw_gap(struct lp_random_source *source, uint64_t interval_bytes) {
    return (uint64_t)(lp_negative_log(lp_sampler_uniform(source)) * (double)interval_bytes);
}

bool lp_sampler_takes(uint64_t size, uint64_t interval_bytes, struct lp_random_source *source) {
    struct lp_thread *thread = &lp_thread;
    if (thread->interval_bytes != interval_bytes) {
        // What is left of a gap says nothing of the next byte, so it may be thrown away.
        thread->interval_bytes = interval_bytes;
        thread->room = 0;
        if (interval_bytes != 0) thread->room = draw_gap(source, interval_bytes);
    }
    if (interval_bytes == 0) return true;
    uint64_t length = size == 0 ? 1 : size;
    if (thread->room >= length) {
        thread->room -= length;
        return false;
    }
    // The next gap starts at the next block: what is left of an exponential gap is exponential again.
    thread->room = draw_gap(source, interval_bytes);
    return true;
}

void lp_sampler_rest(uint64_t room_bytes) {
    lp_thread.interval_bytes = UINT64_MAX;
    lp_thread.room = room_bytes;
}

static uint64_t rounded(double value) {
    if (value >= 0x1p63) return 1ULL << 63;
    uint64_t whole = (uint64_t)value;
    return whole + (value - (double)whole >= 0.5 ? 1 : 0);
}

struct lp_weight lp_weight_of(uint64_t size, uint64_t interval_bytes) {
    if (interval_bytes == 0) return (struct lp_weight){0, 0, 0, 0};
    double length = size == 0 ? 1 : (double)size;
    double probability = lp_one_minus_exp(length / (double)interval_bytes);
    double extra = (1 - probability) / probability; // w - 1
    double variance = extra / probability;          // w (w - 1)
    return (struct lp_weight){
        .extra_objects = rounded(extra * LP_EXTRA_OBJECTS_ONE),
        .extra_bytes = rounded(extra * (double)size),
        .variance_objects = rounded(variance),
        .variance_bytes = rounded(variance * (double)size * (double)size),
    };
}
