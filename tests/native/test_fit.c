/* Fit against the definition of its strategy (a scan of all holes), with every invariant walked after each step, in a
 * control region that starts too small, so that it is relocated again and again. HEAPWRIGHT_FUZZ_SECONDS=n goes on with
 * new seeds for that long. */
#undef NDEBUG
#include "core/fit.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIVE_MAX = 400 };
static uint64_t state;

static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 16) % n);
}

static hw_fit *relocate(hw_fit *fit, uint32_t blocks) {
    void *larger = aligned_alloc(64, hw_fit_control_bytes(blocks));
    hw_fit *moved = hw_fit_grow(fit, larger, blocks);
    memset(fit, 0xA5, sizeof *fit); /* whoever still looks there finds nonsense */
    free(fit);
    return moved;
}

/* The definition. Returns the offset in bytes, or UINT64_MAX for bottom. */
static uint64_t expected(const hw_fit *fit, uint64_t size_bytes, uint64_t alignment) {
    uint64_t granule = (uint64_t)1 << fit->head.granule_shift, rover = (uint64_t)fit->rover * granule;
    uint64_t size = size_bytes ? (size_bytes + granule - 1) / granule * granule : granule;
    uint64_t chosen = UINT64_MAX, chosen_size = 0;
    bool chosen_after_rover = false;
    if (alignment < granule) alignment = granule;
    for (uint32_t n = fit->first; n != HW_STRATEGY_NONE;) {
        hw_strategy_seen hole = hw_fit_see(fit, n);
        n = hole.next;
        uint64_t start = (hole.offset_bytes + alignment - 1) / alignment * alignment;
        if (hole.live || start + size > hole.offset_bytes + hole.size_bytes) continue;
        bool after_rover = hole.offset_bytes >= rover, better = chosen == UINT64_MAX;
        if (fit->head.strategy == HW_BEST_FIT) better |= hole.size_bytes < chosen_size;
        if (fit->head.strategy == HW_WORST_FIT) better |= hole.size_bytes > chosen_size;
        if (fit->head.strategy == HW_NEXT_FIT) better |= after_rover && !chosen_after_rover;
        if (!better) continue;
        chosen = start, chosen_size = hole.size_bytes, chosen_after_rover = after_rover;
    }
    return chosen;
}

static void check(const hw_fit *fit) {
    uint64_t where;
    const char *broken = hw_fit_check(fit, &where);
    if (broken != NULL) fprintf(stderr, "%s at offset %llu\n", broken, (unsigned long long)where), abort();
}

static void random_program(enum hw_strategy strategy, uint64_t seed, uint32_t granule, uint32_t steps) {
    state = seed * 2654435761u + 88172645463325252u;
    uint64_t capacity = (uint64_t)granule * (64 + random_below(4000));
    hw_fit *fit = aligned_alloc(64, hw_fit_control_bytes(4));
    assert(hw_fit_init(fit, 4, strategy, capacity + random_below(granule), granule) == HW_STRATEGY_OK);
    hw_strategy_handle live[LIVE_MAX];
    uint32_t count = 0, largest = 1 + random_below(60 * granule);
    for (uint32_t step = 0; step < steps; step++) {
        uint32_t act = random_below(100);
        uint64_t size = random_below(8) ? random_below(largest) : random_below(16 * largest);
        hw_strategy_handle handle;
        enum hw_strategy_result result;
        if (act < 50 && count < LIVE_MAX) {
            uint64_t alignment = random_below(3) ? 1 : (uint64_t)1 << random_below(16);
            uint64_t offset = expected(fit, size, alignment);
            while ((result = hw_fit_allocate(fit, size, alignment, &handle)) == HW_STRATEGY_CONTROL_FULL) {
                check(fit);
                fit = relocate(fit, fit->blocks_capacity + 1 + random_below(20));
            }
            assert(result == (offset == UINT64_MAX ? HW_STRATEGY_NO_MEMORY : HW_STRATEGY_OK));
            if (result == HW_STRATEGY_OK) assert(handle.offset_bytes == offset), live[count++] = handle;
        } else if (act < 85 && count > 0) {
            uint32_t i = random_below(count);
            assert(hw_fit_free(fit, live[i]) == HW_STRATEGY_OK);
            handle = live[i];
            live[i] = live[--count];
            assert(hw_fit_free(fit, handle) == HW_STRATEGY_NOT_LIVE); /* double */
        } else if (act < 95 && count > 0) {
            uint32_t i = random_below(count);
            while (hw_fit_resize(fit, live[i], size) == HW_STRATEGY_CONTROL_FULL) fit = relocate(fit, fit->blocks_capacity + 1);
        } else if (count > 0) {
            handle = live[random_below(count)];
            handle.offset_bytes += 1 + random_below(granule); /* interior */
            assert(hw_fit_free(fit, handle) == HW_STRATEGY_NOT_LIVE);
            handle = (hw_strategy_handle){random_below((uint32_t)capacity), fit->blocks_used + random_below(10)}; /* foreign */
            assert(hw_fit_free(fit, handle) == HW_STRATEGY_NOT_LIVE);
        }
        check(fit);
    }
    while (count > 0) assert(hw_fit_free(fit, live[--count]) == HW_STRATEGY_OK);
    check(fit);
    assert(fit->totals.holes == 1 && hw_fit_largest_hole(fit) == fit->head.capacity_bytes); /* everything coalesced */
    free(fit);
}

/* Free needs no room: with the block array exactly full, freeing every second block makes as many holes as there can be. */
static void free_never_fails(enum hw_strategy strategy) {
    enum { BLOCKS = 2001 };
    hw_fit *fit = aligned_alloc(64, hw_fit_control_bytes(BLOCKS));
    hw_strategy_handle live[BLOCKS];
    assert(hw_fit_init(fit, BLOCKS, strategy, BLOCKS * 16, 16) == HW_STRATEGY_OK);
    uint32_t n = 0;
    while (n < BLOCKS && hw_fit_allocate(fit, 16, 1, &live[n]) == HW_STRATEGY_OK) n++;
    assert(n >= BLOCKS - 2);
    for (uint32_t i = 0; i < n; i += 2) assert(hw_fit_free(fit, live[i]) == HW_STRATEGY_OK);
    check(fit);
    for (uint32_t i = 1; i < n; i += 2) assert(hw_fit_free(fit, live[i]) == HW_STRATEGY_OK);
    check(fit);
    free(fit);
}

static void arguments(void) {
    hw_fit *fit = aligned_alloc(64, hw_fit_control_bytes(8));
    hw_strategy_handle handle;
    assert(hw_fit_init(fit, 3, HW_FIRST_FIT, 1024, 16) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_fit_init(fit, 8, HW_FIRST_FIT, 1024, 24) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_fit_init(fit, 8, HW_FIRST_FIT, 15, 16) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_fit_init(fit, 8, HW_FIRST_FIT, (uint64_t)1 << 40, 16) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_strategy_granule_bytes((uint64_t)1 << 30) == 16 && hw_strategy_granule_bytes((uint64_t)1 << 40) == 512);
    assert(hw_fit_init(fit, 8, HW_BEST_FIT, (uint64_t)1 << 40, 512) == HW_STRATEGY_OK);
    assert(hw_fit_allocate(fit, 1, 0, &handle) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_fit_allocate(fit, 1, 24, &handle) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_fit_allocate(fit, UINT64_MAX, 1, &handle) == HW_STRATEGY_NO_MEMORY);
    assert(hw_fit_allocate(fit, 1, (uint64_t)1 << 63, &handle) == HW_STRATEGY_OK && handle.offset_bytes == 0);
    assert(hw_fit_allocate(fit, 1, (uint64_t)1 << 63, &handle) == HW_STRATEGY_NO_MEMORY);
    assert(hw_fit_resize(fit, (hw_strategy_handle){0, handle.number}, UINT64_MAX) == HW_STRATEGY_NO_MEMORY);
    check(fit);
    fit->totals.requested += 1; /* a planted fault is found */
    uint64_t where;
    assert(strcmp(hw_fit_check(fit, &where), "I4") == 0);
    free(fit);
}

int main(void) {
    const char *fuzz = getenv("HEAPWRIGHT_FUZZ_SECONDS");
    time_t end = time(NULL) + (fuzz ? atoi(fuzz) : 0);
    uint64_t seed = 1;
    arguments();
    do {
        for (int strategy = HW_FIRST_FIT; strategy <= HW_NEXT_FIT; strategy++) {
            for (int i = 0; i < 12; i++) random_program(strategy, seed++, i % 3 ? 16 : 256, 1500);
            free_never_fails(strategy);
        }
    } while (time(NULL) < end);
    printf("fit: ok (%llu programs)\n", (unsigned long long)seed - 1);
    return 0;
}
