/* Fit: which offset a request gets. Six strategies over one list of blocks and holes in [0, capacity), with immediate
 * coalescing on both sides. Pure arithmetic: the bytes themselves are never touched, so they may be on a device, in a
 * file, or nowhere. The answers are those of heapwright.model (fits, tlsf, buddy), decision for decision.
 *
 *   first   the hole with the lowest address that the request fits into
 *   best    the smallest such hole; of equals the lowest
 *   worst   the largest such hole; of equals the lowest
 *   next    the first such hole at or after the rover, cyclically; then the rover is the end of the new block, and when a
 *           hole grows around the rover, the rover moves to that hole's start
 *   tlsf    a good fit in constant time: the newest hole of the first class (core/two_level.h) that has one and in which
 *           every hole is large enough; see hw_fit_choose_good for alignment
 *   buddy   powers of two, split in halves and merged with the other half: core/buddy_fused.h has its rules
 *
 * In all but buddy a block takes the lowest suitably aligned offset of its hole. What is left before and after it stays
 * free. Sizes are rounded up to whole granules and to nothing else; a request for 0 bytes takes one granule, so that every
 * block has an offset of its own.
 *
 * Everything is in one control region: this header, then the array of blocks, then the index over holes
 * (core/fit_index.h). It holds numbers only, so it may be copied anywhere, and it may lie beside the space or inside it.
 * When it is full the caller copies it into a larger one (hw_fit_grow); who may not wait for that makes it large enough for
 * every block at the start. Only allocate and shrink can ask for it: free never fails.
 *
 * Cost: first, best, worst, next: O(log n) each, n = most holes at one time, plus one O(log n) search for each hole that
 * is large enough and is passed over because of alignment alone. TLSF: constant. Buddy: constant for each halving and each
 * merging, at most log2 of the capacity. Not thread-safe.
 *
 * Source: Knuth, The Art of Computer Programming 1, section 2.5 (first and best fit, the rover, boundary tags, buddies);
 * Wilson, Johnstone, Neely, Boles, Dynamic Storage Allocation: A Survey and Critical Review, IWMM 1995; Masmano et al.,
 * TLSF, ECRTS 2004; Knowlton, A Fast Storage Allocator, CACM 8, 1965 (buddies).
 *
 * Invariants, walked by hw_fit_check:
 *   I1  the blocks, in list order, are contiguous from offset 0 to the capacity: none overlap, nothing is lost
 *   I2  no two holes are neighbours; of buddy: no two holes are buddies
 *   I3  a live block has 0 <= slack < granule (or size 1 and slack = granule: 0 bytes); a hole has slack 0
 *   I4  the totals in the header are the sums over the blocks
 *   I5  every entry of the block array is in the list, or retired, or not yet used
 *   I6  the index holds exactly the holes, each under its key; and O1 .. O6 or L1 .. L3 hold of it
 *   I7  the rover is in [0, capacity] and never strictly inside a hole
 *   I8  the cursor is NONE or a block in the list: when its block goes, it is at a neighbour
 *   I9  buddy: every size is a power of two, every offset a multiple of its size, and a live block is less than twice
 *       the granules that were asked for
 */
#ifndef HW_CORE_FIT_H
#define HW_CORE_FIT_H

#include "core/ordered.h"
#include "core/segregated.h"
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
    uint64_t index_bytes_before;     /* where the index begins in the region */
    union {
        hw_ordered ordered;  /* first, best, worst, next */
        hw_segregated lists; /* TLSF, buddy */
    } index;
    hw_strategy_totals totals;
} hw_fit;

/* Bytes of a control region for `blocks` blocks, live ones and holes together; aligned to 64. Between two holes is a live
 * block, so a space that never has more than n live blocks at one time needs 2 n + 1 (buddy: see core/buddy_fused.h).
 * `capacity` is in granules; UINT32_MAX is enough for any. */
size_t hw_fit_control_bytes(enum hw_strategy strategy, uint32_t capacity, uint32_t blocks);

/* One hole over the whole of [0, capacity_bytes), less what is not a whole granule; buddy: as few powers of two as there
 * can be. `control` is 64-byte aligned and has hw_fit_control_bytes bytes for the same arguments; blocks >= 4
 * (buddy: and enough for those powers); `granule_bytes` is a power of two. BAD_ARGUMENT if that is not so. */
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

/* The greatest hole in bytes; 0 if there is none. O(log n); TLSF: O(holes of the highest class). */
uint64_t hw_fit_largest_hole(const hw_fit *fit);

/* The walk, in address order: number = fit->first, then seen.next until HW_STRATEGY_NONE. */
hw_strategy_seen hw_fit_see(const hw_fit *fit, uint32_t number);

/* NULL, or the name of the first invariant that does not hold, and where. Stays inside the region, and ends, whatever the
 * region contains, so long as blocks_capacity is true. O(n log n). */
const char *hw_fit_check(const hw_fit *fit, uint64_t *where_offset_bytes);

#endif
