/* The arithmetic of the core, for every value: no loop, so nothing is bounded. -DLAW picks one. */
#include <stddef.h>
#include <stdint.h>

#include "core/fit_fused.h"
#include "core/slab.h"
#include "core/two_level.h"

uint64_t nondet_u64(void);
uint32_t nondet_u32(void);
#define ASSUME(condition) __CPROVER_assume(condition)
#define ASSERT(condition, words) __CPROVER_assert(condition, words)

/* G1 to G3 of core/two_level.h, for all sizes of holes and requests. */
void two_level(void) {
    uint32_t n = nondet_u32(), hole = nondet_u32(), larger = nondet_u32();
    ASSUME(n >= 1 && hole >= 1 && hole <= larger);
    uint32_t class = hw_two_level_class(hole), search = hw_two_level_search(n);
    ASSERT(class <= hw_two_level_class(larger), "G1: the class grows with the hole");
    if (class >= search) ASSERT(hole >= n, "G2: what is found is large enough");
    if (hole >= (uint64_t)n + (n >> HW_TWO_LEVEL_SECOND)) ASSERT(class >= search, "G3: what is larger by 1/S is found");
    ASSERT(hw_two_level_class(n) <= search && search <= hw_two_level_class(n) + 1, "the search starts at the class or behind it");
}

/* core/slab.h, for all sizes that it serves. */
void slab_class(void) {
    uint32_t size = nondet_u32(), larger = nondet_u32();
    ASSUME(size >= 1 && size <= larger && larger <= HW_SLAB_MAX_BYTES);
    unsigned class = hw_slab_class(size);
    uint32_t slot = hw_slab_class_bytes(class);
    ASSERT(class < HW_SLAB_CLASSES && class <= hw_slab_class(larger), "monotone, and one that there is");
    ASSERT(slot >= size, "large enough");
    ASSERT(size <= HW_SLAB_MIN_BYTES || slot - size <= size / 8, "at most an eighth too large");
    ASSERT(hw_slab_class(slot) == class && slot % 64 == 0, "of its own class, and aligned to a cache line");
    uint64_t slots = hw_slab_class_pages(class) * HW_PAGE_BYTES / slot;
    ASSERT(slots >= 8 && slots <= HW_SLAB_SLOTS, "8 to 64 slots in a slab");
}

/* Sizes to granules, and what the last of them has too many, in every space. */
void granules(void) {
    hw_fit fit;
    uint64_t size_bytes = nondet_u64();
    uint32_t shift = nondet_u32(), slack_and_live;
    ASSUME(shift >= 4 && shift <= 30);
    fit.head.granule_shift = shift;
    fit.head.capacity_bytes = (uint64_t)nondet_u32() << shift;
    ASSUME(size_bytes <= fit.head.capacity_bytes);
    uint32_t size = hw_fit_granules(&fit, size_bytes, &slack_and_live), slack = slack_and_live >> 1;
    uint64_t taken = (uint64_t)size << shift;
    ASSERT(size >= 1 && taken >= size_bytes && taken - size_bytes == slack, "the slack is what nobody asked for");
    ASSERT((slack_and_live & 1) && (slack < (uint64_t)1 << shift || (size == 1 && size_bytes == 0)), "less than a granule");
}

/* Buddies: the power of two above a size. */
void buddy_power(void) {
    uint32_t size = nondet_u32();
    ASSUME(size >= 1);
    uint64_t power = hw_buddy_power(size);
    ASSERT((power & (power - 1)) == 0 && power >= size && power < 2 * (uint64_t)size, "size <= power < 2 size");
}

/* Must FAIL: else the assumptions contradict each other. */
void reach(void) {
    uint32_t n = nondet_u32();
    ASSUME(n >= 1);
    ASSERT(hw_two_level_class(n) != 100, "such a size exists");
}
