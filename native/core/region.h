/* Region: blocks one behind the other in one chunk, and only the last of them given back singly. That is all an arena needs of its
 * chunks, so there is no table of blocks (core/bump.h has one): a block costs no book-keeping, and a region with ten million
 * of them is emptied by one assignment. Who may still touch which block is a question of time, answered by core/epochs.h.
 *
 * Pure arithmetic. The base is the chunk's address as a number, of which only the remainder matters: blocks are aligned as
 * addresses.
 *
 * Cost: O(1), about ten instructions. Not thread-safe.
 *
 * Source: Hanson, Fast Allocation and Deallocation of Memory Based on Object Lifetimes, Software: Practice and Experience
 * 20(1), 1990.
 *
 * Invariants:
 *   R1  0 <= top <= capacity, and base + top is a multiple of the granule
 *   R2  blocks placed since the region was empty, or since a rewind to t and at t or above, do not overlap, and end at or
 *       below the top */
#ifndef HW_CORE_REGION_H
#define HW_CORE_REGION_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t base;
    uint64_t capacity_bytes, top_bytes;
} hw_region;

/* Sizes are rounded up to it, so that blocks of no special alignment follow each other without a gap, and the last one can
 * be taken back. */
#define HW_REGION_GRANULE 16u

/* Nothing in a chunk of this size at this address, less what is not a whole granule at either end. */
static inline hw_region hw_region_open(uint64_t base, uint64_t size_bytes) {
    uint64_t skip = (0 - base) & (HW_REGION_GRANULE - 1);
    if (skip > size_bytes) skip = size_bytes;
    return (hw_region){base + skip, (size_bytes - skip) & ~(uint64_t)(HW_REGION_GRANULE - 1), 0};
}

/* The bytes that a request takes, which does not come near 2^64. */
static inline uint64_t hw_region_rounded(uint64_t size_bytes) {
    return (size_bytes + (size_bytes == 0) + HW_REGION_GRANULE - 1) & ~(uint64_t)(HW_REGION_GRANULE - 1);
}

/* The lowest offset at or above the top whose address is a multiple of `alignment`, a power of two, with room for the size;
 * false if there is none, and then nothing has changed. A block of 0 bytes takes a granule: its address is its own. */
static inline bool hw_region_place(hw_region *region, uint64_t size_bytes, uint64_t alignment, uint64_t *offset_bytes) {
    uint64_t room = region->capacity_bytes - region->top_bytes; /* R1 */
    uint64_t skip = (0 - (region->base + region->top_bytes)) & (alignment - 1);
    if (__builtin_expect(size_bytes > room, 0)) return false;
    uint64_t taken = hw_region_rounded(size_bytes);
    if (__builtin_expect(taken > room || skip > room - taken, 0)) return false;
    *offset_bytes = region->top_bytes + skip;
    region->top_bytes = *offset_bytes + taken;
    return true;
}

/* Gives back everything at or above an offset. The caller knows that nobody looks at it. */
static inline void hw_region_rewind(hw_region *region, uint64_t top_bytes) {
    if (top_bytes < region->top_bytes) region->top_bytes = top_bytes;
}

/* Gives back a block if it is the one below the top. */
static inline void hw_region_unplace(hw_region *region, uint64_t offset_bytes, uint64_t size_bytes) {
    if (offset_bytes + hw_region_rounded(size_bytes) == region->top_bytes) region->top_bytes = offset_bytes;
}

#endif
