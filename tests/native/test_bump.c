/* Bump against its definition: a plain list of everything that was allocated since the last release, summed up anew after
 * each step; every invariant walked as well, in a control region that starts too small, so that it is relocated again and
 * again. HEAPWRIGHT_FUZZ_SECONDS=n goes on with new seeds for that long. */
#undef NDEBUG
#include "core/bump.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LISTED_MAX = 600, MARKS_MAX = 40 };
static uint64_t state;

static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 16) % n);
}

typedef struct {
    hw_strategy_handle handle;
    uint64_t size, requested;
    bool live;
} listed;

/* The definition: what is listed, where the marks are, and what ever happened. */
typedef struct {
    listed blocks[LISTED_MAX];
    uint32_t count;
    struct {
        hw_bump_mark mark;
        uint32_t count;
    } marks[MARKS_MAX];
    uint32_t depth;
    uint64_t total_requested, total_allocated, total_blocks, peak_requested, peak_allocated, peak_blocks;
} definition;

static uint64_t top_of(const definition *d) {
    if (d->count == 0) return 0;
    return d->blocks[d->count - 1].handle.offset_bytes + d->blocks[d->count - 1].size;
}

static void take_back(definition *d) {
    uint32_t first = d->depth ? d->marks[d->depth - 1].count : 0;
    while (d->count > first && !d->blocks[d->count - 1].live) d->count--;
}

/* The walk, the totals and the invariants all say what the definition says. */
static void compare(const hw_bump *bump, definition *d) {
    uint64_t where, requested = 0, allocated = 0, live = 0, holes = 0, end = 0;
    const char *broken = hw_bump_check(bump, &where);
    if (broken != NULL) fprintf(stderr, "%s at offset %llu\n", broken, (unsigned long long)where), abort();
    uint32_t number = hw_bump_first(bump);
    for (uint32_t i = 0; i < d->count; i++) {
        const listed *block = &d->blocks[i];
        hw_strategy_seen seen = hw_bump_see(bump, number);
        if (block->handle.offset_bytes > end) { /* a gap first */
            assert(!seen.live && seen.offset_bytes == end && seen.size_bytes == block->handle.offset_bytes - end);
            holes++;
            number = seen.next;
            seen = hw_bump_see(bump, number);
        }
        assert(number == block->handle.number && seen.live == block->live && seen.size_bytes == block->size);
        assert(seen.offset_bytes == block->handle.offset_bytes && hw_bump_is_live(bump, block->handle) == block->live);
        if (block->live) requested += block->requested, allocated += block->size, live++;
        else holes++;
        assert(seen.requested_bytes == (block->live ? block->requested : 0));
        end = block->handle.offset_bytes + block->size;
        number = seen.next;
    }
    if (number != HW_STRATEGY_NONE) {
        hw_strategy_seen seen = hw_bump_see(bump, number);
        assert(!seen.live && seen.offset_bytes == end && seen.size_bytes == hw_bump_room(bump));
        assert(seen.next == HW_STRATEGY_NONE);
        holes++;
    }
    assert(end + hw_bump_room(bump) == bump->head.capacity_bytes);
    if (requested > d->peak_requested) d->peak_requested = requested;
    if (allocated > d->peak_allocated) d->peak_allocated = allocated;
    if (live > d->peak_blocks) d->peak_blocks = live;
    hw_strategy_totals t = hw_bump_totals(bump);
    assert(t.requested == requested && t.allocated == allocated && t.free == bump->head.capacity_bytes - allocated);
    assert(t.blocks == live && t.holes == holes && t.total_blocks == d->total_blocks);
    assert(t.freed_blocks == d->total_blocks - live);
    assert(t.total_requested == d->total_requested && t.total_allocated == d->total_allocated);
    assert(t.peak_requested == d->peak_requested && t.peak_allocated == d->peak_allocated);
    assert(t.peak_blocks == d->peak_blocks);
}

static hw_bump *relocate(hw_bump *bump, uint32_t blocks) {
    void *larger = aligned_alloc(64, (hw_bump_control_bytes(blocks) + 63) / 64 * 64);
    hw_bump *moved = hw_bump_grow(bump, larger, blocks);
    memset(bump, 0xA5, sizeof *bump); /* whoever still looks there finds nonsense */
    free(bump);
    return moved;
}

static hw_bump *allocate(hw_bump *bump, definition *d, uint32_t granule, uint64_t size, uint64_t alignment) {
    uint64_t coarse = alignment < granule ? granule : alignment;
    uint64_t rounded = size == 0 ? granule : (size + granule - 1) / granule * granule;
    uint64_t offset = (top_of(d) + coarse - 1) / coarse * coarse;
    bool fits = offset + rounded <= bump->head.capacity_bytes;
    hw_strategy_handle handle;
    enum hw_strategy_result result;
    while ((result = hw_bump_allocate(bump, size, alignment, &handle)) == HW_STRATEGY_CONTROL_FULL)
        bump = relocate(bump, bump->blocks_capacity + 1 + random_below(20));
    assert(result == (fits ? HW_STRATEGY_OK : HW_STRATEGY_NO_MEMORY));
    if (!fits) return bump;
    assert(handle.offset_bytes == offset && handle.number == d->count);
    d->blocks[d->count++] = (listed){handle, rounded, size, true};
    d->total_requested += size, d->total_allocated += rounded, d->total_blocks++;
    return bump;
}

static void resize(hw_bump *bump, definition *d, uint32_t granule, uint32_t i, uint64_t size) {
    listed *block = &d->blocks[i];
    uint64_t rounded = size == 0 ? granule : (size + granule - 1) / granule * granule;
    bool last = i == d->count - 1;
    uint64_t room = last ? bump->head.capacity_bytes - block->handle.offset_bytes : block->size;
    enum hw_strategy_result result = hw_bump_resize(bump, block->handle, size);
    if (!block->live) {
        assert(result == HW_STRATEGY_NOT_LIVE);
    } else if (rounded > room) {
        assert(result == HW_STRATEGY_NO_MEMORY);
    } else {
        assert(result == HW_STRATEGY_OK);
        if (!last) rounded = block->size;
        if (size > block->requested) d->total_requested += size - block->requested;
        if (rounded > block->size) d->total_allocated += rounded - block->size;
        block->size = rounded, block->requested = size;
    }
}

static hw_bump *set_mark(hw_bump *bump, definition *d) {
    hw_bump_mark mark;
    while (hw_bump_set_mark(bump, &mark) == HW_STRATEGY_CONTROL_FULL) bump = relocate(bump, bump->blocks_capacity + 4);
    d->marks[d->depth].mark = mark;
    d->marks[d->depth++].count = d->count;
    return bump;
}

static void release(hw_bump *bump, definition *d, uint32_t depth) {
    uint32_t before = d->depth;
    d->count = d->marks[depth].count, d->depth = depth;
    take_back(d);
    assert(hw_bump_release(bump, d->marks[depth].mark) == HW_STRATEGY_OK);
    for (uint32_t i = depth; i < before; i++) assert(!hw_bump_is_open(bump, d->marks[i].mark)); /* it, and all later */
    assert(hw_bump_release(bump, d->marks[depth].mark) == HW_STRATEGY_NOT_LIVE);
}

static void random_program(uint64_t seed, uint32_t granule, uint32_t steps) {
    static definition d;
    memset(&d, 0, sizeof d);
    state = seed * 2654435761u + 88172645463325252u;
    uint64_t capacity = (uint64_t)granule * (64 + random_below(4000));
    hw_bump *bump = aligned_alloc(64, (hw_bump_control_bytes(4) + 63) / 64 * 64);
    assert(hw_bump_init(bump, 4, capacity + random_below(granule), granule) == HW_STRATEGY_OK);
    uint32_t largest = 1 + random_below(30 * granule), frees = random_below(60);
    for (uint32_t step = 0; step < steps; step++) {
        uint32_t act = random_below(100);
        uint64_t size = random_below(8) ? random_below(largest) : random_below(16 * largest);
        if (act < frees) {
            if (d.count == 0) continue;
            uint32_t i = random_below(2) ? d.count - 1 : random_below(d.count);
            hw_strategy_handle handle = d.blocks[i].handle;
            bool live = d.blocks[i].live;
            assert(hw_bump_free(bump, handle) == (live ? HW_STRATEGY_OK : HW_STRATEGY_NOT_LIVE));
            d.blocks[i].live = false;
            take_back(&d);
            assert(hw_bump_free(bump, handle) == HW_STRATEGY_NOT_LIVE); /* double */
            handle.offset_bytes += 1 + random_below(granule);           /* interior */
            assert(hw_bump_free(bump, handle) == HW_STRATEGY_NOT_LIVE);
            handle.number = bump->count + random_below(100); /* foreign */
            assert(hw_bump_free(bump, handle) == HW_STRATEGY_NOT_LIVE);
        } else if (act < 85) {
            if (d.count < LISTED_MAX) bump = allocate(bump, &d, granule, size, random_below(3) ? 1 : (uint64_t)1 << random_below(16));
        } else if (act < 92) {
            if (d.count > 0) resize(bump, &d, granule, random_below(2) ? d.count - 1 : random_below(d.count), size);
        } else if (act < 96) {
            if (d.depth < MARKS_MAX) bump = set_mark(bump, &d);
        } else if (act < 99) {
            if (d.depth > 0) release(bump, &d, random_below(d.depth));
        } else if (random_below(4) == 0) {
            hw_bump_reset(bump);
            d.count = d.depth = 0;
        }
        compare(bump, &d);
    }
    hw_bump_reset(bump);
    d.count = d.depth = 0;
    compare(bump, &d);
    free(bump);
}

static void arguments(void) {
    hw_bump *bump = aligned_alloc(64, 4096);
    hw_strategy_handle handle;
    uint64_t where;
    assert(hw_bump_init(bump, 3, 1024, 16) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_bump_init(bump, 8, 1024, 24) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_bump_init(bump, 8, 15, 16) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_bump_init(bump, 8, (uint64_t)1 << 40, 16) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_bump_init(bump, 8, (uint64_t)1 << 40, 512) == HW_STRATEGY_OK);
    assert(hw_bump_allocate(bump, 1, 0, &handle) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_bump_allocate(bump, 1, 24, &handle) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_bump_allocate(bump, UINT64_MAX, 1, &handle) == HW_STRATEGY_NO_MEMORY);
    assert(hw_bump_allocate(bump, 1, (uint64_t)1 << 63, &handle) == HW_STRATEGY_OK && handle.offset_bytes == 0);
    assert(hw_bump_allocate(bump, 1, (uint64_t)1 << 63, &handle) == HW_STRATEGY_NO_MEMORY);
    assert(hw_bump_resize(bump, handle, UINT64_MAX) == HW_STRATEGY_NO_MEMORY);
    assert(hw_bump_release(bump, (hw_bump_mark){0, 0}) == HW_STRATEGY_NOT_LIVE);
    hw_bump_uncount(bump, 1, 512, 1); /* as if it had never been: the lifetime totals only */
    assert(hw_bump_totals(bump).total_requested == 0 && hw_bump_totals(bump).total_blocks == 0);
    assert(hw_bump_check(bump, &where) == NULL);
    bump->now.sums.requested += 1; /* a planted fault is found */
    assert(strcmp(hw_bump_check(bump, &where), "B4") == 0);
    free(bump);
}

int main(void) {
    const char *fuzz = getenv("HEAPWRIGHT_FUZZ_SECONDS");
    time_t end = time(NULL) + (fuzz ? atoi(fuzz) : 0);
    uint64_t seed = 1;
    arguments();
    do {
        for (int i = 0; i < 60; i++) random_program(seed++, i % 3 ? 16 : 256, 1500);
    } while (time(NULL) < end);
    printf("bump: ok (%llu programs)\n", (unsigned long long)seed - 1);
    return 0;
}
