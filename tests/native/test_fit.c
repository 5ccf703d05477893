/* Fit against the definition of its strategy: a scan of all holes for the exact fits, the laws of good fit and of buddies
 * for the others (their definitions, with the newest hole of each class, are in heapwright.model, in lock-step). Every
 * invariant is walked after each step, in a control region that starts too small, so that it is relocated again and
 * again. HEAPWRIGHT_FUZZ_SECONDS=n goes on with new seeds for that long. */
#undef NDEBUG
#include "core/fit_fused.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIVE_MAX = 400, GRANULES_MAX = 4096 };
static uint64_t state;
static bool taken[GRANULES_MAX]; /* by granule: in a live block */

static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 16) % n);
}

static void *new_region(enum hw_strategy strategy, uint32_t capacity, uint32_t blocks) {
    return aligned_alloc(64, hw_fit_control_bytes(strategy, capacity, blocks));
}

static hw_fit *relocate(hw_fit *fit, uint32_t blocks) {
    void *larger = new_region((enum hw_strategy)fit->head.strategy, fit->capacity, blocks);
    hw_fit *moved = hw_fit_grow(fit, larger, blocks);
    memset(fit, 0xA5, sizeof *fit); /* whoever still looks there finds nonsense */
    free(fit);
    return moved;
}

/* The definition of the exact fits. Returns the offset in bytes, or UINT64_MAX for bottom. */
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

/* A block's granules were all free, or all taken, and now are not. */
static void mark(const hw_fit *fit, hw_strategy_handle handle, bool now) {
    hw_strategy_seen block = hw_fit_see(fit, handle.number);
    uint64_t first = block.offset_bytes >> fit->head.granule_shift, size = block.size_bytes >> fit->head.granule_shift;
    for (uint64_t i = first; i < first + size; i++) assert(i < fit->capacity && taken[i] == !now), taken[i] = now;
}

/* The least hole with which TLSF and buddy may not answer bottom, in bytes. */
static uint64_t enough(const hw_fit *fit, uint64_t size_bytes, uint64_t alignment) {
    uint64_t granule = (uint64_t)1 << fit->head.granule_shift, power = granule;
    uint64_t size = size_bytes ? (size_bytes + granule - 1) / granule : 1;
    if (alignment < granule) alignment = granule;
    if (fit->head.strategy == HW_TLSF) {
        size += alignment / granule - 1;
        return (size + size / (1 << HW_TWO_LEVEL_SECOND)) * granule;
    }
    while (power < size * granule) power *= 2;
    return power > alignment ? power : alignment;
}

/* One request, whose answer is compared with the definition or the law, and with the map of the granules that are taken. */
static enum hw_strategy_result allocate(hw_fit **fit, uint64_t size, uint64_t alignment, hw_strategy_handle *handle) {
    bool exact = (*fit)->head.strategy <= HW_NEXT_FIT;
    uint64_t offset = exact ? expected(*fit, size, alignment) : 0, largest = hw_fit_largest_hole(*fit);
    enum hw_strategy_result result;
    while ((result = hw_fit_allocate(*fit, size, alignment, handle)) == HW_STRATEGY_CONTROL_FULL) {
        check(*fit);
        *fit = relocate(*fit, (*fit)->blocks_capacity + 1 + random_below(20));
    }
    bool found = result == HW_STRATEGY_OK;
    assert(found || result == HW_STRATEGY_NO_MEMORY);
    if (exact) assert(found == (offset != UINT64_MAX) && (!found || handle->offset_bytes == offset));
    else assert(found || largest < enough(*fit, size, alignment)); /* G3 */
    if ((*fit)->head.strategy == HW_BUDDY) assert(!found || largest >= enough(*fit, size, alignment));
    if (!found) return result;
    hw_strategy_seen block = hw_fit_see(*fit, handle->number);
    assert(block.requested_bytes == size && block.size_bytes >= size && block.offset_bytes % alignment == 0);
    mark(*fit, *handle, true);
    return result;
}

static void random_program(enum hw_strategy strategy, uint64_t seed, uint32_t granule, uint32_t steps) {
    state = seed * 2654435761u + 88172645463325252u;
    uint64_t capacity = (uint64_t)granule * (64 + random_below(4000));
    uint32_t blocks = strategy == HW_BUDDY ? 32 : 4; /* as many as a capacity has binary digits */
    hw_fit *fit = new_region(strategy, (uint32_t)(capacity / granule), blocks);
    assert(hw_fit_init(fit, blocks, strategy, capacity + random_below(granule), granule) == HW_STRATEGY_OK);
    uint64_t holes = fit->totals.holes, largest_hole = hw_fit_largest_hole(fit);
    memset(taken, 0, sizeof taken);
    hw_strategy_handle live[LIVE_MAX];
    uint32_t count = 0, largest = 1 + random_below(60 * granule);
    for (uint32_t step = 0; step < steps; step++) {
        uint32_t act = random_below(100);
        uint64_t size = random_below(8) ? random_below(largest) : random_below(16 * largest);
        hw_strategy_handle handle;
        enum hw_strategy_result result;
        if (act < 50 && count < LIVE_MAX) {
            uint64_t alignment = random_below(3) ? 1 : (uint64_t)1 << random_below(16);
            if (allocate(&fit, size, alignment, &handle) == HW_STRATEGY_OK) live[count++] = handle;
        } else if (act < 85 && count > 0) {
            uint32_t i = random_below(count);
            mark(fit, live[i], false);
            assert(hw_fit_free(fit, live[i]) == HW_STRATEGY_OK);
            handle = live[i];
            live[i] = live[--count];
            assert(hw_fit_free(fit, handle) == HW_STRATEGY_NOT_LIVE); /* double */
        } else if (act < 95 && count > 0) {
            uint32_t i = random_below(count);
            mark(fit, live[i], false);
            while ((result = hw_fit_resize(fit, live[i], size)) == HW_STRATEGY_CONTROL_FULL)
                fit = relocate(fit, fit->blocks_capacity + 1);
            assert(result == HW_STRATEGY_OK || size > hw_fit_see(fit, live[i].number).requested_bytes);
            mark(fit, live[i], true);
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
    assert(fit->totals.holes == holes && hw_fit_largest_hole(fit) == largest_hole); /* everything coalesced */
    free(fit);
}

/* Free needs no room: with the block array exactly full, freeing every second block makes as many holes as there can be. */
static void free_never_fails(enum hw_strategy strategy) {
    enum { BLOCKS = 2001 };
    hw_fit *fit = new_region(strategy, BLOCKS, BLOCKS);
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
    hw_fit *fit = new_region(HW_BEST_FIT, UINT32_MAX, 8);
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

/* Every planted fault is found, by its name. */
static void planted(enum hw_strategy strategy) {
    hw_strategy_handle blocks[8];
    uint64_t where;
    hw_fit *fit = new_region(strategy, 512, 64);
    assert(hw_fit_init(fit, 64, strategy, 512 * 16, 16) == HW_STRATEGY_OK);
    for (int i = 0; i < 8; i++) assert(hw_fit_allocate(fit, 32, 1, &blocks[i]) == HW_STRATEGY_OK);
    for (int i = 1; i < 8; i += 2) assert(hw_fit_free(fit, blocks[i]) == HW_STRATEGY_OK); /* four holes of one class */
    check(fit);
    size_t bytes = hw_fit_control_bytes(strategy, 512, 64);
    hw_fit *faulty = aligned_alloc(64, bytes);
    uint32_t hole = blocks[3].number, at = hw_segregated_at(&fit->index.lists, hole), class = hw_fit_class(strategy, 2);
#define FOUND(name, fault)                                                                                             \
    memcpy(faulty, fit, bytes), fault, assert(strcmp(hw_fit_check(faulty, &where), name) == 0)
    FOUND("L1", hw_fit_links(faulty)[at].previous = HW_STRATEGY_NONE);
    FOUND("L1", hw_fit_links(faulty)[at].next = at);
    FOUND("L1", hw_fit_links(faulty)[class].next = 1000);
    FOUND("L1", hw_fit_links(faulty)[class].previous = at);
    FOUND("L2", faulty->index.lists.nonempty[0] ^= 1u << 31);
    FOUND("L2", faulty->index.lists.nonempty_rows = 0);
    FOUND("L2", faulty->index.lists.heads += HW_SEGREGATED_ROW);
    FOUND("I6", faulty->index_bytes_before += 64);
    FOUND("L3", faulty->index.lists.count++);
    FOUND("I6", hw_segregated_erase(&faulty->index.lists, hw_fit_links(faulty), class, hole));
    FOUND("I6", (hw_segregated_erase(&faulty->index.lists, hw_fit_links(faulty), class, hole),
                 hw_segregated_insert(&faulty->index.lists, hw_fit_links(faulty), class + 1, hole)));
    FOUND("I1", hw_fit_blocks(faulty)[hole].offset++);
    FOUND("I3", hw_fit_blocks(faulty)[blocks[0].number].slack_and_live = 33 << 1 | 1);
    FOUND("I4", faulty->totals.free++);
    FOUND("I5", faulty->retired_count++);
    FOUND("I7", faulty->rover = 513);
    FOUND("I8", faulty->head.cursor = hole + 20);
    if (strategy == HW_BUDDY) {
        FOUND("I9", *hw_fit_surplus(faulty, blocks[0].number) = 1);
        FOUND("I2", (hw_fit_blocks(faulty)[blocks[2].number].slack_and_live = 0,
                     hw_fit_index_insert(faulty, strategy, blocks[2].number, hw_fit_extent_of(faulty, blocks[2].number))));
    }
#undef FOUND
    free(faulty);
    free(fit);
}

int main(void) {
    const char *fuzz = getenv("HEAPWRIGHT_FUZZ_SECONDS");
    time_t end = time(NULL) + (fuzz ? atoi(fuzz) : 0);
    uint64_t seed = 1;
    arguments();
    planted(HW_TLSF);
    planted(HW_BUDDY);
    do {
        for (int strategy = HW_FIRST_FIT; strategy <= HW_BUDDY; strategy++) {
            for (int i = 0; i < 12; i++) random_program(strategy, seed++, i % 3 ? 16 : 256, 1500);
            free_never_fails(strategy);
        }
    } while (time(NULL) < end);
    printf("fit: ok (%llu programs)\n", (unsigned long long)seed - 1);
    return 0;
}
