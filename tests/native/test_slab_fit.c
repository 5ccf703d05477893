/* Slab fit: random programs that fill and drain classes, with every invariant and the whole walk compared with what was
 * asked for after each step, an interrupted walk among them, in a control region that starts too small, so that it is
 * relocated again and again. That the offsets are those of the definition is tests/heaps/test_slab.py.
 * HEAPWRIGHT_FUZZ_SECONDS=n goes on with new seeds for that long. */
#undef NDEBUG
#include "core/slab_fit.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIVE_MAX = 1500 };
static uint64_t state;

typedef struct {
    hw_strategy_handle handle;
    uint64_t size_bytes;
} held;

typedef struct {
    held blocks[LIVE_MAX];
    uint32_t count;
    uint64_t requested, total_requested, peak_requested, total_blocks;
} book;

static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 16) % n);
}

static void *region_for(uint32_t blocks, uint32_t slabs) {
    return aligned_alloc(64, (hw_slab_fit_control_bytes(blocks, slabs) + 63) / 64 * 64);
}

static hw_slab_fit *relocate(hw_slab_fit *slabs) {
    uint32_t blocks, records;
    hw_slab_fit_wants(slabs, &blocks, &records);
    assert(blocks > slabs->blocks_capacity || records > slabs->slabs_capacity);
    hw_slab_fit *moved = hw_slab_fit_grow(slabs, region_for(blocks, records), blocks, records);
    memset(slabs, 0xA5, sizeof *slabs); /* whoever still looks there finds nonsense */
    free(slabs);
    return moved;
}

static void check(const hw_slab_fit *slabs) {
    uint64_t where;
    const char *broken = hw_slab_fit_check(slabs, &where);
    if (broken != NULL) fprintf(stderr, "%s at offset %llu\n", broken, (unsigned long long)where), abort();
}

/* The walk covers everything once, and shows what is held. */
static void compare(const hw_slab_fit *slabs, const book *b) {
    uint64_t end = 0, requested = 0, allocated = 0, live = 0, holes = 0;
    check(slabs);
    for (uint32_t number = hw_slab_fit_first(slabs); number != HW_STRATEGY_NONE;) {
        hw_strategy_seen seen = hw_slab_fit_see(slabs, number);
        assert(seen.offset_bytes == end && seen.size_bytes > 0);
        end += seen.size_bytes;
        if (seen.live) {
            assert(hw_slab_fit_is_live(slabs, (hw_strategy_handle){seen.offset_bytes, number}));
            requested += seen.requested_bytes, allocated += seen.size_bytes, live++;
        } else {
            holes++;
        }
        number = seen.next;
    }
    hw_strategy_totals t = hw_slab_fit_totals(slabs);
    assert(end == slabs->head.capacity_bytes && live == b->count && requested == b->requested);
    assert(t.requested == requested && t.allocated == allocated && t.free == end - allocated);
    assert(t.blocks == live && t.holes == holes && t.total_blocks == b->total_blocks);
    assert(t.freed_blocks == b->total_blocks - live && t.total_requested == b->total_requested);
    assert(t.peak_requested == b->peak_requested && t.peak_blocks >= live && t.peak_allocated >= allocated);
}

static void rise(book *b, uint64_t by) {
    b->requested += by, b->total_requested += by;
    if (b->requested > b->peak_requested) b->peak_requested = b->requested;
}

static hw_slab_fit *allocate(hw_slab_fit *slabs, book *b, uint64_t size, uint64_t alignment) {
    hw_strategy_handle handle;
    enum hw_strategy_result result;
    uint64_t largest = hw_slab_fit_largest_hole(slabs);
    while ((result = hw_slab_fit_allocate(slabs, size, alignment, &handle)) == HW_STRATEGY_CONTROL_FULL) slabs = relocate(slabs);
    uint64_t granule = slabs->granule_mask + 1, unit = alignment < granule ? granule : alignment;
    uint64_t rounded = ((size == 0 ? 1 : size) + unit - 1) / unit * unit;
    if (unit == granule && (rounded > largest || size == largest)) /* what the figures say, to the byte */
        assert((result == HW_STRATEGY_OK) == (rounded <= largest));
    if (result != HW_STRATEGY_OK) return slabs;
    assert(handle.offset_bytes % unit == 0);
    hw_strategy_seen seen = hw_slab_fit_see(slabs, handle.number), whole = hw_slab_fit_see_whole(slabs, handle.number);
    assert(seen.offset_bytes == handle.offset_bytes && seen.requested_bytes == size && seen.size_bytes >= size);
    assert(seen.size_bytes < rounded + granule || (seen.size_bytes - rounded) * 8 < rounded); /* the bound */
    assert(whole.offset_bytes <= seen.offset_bytes);
    assert(seen.offset_bytes + seen.size_bytes <= whole.offset_bytes + whole.size_bytes);
    b->blocks[b->count++] = (held){handle, size};
    b->total_blocks++;
    rise(b, size);
    return slabs;
}

static void release(hw_slab_fit *slabs, book *b, uint32_t i) {
    hw_strategy_handle handle = b->blocks[i].handle;
    assert(hw_slab_fit_free(slabs, handle) == HW_STRATEGY_OK);
    b->requested -= b->blocks[i].size_bytes;
    b->blocks[i] = b->blocks[--b->count];
    assert(hw_slab_fit_free(slabs, handle) == HW_STRATEGY_NOT_LIVE); /* double */
    handle.offset_bytes += 1 + random_below(15);
    assert(hw_slab_fit_free(slabs, handle) == HW_STRATEGY_NOT_LIVE); /* interior */
    handle.number = random_below(2) ? (uint32_t)state : (uint32_t)state % (64 * slabs->slabs_capacity);
    assert(hw_slab_fit_free(slabs, handle) == HW_STRATEGY_NOT_LIVE); /* foreign: no block is at an odd offset */
}

/* Who walks from the cursor on after anything has happened comes to the end, by ascending offsets. */
static void walk_on(hw_slab_fit *slabs) {
    uint64_t end = 0;
    for (uint32_t number = slabs->head.cursor; number != HW_STRATEGY_NONE;) {
        hw_strategy_seen seen = hw_slab_fit_see(slabs, number);
        assert(seen.offset_bytes >= end);
        end = seen.offset_bytes + seen.size_bytes;
        number = seen.next;
    }
    assert(slabs->head.cursor == HW_STRATEGY_NONE || end == slabs->head.capacity_bytes);
    slabs->head.cursor = hw_slab_fit_first(slabs);
    for (uint32_t steps = random_below(300); steps > 0 && slabs->head.cursor != HW_STRATEGY_NONE; steps--)
        slabs->head.cursor = hw_slab_fit_see(slabs, slabs->head.cursor).next;
}

static void random_program(uint64_t seed, uint32_t granule, uint32_t steps) {
    static book b;
    memset(&b, 0, sizeof b);
    state = seed * 2654435761u + 88172645463325252u;
    uint64_t capacity = (uint64_t)granule * (200 + random_below(30000));
    hw_slab_fit *slabs = region_for(4, 1);
    assert(hw_slab_fit_init(slabs, 4, 1, capacity, granule) == HW_STRATEGY_OK);
    uint32_t largest = 1 + random_below(100 * granule), share = 0;
    uint64_t favourite = 1;
    for (uint32_t step = 0; step < steps; step++) {
        uint32_t act = random_below(100);
        if (step % 150 == 0) share = 20 + random_below(60), favourite = random_below(70 * granule); /* fill, or drain */
        if (act < share && b.count < LIVE_MAX) {
            uint64_t size = random_below(3) ? favourite : random_below(10) ? random_below(largest) : random_below(40 * largest);
            slabs = allocate(slabs, &b, size, random_below(4) ? 16 : (uint64_t)1 << random_below(17));
        } else if (act < 94 && b.count > 0) {
            release(slabs, &b, random_below(3) ? random_below(b.count) : b.count - 1);
        } else if (act < 98 && b.count > 0) {
            held *block = &b.blocks[random_below(b.count)];
            uint64_t size = random_below(2 * largest);
            enum hw_strategy_result result;
            while ((result = hw_slab_fit_resize(slabs, block->handle, size)) == HW_STRATEGY_CONTROL_FULL) slabs = relocate(slabs);
            if (result != HW_STRATEGY_OK) {
                assert(result == HW_STRATEGY_NO_MEMORY);
                continue;
            }
            if (size > block->size_bytes) rise(&b, size - block->size_bytes);
            else b.requested -= block->size_bytes - size;
            block->size_bytes = size;
        } else {
            walk_on(slabs);
        }
        compare(slabs, &b);
    }
    while (b.count > 0) release(slabs, &b, b.count - 1);
    compare(slabs, &b);
    assert(hw_slab_fit_largest_hole(slabs) == slabs->head.capacity_bytes); /* counting the empty slabs that are kept */
    hw_strategy_handle all;
    assert(hw_slab_fit_allocate(slabs, slabs->head.capacity_bytes, 1, &all) == HW_STRATEGY_OK && slabs->slabs == 0);
    free(slabs);
}

static void classes(void) {
    for (uint32_t units = 1, last = 0; units < 70000; units++) {
        uint32_t class = hw_size_class(units), most = hw_size_class_units(class);
        assert(most >= units && (class == last || (class == last + 1 && hw_size_class_units(last) == units - 1)));
        assert(units <= 16 ? most == units : (most - units) * 8 < units);
        for (uint32_t power = 1; units % power == 0; power *= 2) assert(most % power == 0);
        last = class;
    }
    assert(hw_size_class(HW_SLAB_FIT_GRANULES_MAX) == HW_SLAB_FIT_CLASSES - 1);
}

static void planted_faults(void) {
    uint64_t where;
    hw_strategy_handle handle;
    hw_slab_fit *slabs = region_for(64, 8);
    assert(hw_slab_fit_init(slabs, 64, 0, 1 << 20, 16) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_slab_fit_init(slabs, 3, 8, 1 << 20, 16) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_slab_fit_init(slabs, 64, 8, 1 << 20, 24) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_slab_fit_init(slabs, 64, 8, (uint64_t)1 << 43, 4096) == HW_STRATEGY_OK);
    assert(hw_slab_fit_allocate(slabs, 16, 1, &handle) == HW_STRATEGY_OK && slabs->slabs == 0); /* too coarse for classes */
    assert(hw_slab_fit_init(slabs, 64, 8, 1 << 20, 16) == HW_STRATEGY_OK);
    assert(hw_slab_fit_allocate(slabs, 1, 0, &handle) == HW_STRATEGY_BAD_ARGUMENT);
    assert(hw_slab_fit_allocate(slabs, UINT64_MAX, 1, &handle) == HW_STRATEGY_NO_MEMORY);
    assert(hw_slab_fit_allocate(slabs, 1, (uint64_t)1 << 63, &handle) == HW_STRATEGY_OK); /* at 0, and a block of the fit */
    assert(hw_slab_fit_allocate(slabs, 100, 16, &handle) == HW_STRATEGY_OK);
    hw_slab_fit sound = *slabs;
    hw_slab_fit_slab *slab = hw_slab_fit_slabs(slabs), sound_slab = *slab;
    assert(hw_slab_fit_check(slabs, &where) == NULL);
    slab->offset_bytes += 16;
    assert(strcmp(hw_slab_fit_check(slabs, &where), "K1") == 0);
    *slab = sound_slab, slabs->classes[6].partial = HW_STRATEGY_NONE;
    assert(strcmp(hw_slab_fit_check(slabs, &where), "K2") == 0);
    *slabs = sound, slab->free = UINT64_MAX, slabs->classes[6].spare = 0;
    assert(strcmp(hw_slab_fit_check(slabs, &where), "K3") == 0);
    *slabs = sound, *slab = sound_slab, slab->slack[0] = 113;
    assert(strcmp(hw_slab_fit_check(slabs, &where), "K4") == 0);
    *slab = sound_slab, slabs->requested.below += 1;
    assert(strcmp(hw_slab_fit_check(slabs, &where), "K5") == 0);
    *slabs = sound, slabs->retired = 0;
    assert(strcmp(hw_slab_fit_check(slabs, &where), "K6") == 0);
    *slabs = sound, slabs->head.cursor = 64;
    assert(strcmp(hw_slab_fit_check(slabs, &where), "K7") == 0);
    free(slabs);
}

int main(void) {
    const char *fuzz = getenv("HEAPWRIGHT_FUZZ_SECONDS");
    time_t end = time(NULL) + (fuzz ? atoi(fuzz) : 0);
    uint64_t seed = 1;
    classes();
    planted_faults();
    do {
        for (int i = 0; i < 15; i++) random_program(seed++, (const uint32_t[]){16, 16, 64, 128, 512}[i % 5], 1200);
    } while (time(NULL) < end);
    printf("slab fit: ok (%llu programs)\n", (unsigned long long)seed - 1);
    return 0;
}
