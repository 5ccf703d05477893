/* Bump: blocks one behind the other. A request gets the lowest aligned offset behind the last block, and nothing is
 * searched: a hole is not used again until everything behind it is gone.
 *
 *   free      of the last block takes back its room, and that of freed ones before it; of another one, its bytes only
 *   mark      remembers the place; release frees every block since the mark, and the mark with it, and every later mark
 *
 * Room before the latest mark is never taken back by free, so that a mark's place stays where it is; release is what moves
 * it. Offsets are multiples of the granule; a request for 0 bytes takes one granule, so that every block has an offset of
 * its own. Pure arithmetic: the bytes themselves are never touched. heapwright.model.bump is the definition.
 *
 * Everything is in one control region: this header, the table of blocks in order, and one record per open mark. It holds
 * numbers only, so it may be copied anywhere (hw_bump_grow). Allocate and mark can ask for more room; free never fails.
 *
 * Cost: allocate O(1). Free O(1) amortised: each block is taken off the table once. Release O(marks released), whatever the
 * number of blocks, and what free put off until then; reset O(1). Not thread-safe.
 *
 * Source: Hanson, Fast Allocation and Deallocation of Memory Based on Object Lifetimes, Software: Practice and Experience
 * 20(1), 1990; the marks are those of GNU obstacks, with their blocks counted.
 *
 * Invariants, walked by hw_bump_check:
 *   B1  the blocks of the table, in order, lie in [0, top) and do not overlap; the last one ends at the top (none: 0)
 *   B2  a block has at least one granule, and room for what was asked for
 *   B3  the epochs divide the table: their first blocks ascend, and so do their serial numbers
 *   B4  the sums of an epoch are those over its blocks; `outer` is the sum over all epochs but the latest
 *   B5  the last block since the latest mark is live: nothing is left to take back
 *   B6  the cursor is NONE, a block of the table or the gap before one, or the tail: what goes from the table becomes tail */
#ifndef HW_CORE_BUMP_H
#define HW_CORE_BUMP_H

#include "core/strategy.h"

typedef struct {
    uint32_t offset, size;       /* in granules */
    uint64_t requested_and_live; /* bytes asked for, shifted by one; bit 0: live */
} hw_bump_block;

typedef struct {        /* over the blocks of one epoch, or of several */
    uint64_t requested; /* in bytes, of live blocks */
    uint64_t allocated; /* in granules, of live blocks */
    uint32_t dead;      /* blocks freed, but still in the table */
    uint32_t gaps;      /* blocks that do not begin where the one before ends: alignment */
} hw_bump_sums;

typedef struct { /* the blocks since one mark, as far as the next; the first epoch begins without one */
    hw_bump_sums sums;
    uint64_t serial;
    uint32_t first; /* block; it and all behind it are younger than the mark */
} hw_bump_epoch;

typedef struct {
    hw_strategy_head head;
    uint32_t capacity, top; /* in granules */
    uint32_t count, blocks_capacity;
    hw_bump_epoch now;   /* the latest; those before it are in the region */
    hw_bump_sums outer;  /* over those before it */
    uint32_t depth, epochs_capacity;
    uint64_t last_serial;
    uint64_t freed_requested, freed_allocated, freed_blocks;      /* since the beginning; allocated in granules */
    uint64_t peak_requested, peak_allocated, peak_blocks;         /* as of the last time that anything became less */
} hw_bump;

typedef struct {
    uint64_t serial;
    uint32_t depth;
} hw_bump_mark;

/* Bytes of a control region for `blocks` blocks, live and freed ones together, and a quarter as many open marks; aligned
 * to 64. */
size_t hw_bump_control_bytes(uint32_t blocks);

/* Nothing in [0, capacity_bytes), less what is not a whole granule. `control` is 64-byte aligned and has
 * hw_bump_control_bytes(blocks) bytes, blocks >= 4; `granule_bytes` is a power of two. BAD_ARGUMENT if that is not so. */
enum hw_strategy_result hw_bump_init(void *control, uint32_t blocks, uint64_t capacity_bytes, uint32_t granule_bytes);

/* Copies the region to a larger one and says where it goes on. The old one is not used any more, nor changed. */
hw_bump *hw_bump_grow(const hw_bump *bump, void *larger, uint32_t blocks);

/* OK or NOT_LIVE (double, foreign or interior), and then nothing has changed. */
enum hw_strategy_result hw_bump_free(hw_bump *bump, hw_strategy_handle handle);

/* In place: the last block up to the capacity, another one within the room that it has and keeps. OK; NO_MEMORY; NOT_LIVE.
 * But for OK nothing has changed. */
enum hw_strategy_result hw_bump_resize(hw_bump *bump, hw_strategy_handle handle, uint64_t size_bytes);

/* OK, or CONTROL_FULL and then nothing has changed. */
enum hw_strategy_result hw_bump_set_mark(hw_bump *bump, hw_bump_mark *mark);

/* Whether the mark is still open: neither it nor an earlier one was released. */
bool hw_bump_is_open(const hw_bump *bump, hw_bump_mark mark);

/* The number of the first block since an open mark: it and all behind it are what a release frees. */
uint32_t hw_bump_first_since(const hw_bump *bump, hw_bump_mark mark);

/* Frees every block since the mark, and closes it. OK; NOT_LIVE if it is not open, and then nothing has changed. */
enum hw_strategy_result hw_bump_release(hw_bump *bump, hw_bump_mark mark);

/* Frees every block and closes every mark. */
void hw_bump_reset(hw_bump *bump);

/* What is left behind the last block, in bytes. */
uint64_t hw_bump_room(const hw_bump *bump);

hw_strategy_totals hw_bump_totals(const hw_bump *bump);

/* Strikes what was allocated and freed again from the lifetime totals: see hw_strategy_uncount. */
void hw_bump_uncount(hw_bump *bump, uint64_t requested_bytes, uint64_t allocated_bytes, uint64_t blocks);

/* See hw_strategy_restart_peak. */
uint64_t hw_bump_restart_peak(hw_bump *bump);

/* The walk, in address order: number = hw_bump_first, then seen.next until HW_STRATEGY_NONE. Freed blocks, gaps and what
 * is behind the last block are holes. */
uint32_t hw_bump_first(const hw_bump *bump);
hw_strategy_seen hw_bump_see(const hw_bump *bump, uint32_t number);

/* NULL, or the name of the first invariant that does not hold, and where. Stays inside the region whatever it contains, so
 * long as blocks_capacity and epochs_capacity are true. O(n). */
const char *hw_bump_check(const hw_bump *bump, uint64_t *where_offset_bytes);

HW_FUSED hw_bump_block *hw_bump_blocks(const hw_bump *bump) {
    return (hw_bump_block *)((char *)bump + ((sizeof *bump + 63) & ~(size_t)63));
}

HW_FUSED bool hw_bump_is_live(const hw_bump *bump, hw_strategy_handle handle) {
    if (handle.number >= bump->count) return false;
    const hw_bump_block *block = &hw_bump_blocks(bump)[handle.number];
    return (block->requested_and_live & 1) && (uint64_t)block->offset << bump->head.granule_shift == handle.offset_bytes;
}

HW_FUSED uint32_t hw_bump_granules(const hw_bump *bump, uint64_t size_bytes) { /* of at most the capacity */
    uint64_t size = (size_bytes + ((uint64_t)1 << bump->head.granule_shift) - 1) >> bump->head.granule_shift;
    return size == 0 ? 1 : (uint32_t)size;
}

/* OK, NO_MEMORY, CONTROL_FULL or BAD_ARGUMENT; but for OK nothing has changed. Peaks and the number of live blocks are not
 * written here: they follow from what is, until something is freed. */
HW_FUSED enum hw_strategy_result hw_bump_allocate(hw_bump *bump, uint64_t size_bytes, uint64_t alignment,
                                                  hw_strategy_handle *handle) {
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) return HW_STRATEGY_BAD_ARGUMENT;
    if (size_bytes > bump->head.capacity_bytes) return HW_STRATEGY_NO_MEMORY;
    uint32_t size = hw_bump_granules(bump, size_bytes);
    uint32_t number = bump->count;
    uint64_t offset = bump->top;
    if (alignment > HW_STRATEGY_GRANULE_MIN) { /* as often as not a constant, and no more */
        uint64_t granules = alignment >> bump->head.granule_shift;
        if (granules > 1) offset = (offset + granules - 1) & ~(granules - 1); /* < 2^61 */
    }
    if (offset + size > bump->capacity) return HW_STRATEGY_NO_MEMORY;
    if (number == bump->blocks_capacity) return HW_STRATEGY_CONTROL_FULL;
    if (offset != bump->top) bump->now.sums.gaps++;
    hw_bump_blocks(bump)[number] = (hw_bump_block){(uint32_t)offset, size, size_bytes << 1 | 1};
    bump->count = number + 1;
    bump->top = (uint32_t)offset + size;
    bump->now.sums.requested += size_bytes;
    bump->now.sums.allocated += size;
    *handle = (hw_strategy_handle){offset << bump->head.granule_shift, number};
    return HW_STRATEGY_OK;
}

#endif
