/* Regions and epochs against plain lists: a block is alive in the model until something says that it is not, and no two
 * live blocks overlap. HEAPWRIGHT_FUZZ_SECONDS=n goes on with new seeds for that long. */
#undef NDEBUG
#include "core/epochs.h"
#include "core/region.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 4000 };

typedef struct {
    uint64_t offset, size, requested, serial;
    uint32_t depth;
    bool live;
} block;

static uint64_t random_below(uint64_t *state, uint64_t n) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17; /* Marsaglia, xorshift64 */
    return (*state >> 16) % n;
}

static void every_edge_of_placing(void) {
    uint64_t offset = 77;
    for (uint64_t base = 0; base < 64; base++)
        for (uint64_t chunk = 0; chunk < 130; chunk++)
            for (uint64_t filled = 0; filled <= 128; filled += 16)
                for (uint64_t alignment = 1; alignment <= 64; alignment *= 2)
                    for (uint64_t size = 0; size < 132; size += 1 + size % 3) {
                        hw_region region = hw_region_open(base, chunk);
                        assert(region.base % 16 == 0 || region.capacity_bytes == 0);
                        assert(region.base >= base && region.base + region.capacity_bytes <= base + chunk);
                        assert(region.capacity_bytes + 32 > chunk && region.capacity_bytes % 16 == 0);
                        if (filled > region.capacity_bytes) continue;
                        uint64_t expected = filled, taken = size <= 16 ? 16 : (size + 15) / 16 * 16;
                        region.top_bytes = filled;
                        while ((region.base + expected) % alignment != 0) expected++;
                        bool fits = expected + taken <= region.capacity_bytes;
                        assert(hw_region_place(&region, size, alignment, &offset) == fits);
                        assert(region.top_bytes == (fits ? expected + taken : filled) && (!fits || offset == expected));
                        if (fits) hw_region_unplace(&region, offset, size), assert(region.top_bytes == expected);
                    }
    hw_region region = hw_region_open(4096, 100);
    assert(!hw_region_place(&region, UINT64_MAX, 16, &offset) && region.top_bytes == 0);
    assert(!hw_region_place(&region, UINT64_MAX - 8, UINT64_C(1) << 63, &offset) && region.top_bytes == 0);
    assert(!hw_region_place(&region, 1, UINT64_C(1) << 63, &offset) && region.top_bytes == 0);
    hw_region last = hw_region_open(UINT64_MAX - 127, 112); /* no sum carries */
    assert(!hw_region_place(&last, 113, 1, &offset) && hw_region_place(&last, 112, 1, &offset));
}

static void random_program(uint64_t seed) {
    static block blocks[MOST];
    static hw_epochs epochs;
    uint64_t state = seed * 2654435761u + 1, tops[HW_EPOCHS_MAX] = {0};
    uint32_t count = 0, depth = 0;
    hw_region region = hw_region_open(random_below(&state, 1 << 20), 1 + random_below(&state, 1 << 16));
    memset(&epochs, 0, sizeof epochs);
    hw_epochs_begin(&epochs);
    for (int step = 0; step < 600; step++) {
        uint64_t what = random_below(&state, 100), offset = 0;
        if (what < 70 && count < MOST) {
            uint64_t size = random_below(&state, 300), alignment = UINT64_C(1) << random_below(&state, 9);
            if (hw_region_place(&region, size, alignment, &offset)) {
                assert((region.base + offset) % alignment == 0 && offset + size <= region.capacity_bytes);
                blocks[count++] = (block){offset, size ? (size + 15) / 16 * 16 : 16, size, epochs.open[epochs.depth].serial, depth, true};
                hw_epochs_born(&epochs, size);
            }
        } else if (what < 76 && count > 0) { /* the end of one block; the last one's room can be had again */
            block *ended = &blocks[count - 1 - random_below(&state, count < 5 ? count : 5)];
            if (!ended->live) continue;
            bool last = ended->offset + ended->size == region.top_bytes;
            uint64_t before = region.top_bytes;
            hw_region_unplace(&region, ended->offset, ended->requested);
            assert(region.top_bytes == (last ? ended->offset : before));
            hw_epochs_died(&epochs, ended->depth, ended->requested);
            ended->live = false, ended->serial = 0;
        } else if (what < 82) { /* a mark */
            bool nested = hw_epochs_nest(&epochs);
            assert(nested == (depth + 1 < HW_EPOCHS_MAX));
            if (nested) tops[++depth] = region.top_bytes;
        } else if (what < 97) { /* the release of one: not always the latest */
            if (depth == 0) continue;
            uint32_t to = 1 + (uint32_t)random_below(&state, depth);
            for (uint32_t i = 0; i < count; i++) blocks[i].live &= blocks[i].depth < to;
            hw_epochs_end(&epochs, to);
            hw_region_rewind(&region, tops[to]);
            depth = to - 1;
        } else { /* a reset */
            for (uint32_t i = 0; i < count; i++) blocks[i].live = false;
            hw_epochs_begin(&epochs);
            hw_region_rewind(&region, 0);
            depth = 0;
        }
        assert(hw_epochs_check(&epochs) == NULL && region.top_bytes <= region.capacity_bytes);
        uint64_t live = 0, end = 0, requested = 0;
        for (uint32_t i = 0; i < count; i++) {
            assert(hw_epochs_is_open(&epochs, blocks[i].serial, blocks[i].depth) == blocks[i].live);
            if (!blocks[i].live) continue;
            assert(blocks[i].offset >= end && (end = blocks[i].offset + blocks[i].size) <= region.top_bytes); /* R2 */
            live++, requested += blocks[i].requested;
        }
        assert(epochs.blocks == live && epochs.requested_bytes == requested && epochs.depth == depth);
    }
}

static void damage_is_named(void) {
    static hw_epochs epochs;
    hw_epochs_begin(&epochs);
    assert(hw_epochs_nest(&epochs) && hw_epochs_check(&epochs) == NULL);
    hw_epochs good = epochs;
    epochs.open[1].serial = epochs.open[0].serial;
    assert(strcmp(hw_epochs_check(&epochs), "E1") == 0);
    epochs = good, epochs.depth = HW_EPOCHS_MAX;
    assert(strcmp(hw_epochs_check(&epochs), "E1") == 0);
    epochs = good, epochs.open[1].serial = epochs.last_serial + 1;
    assert(strcmp(hw_epochs_check(&epochs), "E1") == 0);
    epochs = good, epochs.open[0].serial = 0;
    assert(strcmp(hw_epochs_check(&epochs), "E2") == 0);
    epochs = good, epochs.open[1].requested_bytes = 1;
    assert(strcmp(hw_epochs_check(&epochs), "E3") == 0);
    epochs = good, epochs.blocks++;
    assert(strcmp(hw_epochs_check(&epochs), "E4") == 0);
    epochs = good, hw_epochs_born(&epochs, 5), epochs.peak_requested_bytes = 4;
    assert(strcmp(hw_epochs_check(&epochs), "E4") == 0);
}

int main(void) {
    every_edge_of_placing();
    damage_is_named();
    uint64_t seed = 1;
    for (; seed <= 300; seed++) random_program(seed);
    const char *seconds = getenv("HEAPWRIGHT_FUZZ_SECONDS");
    time_t end = time(NULL) + (seconds ? atoi(seconds) : 0);
    for (; time(NULL) < end; seed++) random_program(seed + (uint64_t)end);
    return 0;
}
