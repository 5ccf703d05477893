/* Region: blocks one behind the other in one chunk, and none of them given back singly. That is all an arena needs of its
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
 *   R1  0 <= top <= capacity
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

/* The lowest offset at or above the top whose address is a multiple of `alignment`, a power of two, with room for the size;
 * false if there is none, and then nothing has changed. A block of 0 bytes takes one, so that its address is its own. */
static inline bool hw_region_place(hw_region *region, uint64_t size_bytes, uint64_t alignment, uint64_t *offset_bytes) {
    uint64_t room = region->capacity_bytes - region->top_bytes; /* R1 */
    uint64_t skip = (0 - (region->base + region->top_bytes)) & (alignment - 1);
    size_bytes += size_bytes == 0;
    if (__builtin_expect(size_bytes > room || skip > room - size_bytes, 0)) return false;
    *offset_bytes = region->top_bytes + skip;
    region->top_bytes = *offset_bytes + size_bytes;
    return true;
}

/* Gives back everything at or above an offset that is not above the top. */
static inline void hw_region_rewind(hw_region *region, uint64_t top_bytes) { region->top_bytes = top_bytes; }

#endif
