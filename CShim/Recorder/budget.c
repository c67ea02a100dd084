#include "budget.h"

#include <time.h>

#include "interval.h"
#include "process.h"
#include "raw.h"

// The length of a period. Two of them over the limit, and it is exceeded; many under a part of it, and
// the interval may fall: so a short burst changes nothing, and nothing swings back and forth.
#define PERIOD_NS 250000000ULL
#define PERIODS_OVER 2U
#define PERIODS_UNDER 8U

// Aimed at when the interval rises; and how far below that it must be to fall.
#define AIM_PART 2U
#define FALL_PART 4U

// Intervals are powers of two within these.
#define LEAST_INTERVAL 4096ULL
#define GREATEST_INTERVAL (64ULL << 20)

// When memory runs out: of exact blocks, about one in so many is kept, and of sampled ones.
#define FIRST_THINNING 16U
#define LATER_THINNING 4U

// What a sample costs at the least, with its free: the caches have long forgotten the recorder.
#define LEAST_SAMPLE_PS 800000ULL

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now = {0, 0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

// Restarts the measurement: what was done before now is not looked at again.
static struct lp_work take_work(struct lp_budget *budget, uint64_t *cpu_ns, uint64_t *clock,
                                uint64_t *ticks) {
    struct lp_work total = lp_blocks_work();
    struct lp_work done = {
        .operations = total.operations - budget->last_work.operations,
        .bytes = total.bytes - budget->last_work.bytes,
        .blocks = total.blocks - budget->last_work.blocks,
        .fruitless = total.fruitless - budget->last_work.fruitless,
        .timed = total.timed - budget->last_work.timed,
        .timed_ticks = total.timed_ticks - budget->last_work.timed_ticks,
    };
    uint64_t cpu_now = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t clock_now = clock_ns(CLOCK_MONOTONIC);
    uint64_t ticks_now = __builtin_ia32_rdtsc();
    *cpu_ns = cpu_now - budget->last_cpu_ns;
    *clock = clock_now - budget->last_clock_ns;
    *ticks = ticks_now - budget->last_ticks;
    budget->last_work = total;
    budget->last_cpu_ns = cpu_now;
    budget->last_clock_ns = clock_now;
    budget->last_ticks = ticks_now;
    return done;
}

void lp_budget_begin(uint32_t limit_ppm) {
    struct lp_budget *budget = &lp_process.budget;
    uint64_t cpu_ns, clock, ticks;
    budget->limit_ppm = limit_ppm;
    budget->exact_cost_ps = 50000;
    take_work(budget, &cpu_ns, &clock, &ticks);
    budget->next_ns = lp_monotonic_ns() + PERIOD_NS;
    __atomic_store_n(&budget->is_on, true, __ATOMIC_RELEASE);
    lp_blocks_measure(true);
}

void lp_budget_pause(void) {
    __atomic_store_n(&lp_process.budget.is_on, false, __ATOMIC_RELAXED);
    lp_blocks_measure(false);
}

// The smallest power of two that is not below `interval`, within the limits.
static uint64_t round_interval(uint64_t interval) {
    uint64_t rounded = LEAST_INTERVAL;
    while (rounded < interval && rounded < GREATEST_INTERVAL) rounded *= 2;
    return rounded;
}

// a * b / c without overflow where the result fits, and close enough.
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c) {
    return c == 0 ? UINT64_MAX : (uint64_t)((double)a * (double)b / (double)c);
}

// What so many operations of `cost_ps` picoseconds are of `cpu_ns`, in millionths.
static uint32_t ppm_of(uint64_t operations, uint64_t cost_ps, uint64_t cpu_ns) {
    uint64_t ppm = scale(operations, cost_ps * 1000, cpu_ns);
    return ppm < UINT32_MAX ? (uint32_t)ppm : UINT32_MAX;
}

static void rise(struct lp_budget *budget, uint64_t now, uint64_t bytes, uint64_t cost_ps,
                 uint64_t cpu_ns) {
    uint64_t sample_ps = cost_ps * 4 > LEAST_SAMPLE_PS ? cost_ps * 4 : LEAST_SAMPLE_PS;
    uint64_t room_ps = scale(cpu_ns, budget->limit_ppm, AIM_PART * 1000ULL);
    uint64_t interval = round_interval(scale(bytes, sample_ps, room_ps));
    if (interval <= now) interval = now * 2 < GREATEST_INTERVAL ? now * 2 : GREATEST_INTERVAL;
    lp_interval_change(interval);
}

static void fall(struct lp_budget *budget, uint64_t now, uint64_t blocks, uint64_t cpu_ns) {
    // Every block would be two operations.
    uint64_t least = lp_load_relaxed_u64(&budget->least_interval);
    if (least == 0 &&
        ppm_of(blocks * 2, budget->exact_cost_ps, cpu_ns) < budget->limit_ppm / AIM_PART) {
        lp_interval_change(0);
    } else if (now > LEAST_INTERVAL && now > least) {
        lp_interval_change(now / 2);
    }
}

static void decide(struct lp_budget *budget) {
    uint64_t cpu_ns, clock, ticks;
    struct lp_work done = take_work(budget, &cpu_ns, &clock, &ticks);
    if (cpu_ns == 0 || ticks == 0) return;
    uint64_t interval = lp_interval_now();
    uint64_t cost_ps = 0;
    if (done.timed > 0) cost_ps = scale(scale(done.timed_ticks, clock, ticks), 1000, done.timed);
    if (interval == 0 && cost_ps != 0) budget->exact_cost_ps = cost_ps;
    uint32_t share_ppm = ppm_of(done.operations, cost_ps, cpu_ns);
    lp_store_relaxed_u32(&lp_process.header->recording_ppm, share_ppm);

    budget->periods_over = share_ppm > budget->limit_ppm ? budget->periods_over + 1 : 0;
    bool is_under = interval != 0 && share_ppm < budget->limit_ppm / FALL_PART;
    budget->periods_under = is_under ? budget->periods_under + 1 : 0;
    // Then it is not samples that cost, but frees that are looked up in vain: for blocks of exact mode,
    // or, if that does not help, because a sampled block's place in the filter is also theirs.
    bool is_fruitless = interval != 0 && done.fruitless > done.operations / 2;
    if (is_fruitless && budget->refreshed_for != interval &&
        share_ppm > budget->limit_ppm / FALL_PART) {
        budget->refreshed_for = interval;
        lp_interval_refresh();
    } else if (budget->periods_over >= PERIODS_OVER && interval < GREATEST_INTERVAL) {
        budget->periods_over = 0;
        rise(budget, interval, done.bytes, cost_ps, cpu_ns);
    } else if (budget->periods_under >= PERIODS_UNDER) {
        budget->periods_under = 0;
        fall(budget, interval, done.blocks, cpu_ns);
    }
}

void lp_budget_save_memory(void) {
    struct lp_budget *budget = &lp_process.budget;
    uint32_t nobody = 0;
    if (!lp_compare_exchange_u32(&budget->is_deciding, &nobody, 1)) return;
    uint64_t now = lp_interval_now();
    struct lp_work work = lp_blocks_work();
    // So long that few of the blocks that are there remain.
    uint64_t interval = round_interval(scale(work.bytes, FIRST_THINNING, work.blocks));
    if (interval < now * LATER_THINNING) interval = now * LATER_THINNING;
    if (interval <= GREATEST_INTERVAL) {
        lp_store_relaxed_u64(&budget->least_interval, interval);
        lp_interval_change(interval);
    }
    lp_store_release_u32(&budget->is_deciding, 0);
}

void lp_budget_look(uint64_t now) {
    struct lp_budget *budget = &lp_process.budget;
    if (!__atomic_load_n(&budget->is_on, __ATOMIC_ACQUIRE) ||
        now < lp_load_relaxed_u64(&budget->next_ns))
        return;
    uint32_t nobody = 0;
    if (!lp_compare_exchange_u32(&budget->is_deciding, &nobody, 1)) return;
    lp_store_relaxed_u64(&budget->next_ns, now + PERIOD_NS);
    decide(budget);
    lp_store_release_u32(&budget->is_deciding, 0);
}
