/* The program of benchmarks/pools.py, for one contender: `handover depot` takes blocks of 64 B from core/depot.h with a cache per
 * thread, `handover locked` from core/slots.h under a mutex, `handover malloc` from whoever stands behind malloc in this
 * process. Prints one line of JSON, nanoseconds a block:
 *
 *   pair_cpu_ns      one thread: acquire, write, release
 *   beside_cpu_ns    the same on two threads at once, CPU of both by what both did: what sharing costs
 *   phased_cpu_ns    a producer acquires and writes BLOCKS, then a consumer reads and releases them, turn by turn: CPU of both.
 *                    Nobody waits while he is measured, so that other work on the machine disturbs little
 *   streamed_wall_ns both at once through a ring, by the clock on the wall: what a program sees, if it has two cores to itself */
#include "core/depot.h"
#include "core/slots.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCK_BYTES = 64, BLOCKS = 10000, TURNS = 60, CAPACITY = 1 << 16, RING = 4096, STREAMED = 1000000, PAIRS = 2000000 };

static bool is_depot, is_locked;
static hw_depot *depot;
static hw_slots *slots;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *memory;
static hw_depot_cache *cache[2];
static void *held[BLOCKS];
static pthread_barrier_t turn;
static double phased[2][TURNS];
static _Atomic(void *) ring[RING];

static inline void *acquire(int thread) {
    if (is_depot) return memory + (size_t)hw_depot_acquire(depot, cache[thread]) * BLOCK_BYTES;
    if (!is_locked) return malloc(BLOCK_BYTES);
    pthread_mutex_lock(&lock);
    uint32_t slot = hw_slots_acquire(slots);
    pthread_mutex_unlock(&lock);
    return memory + (size_t)slot * BLOCK_BYTES;
}

static inline void release(int thread, void *block) {
    if (!is_depot && !is_locked) return free(block);
    uint32_t slot = (uint32_t)(((char *)block - memory) / BLOCK_BYTES);
    if (is_depot) return hw_depot_release(depot, cache[thread], slot);
    pthread_mutex_lock(&lock);
    hw_slots_release(slots, slot);
    pthread_mutex_unlock(&lock);
}

static double now_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double pairs(int thread) {
    double start = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < PAIRS; i++) {
        void *block = acquire(thread);
        *(volatile int *)block = i;
        release(thread, block);
    }
    return (now_ns(CLOCK_THREAD_CPUTIME_ID) - start) / PAIRS;
}

static double beside[2];

static void *pairs_beside(void *argument) {
    int thread = argument != NULL;
    pthread_barrier_wait(&turn);
    beside[thread] = pairs(thread);
    return NULL;
}

static void *phases(void *argument) {
    int thread = argument != NULL;
    for (int i = 0; i < 2 * TURNS; i++) {
        pthread_barrier_wait(&turn);
        if (i % 2 != thread) continue;
        double start = now_ns(CLOCK_THREAD_CPUTIME_ID);
        if (thread == 0)
            for (int b = 0; b < BLOCKS; b++) *(volatile int *)(held[b] = acquire(0)) = b;
        else
            for (int b = 0; b < BLOCKS; b++) (void)*(volatile int *)held[b], release(1, held[b]);
        phased[thread][i / 2] = now_ns(CLOCK_THREAD_CPUTIME_ID) - start;
    }
    return NULL;
}

static void *stream(void *argument) {
    int thread = argument != NULL;
    pthread_barrier_wait(&turn);
    for (int i = 0; i < STREAMED; i++) {
        _Atomic(void *) *place = &ring[i % RING];
        void *block = NULL;
        if (thread == 0) {
            *(volatile int *)(block = acquire(0)) = i;
            while (atomic_load_explicit(place, memory_order_acquire) != NULL) sched_yield();
            atomic_store_explicit(place, block, memory_order_release);
        } else {
            while ((block = atomic_load_explicit(place, memory_order_acquire)) == NULL) sched_yield();
            (void)*(volatile int *)block;
            atomic_store_explicit(place, NULL, memory_order_release);
            release(1, block);
        }
    }
    return NULL;
}

/* The consumer gets an argument, the producer none. */
static void both(void *(*work)(void *)) {
    pthread_t consumer;
    pthread_barrier_init(&turn, NULL, 2);
    pthread_create(&consumer, NULL, work, &turn);
    work(NULL);
    pthread_join(consumer, NULL);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    is_depot = strcmp(argv[1], "depot") == 0;
    is_locked = strcmp(argv[1], "locked") == 0;
    memory = aligned_alloc(64, (size_t)CAPACITY * BLOCK_BYTES);
    if (is_locked) {
        hw_chunks one = {16, CAPACITY};
        slots = hw_slots_init(malloc(hw_slots_control_bytes(CAPACITY)), one, CAPACITY);
        hw_slots_add(slots, 0);
    }
    if (is_depot) {
        depot = hw_depot_init(aligned_alloc(64, hw_depot_control_bytes(CAPACITY, 2, HW_MAGAZINE_SLOTS)), CAPACITY, 2, HW_MAGAZINE_SLOTS);
        hw_depot_add(depot, 0, CAPACITY);
        for (int thread = 0; thread < 2; thread++) cache[thread] = hw_depot_open(depot);
    }
    double pair = pairs(0);
    both(pairs_beside);
    both(phases);
    double costs[TURNS];
    for (int i = 0; i < TURNS; i++) costs[i] = phased[0][i] + phased[1][i];
    qsort(costs + 2, TURNS - 2, sizeof *costs, ascending); /* the first two touch fresh memory */
    double start = now_ns(CLOCK_MONOTONIC);
    both(stream);
    printf("{\"pair_cpu_ns\": %.2f, \"beside_cpu_ns\": %.2f, \"phased_cpu_ns\": %.2f, \"streamed_wall_ns\": %.2f}\n", pair,
           (beside[0] + beside[1]) / 2, costs[TURNS / 2 + 1] / BLOCKS, (now_ns(CLOCK_MONOTONIC) - start) / STREAMED);
    return 0;
}
