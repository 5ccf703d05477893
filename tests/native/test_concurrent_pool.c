/* The depot with real threads: blocks that change hands and are released by whoever has them, caches that open and close,
 * slots that are added beside it all. Every block is written by its owner without an atomic operation, so under ThreadSanitizer
 * a missing happens-before between two owners is a data race. Compiled with -DHW_DEPOT_RELAXED, all orders are relaxed: then it must
 * be found (tests/pools/test_depot.py). HEAPWRIGHT_FUZZ_SECONDS=n goes on with new seeds for that long. */
#undef NDEBUG
#ifdef HW_DEPOT_RELAXED
#include <stdatomic.h>
#define HW_ATOMICS_REPLACED
#define HW_LOAD(object, order) atomic_load_explicit(object, memory_order_relaxed)
#define HW_STORE(object, value, order) atomic_store_explicit(object, value, memory_order_relaxed)
#define HW_CAS(object, expected, value, order, otherwise)                                                              \
    atomic_compare_exchange_weak_explicit(object, expected, value, memory_order_relaxed, memory_order_relaxed)
#endif
#include "core/depot.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS = 4, CAPACITY = 4000, CACHES = 3, HELD = 60, EXCHANGE = 32, STEPS = 60000 };

static hw_depot *depot;
static pthread_mutex_t slow = PTHREAD_MUTEX_INITIALIZER; /* what the caller of the depot has to serialise */
static const hw_chunks chunks = {6, CAPACITY};
static uint32_t present; /* chunks */
static uint64_t block[CAPACITY][2];
static _Atomic uint32_t exchange[EXCHANGE]; /* slot + 1: blocks change hands here */

static uint32_t random_below(uint64_t *state, uint32_t n) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((*state >> 16) % n);
}

static hw_depot_cache *open_cache(void) {
    pthread_mutex_lock(&slow);
    hw_depot_cache *cache = hw_depot_open(depot);
    pthread_mutex_unlock(&slow);
    return cache;
}

static void close_cache(hw_depot_cache *cache) {
    pthread_mutex_lock(&slow);
    hw_depot_close(depot, cache);
    pthread_mutex_unlock(&slow);
}

static uint32_t acquire(hw_depot_cache *cache) {
    uint32_t slot;
    while ((slot = hw_depot_acquire(depot, cache)) == HW_SLOT_NONE) {
        pthread_mutex_lock(&slow);
        bool more = hw_depot_take_leftover(depot, cache);
        if (!more && present < hw_chunks_count(chunks)) {
            hw_depot_add(depot, hw_chunks_first(chunks, present), hw_chunks_end(chunks, present));
            present++, more = true;
        }
        pthread_mutex_unlock(&slow);
        if (!more) return HW_SLOT_NONE;
    }
    assert(slot < CAPACITY && block[slot][0] == 0);
    block[slot][0] = slot + 1;
    block[slot][1] = ~(uint64_t)slot;
    return slot;
}

static void release(hw_depot_cache *cache, uint32_t slot) {
    assert(block[slot][0] == slot + 1 && block[slot][1] == ~(uint64_t)slot);
    block[slot][0] = block[slot][1] = 0;
    hw_depot_release(depot, cache, slot);
}

static void *work(void *argument) {
    uint64_t state = (uint64_t)(uintptr_t)argument;
    uint32_t held[HELD], count = 0;
    hw_depot_cache *cache;
    while ((cache = open_cache()) == NULL) sched_yield(); /* there are fewer caches than threads */
    for (int step = 0; step < STEPS; step++) {
        uint32_t op = random_below(&state, 100);
        if (op < 45 && count < HELD) {
            uint32_t slot = acquire(cache);
            if (slot != HW_SLOT_NONE) held[count++] = slot;
        } else if (op < 80 && count > 0) {
            release(cache, held[--count]);
        } else if (op < 99 && count > 0) { /* release and acquire: the block goes along */
            uint32_t other = atomic_exchange_explicit(&exchange[random_below(&state, EXCHANGE)], held[--count] + 1, memory_order_acq_rel);
            if (other != 0) held[count++] = other - 1;
        } else if (op == 99) {
            close_cache(cache);
            while ((cache = open_cache()) == NULL) sched_yield();
        }
    }
    while (count > 0) release(cache, held[--count]);
    close_cache(cache);
    return NULL;
}

static void expect_sound(void) {
    unsigned char *scratch = calloc(1, hw_depot_scratch_bytes(depot));
    const char *broken = hw_depot_check(depot, scratch);
    free(scratch);
    if (broken != NULL) fprintf(stderr, "%s\n", broken), abort();
}

static void threads(uint64_t seed) {
    uint32_t magazine_slots = (uint32_t[]){1, 2, 7, 62}[seed % 4];
    depot = hw_depot_init(aligned_alloc(64, hw_depot_control_bytes(CAPACITY, CACHES, magazine_slots)), CAPACITY, CACHES, magazine_slots);
    present = 0;
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) pthread_create(&thread[i], NULL, work, (void *)(seed * 1000 + i + 1));
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    expect_sound();
    hw_depot_cache *cache = open_cache();
    for (int i = 0; i < EXCHANGE; i++) {
        uint32_t slot = atomic_exchange(&exchange[i], 0);
        if (slot != 0) release(cache, slot - 1);
    }
    expect_sound();
    uint32_t free_slots[HW_CHUNKS_MAX] = {0}, total = 0;
    hw_depot_count(depot, chunks, free_slots);
    for (uint32_t chunk = 0; chunk < present; chunk++) {
        assert(free_slots[chunk] == hw_chunks_slots(chunks, chunk));
        total += free_slots[chunk];
    }
    assert(total == depot->slots);
    /* all but the first chunk are taken away, and nothing of them comes back */
    hw_depot_remove(depot, chunks, (UINT64_C(1) << present) - 2);
    expect_sound();
    assert(depot->slots == hw_chunks_slots(chunks, 0));
    present = hw_chunks_count(chunks);
    uint32_t got = 0;
    for (uint32_t slot; (slot = acquire(cache)) != HW_SLOT_NONE; got++) assert(hw_chunks_of(chunks, slot) == 0);
    assert(got == hw_chunks_slots(chunks, 0));
    memset(block, 0, sizeof block);
    expect_sound();
    free(depot);
}

/* A producer and a consumer: what is released there is acquired here, and no more is ever needed than is under way. */
enum { RING = 64, HANDED = 100000 };
static _Atomic uint32_t ring[RING];

static void *consume(void *unused) {
    hw_depot_cache *cache = open_cache();
    for (int i = 0; i < HANDED; i++) {
        uint32_t slot;
        while ((slot = atomic_exchange_explicit(&ring[i % RING], 0, memory_order_acquire)) == 0) sched_yield();
        release(cache, slot - 1);
    }
    close_cache(cache);
    return NULL;
}

static void one_way(void) {
    depot = hw_depot_init(aligned_alloc(64, hw_depot_control_bytes(CAPACITY, CACHES, 8)), CAPACITY, CACHES, 8);
    present = 0;
    pthread_t consumer;
    hw_depot_cache *cache = open_cache();
    pthread_create(&consumer, NULL, consume, NULL);
    for (int i = 0; i < HANDED; i++) {
        uint32_t slot = acquire(cache);
        assert(slot != HW_SLOT_NONE);
        while (atomic_load_explicit(&ring[i % RING], memory_order_relaxed) != 0) sched_yield();
        atomic_store_explicit(&ring[i % RING], slot + 1, memory_order_release);
    }
    pthread_join(consumer, NULL);
    close_cache(cache);
    expect_sound();
    assert(depot->slots <= 4 * (RING + 4 * 8)); /* under way and in caches, and chunks double */
    free(depot);
}

int main(void) {
    const char *seconds = getenv("HEAPWRIGHT_FUZZ_SECONDS");
    time_t end = time(NULL) + (seconds ? atoi(seconds) : 0);
    uint64_t seed = seconds ? (uint64_t)time(NULL) : 0;
    for (uint64_t i = 0; i < 4 || time(NULL) < end; i++) threads(seed + i);
    one_way();
    return 0;
}
