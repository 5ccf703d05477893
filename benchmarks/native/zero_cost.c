/* What the choice of a strategy costs: the same program of allocations and frees under best fit, three ways.
 *
 *   fused      as Heap[BestFit] calls it: the strategy is a constant
 *   by_hand    best_fit_by_hand.h: written for best fit alone
 *   run_time   as Heap(strategy=BestFit()) does: the strategy is a field
 *
 *   build/bench/zero_cost [rounds]
 *
 * prints for each way a sum over the offsets that it gave, which are the same, and the least CPU ns of a round per free and
 * allocate. benchmarks/zero_cost.py also runs it under callgrind, and adds up the instructions of <way>_allocate and
 * <way>_free. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "benchmarks/native/best_fit_by_hand.h"
#include "core/strategies_fused.h"

enum { LIVE = 1000, OPERATIONS = 20000, BLOCKS = 4 * LIVE, CAPACITY_BYTES = 4 << 20 };

static uint64_t state;

static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 32) % n);
}

static double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

typedef struct {
    unsigned long long sum;
    double least_ns;
} measured;

/* One way: its two calls, each a function of its own so that it can be counted, and the program. */
#define WAY(way, allocate, release)                                                                                    \
    static __attribute__((noinline)) enum hw_strategy_result way##_allocate(void *control, uint64_t size_bytes,        \
                                                                            hw_strategy_handle *handle) {              \
        return allocate;                                                                                               \
    }                                                                                                                  \
    static __attribute__((noinline)) enum hw_strategy_result way##_free(void *control, hw_strategy_handle handle) {    \
        return release;                                                                                                \
    }                                                                                                                  \
    static void way##_program(measured *m) {                                                                           \
        static hw_strategy_handle live[LIVE];                                                                          \
        void *control = aligned_alloc(64, hw_fit_control_bytes(HW_BEST_FIT, UINT32_MAX, BLOCKS));                      \
        if (hw_fit_init(control, BLOCKS, HW_BEST_FIT, CAPACITY_BYTES, 16) != HW_STRATEGY_OK) abort();                  \
        m->sum = 0;                                                                                                    \
        state = 88172645463325252u;                                                                                    \
        double start = cpu_ns();                                                                                       \
        for (int i = 0; i < OPERATIONS; i++) {                                                                         \
            hw_strategy_handle *handle = &live[i < LIVE ? (uint32_t)i : random_below(LIVE)];                           \
            if (i >= LIVE && way##_free(control, *handle) != HW_STRATEGY_OK) abort();                                  \
            if (way##_allocate(control, 16 + random_below(1008), handle) != HW_STRATEGY_OK) abort();                   \
            m->sum = m->sum * 31 + handle->offset_bytes;                                                               \
        }                                                                                                              \
        double ns = (cpu_ns() - start) / OPERATIONS;                                                                   \
        if (m->least_ns == 0 || ns < m->least_ns) m->least_ns = ns;                                                    \
        free(control);                                                                                                 \
    }

#define FIELD(control) ((enum hw_strategy)((hw_strategy_head *)(control))->strategy)
WAY(fused, hw_strategy_allocate_fused(control, HW_BEST_FIT, size_bytes, 16, handle),
    hw_strategy_free_fused(control, HW_BEST_FIT, handle))
WAY(by_hand, best_fit_allocate(control, size_bytes, 16, handle), best_fit_free(control, handle))
WAY(run_time, hw_strategy_allocate_fused(control, FIELD(control), size_bytes, 16, handle),
    hw_strategy_free_fused(control, FIELD(control), handle))

int main(int argc, char **argv) {
    measured fused = {0}, by_hand = {0}, run_time = {0};
    for (int round = argc > 1 ? atoi(argv[1]) : 1; round > 0; round--) {
        fused_program(&fused);
        by_hand_program(&by_hand);
        run_time_program(&run_time);
    }
    printf("fused %016llx %.1f\nby_hand %016llx %.1f\nrun_time %016llx %.1f\n", fused.sum, fused.least_ns, by_hand.sum,
           by_hand.least_ns, run_time.sum, run_time.least_ns);
    return 0;
}
