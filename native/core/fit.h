/* Fit: which offset a request gets. First, best, worst and next fit over offsets in [0, capacity), with immediate
 * coalescing on both sides. Pure arithmetic: the bytes themselves are never touched, so they may be on a device, in a
 * file, or nowhere. The answers are those of heapwright.model.fits, decision for decision.
 *
 *   first   the hole with the lowest address that the request fits into
 *   best    the smallest such hole; of equals the lowest
 *   worst   the largest such hole; of equals the lowest
 *   next    the first such hole at or after the rover, cyclically; then the rover is the end of the new block, and when a
 *           hole grows around the rover, the rover moves to that hole's start
 *
 * A block takes the lowest suitably aligned offset of its hole. What is left before and after it stays free. Sizes are
 * rounded up to whole granules and to nothing else; a request for 0 bytes takes one granule, so that every block has an
 * offset of its own.
 *
 * Everything is in one control region: this header, then the array of blocks, then the nodes of the index over holes. It
 * holds numbers only, so it may be copied anywhere, and it may lie beside the space or inside it. When it is full the
 * caller copies it into a larger one (hw_fit_grow). Only allocate and shrink can ask for that: free never fails.
 *
 * Cost: O(log n) each, n = most holes at one time, plus one O(log n) search for each hole that is large enough and is
 * passed over because of alignment alone. Not thread-safe.
 *
 * Source: Knuth, The Art of Computer Programming 1, section 2.5 (first and best fit, the rover, boundary tags); Wilson,
 * Johnstone, Neely, Boles, Dynamic Storage Allocation: A Survey and Critical Review, IWMM 1995 (all four).
 *
 * Invariants, walked by hw_fit_check:
 *   I1  the blocks, in list order, are contiguous from offset 0 to the capacity: none overlap, nothing is lost
 *   I2  no two holes are neighbours
 *   I3  a live block has 0 <= slack < granule (or size 1 and slack = granule: 0 bytes); a hole has slack 0
 *   I4  the totals in the header are the sums over the blocks
 *   I5  every entry of the block array is in the list, or retired, or not yet used
 *   I6  the index holds exactly the holes, each under its key; and O1 .. O6 hold of it
 *   I7  the rover is in [0, capacity] and never strictly inside a hole
 *   I8  the cursor is NONE or a block in the list: when its block is merged into the one before, it goes there
 */
#ifndef HW_CORE_FIT_H
#define HW_CORE_FIT_H

#include "core/ordered.h"
#include "core/strategy.h"

typedef struct {
    uint32_t offset, size;   /* in granules */
    uint32_t before, after;  /* neighbours in address order, or HW_STRATEGY_NONE */
    uint32_t slack_and_live; /* bytes of the last granule that nobody asked for, shifted by one; bit 0: live */
} hw_fit_block;

typedef struct {
    hw_strategy_head head;
    uint32_t capacity; /* in granules */
    uint32_t rover;
    uint32_t first;     /* the block at offset 0 */
    uint32_t blocks_capacity, blocks_used;
    uint32_t retired, retired_count; /* list, through `after`, of entries used no more */
    hw_ordered holes;
    hw_strategy_totals totals;
} hw_fit;

/* Bytes of a control region for `blocks` blocks, live ones and holes together; aligned to 64. */
size_t hw_fit_control_bytes(uint32_t blocks);

/* One hole over the whole of [0, capacity_bytes), less what is not a whole granule. `control` is 64-byte aligned and has
 * hw_fit_control_bytes(blocks) bytes, blocks >= 4; `granule_bytes` is a power of two. BAD_ARGUMENT if that is not so. */
enum hw_strategy_result hw_fit_init(void *control, uint32_t blocks, enum hw_strategy strategy, uint64_t capacity_bytes,
                               uint32_t granule_bytes);

/* Copies the region to a larger one and says where it goes on. The old one is not used any more, nor changed. */
hw_fit *hw_fit_grow(const hw_fit *fit, void *larger, uint32_t blocks);

/* OK, NO_MEMORY, CONTROL_FULL or BAD_ARGUMENT; but for OK nothing has changed. Offsets are aligned, so addresses are if
 * the space's base is. The fused variants, with the strategy compiled in, are in core/fit_fused.h. */
enum hw_strategy_result hw_fit_allocate(hw_fit *fit, uint64_t size_bytes, uint64_t alignment, hw_strategy_handle *handle);

/* OK or NOT_LIVE, and then nothing has changed. The hole coalesces with its neighbours at once. */
enum hw_strategy_result hw_fit_free(hw_fit *fit, hw_strategy_handle handle);

/* Grows or shrinks in place, at the same offset: OK; NO_MEMORY if the room after the block is not enough; CONTROL_FULL;
 * NOT_LIVE. But for OK nothing has changed. */
enum hw_strategy_result hw_fit_resize(hw_fit *fit, hw_strategy_handle handle, uint64_t size_bytes);

/* The greatest hole in bytes; 0 if there is none. O(log n). */
uint64_t hw_fit_largest_hole(const hw_fit *fit);

/* The walk, in address order: number = fit->first, then seen.next until HW_STRATEGY_NONE. */
hw_strategy_seen hw_fit_see(const hw_fit *fit, uint32_t number);

/* NULL, or the name of the first invariant that does not hold, and where. Stays inside the region, and ends, whatever the
 * region contains, so long as blocks_capacity is true. O(n log n). */
const char *hw_fit_check(const hw_fit *fit, uint64_t *where_offset_bytes);

#endif
