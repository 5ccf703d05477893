/* Heap: WHERE x WHICH. One strategy over one space: an offset from core/strategies.h, the memory under it from the space.
 * The control region has a mapping of its own, away from the blocks, so that no stray write through a block reaches it.
 *
 * Invariants, beyond those of the strategy and heap/space:
 *   H1  every live block lies in committed pages
 *   H2  requested <= allocated <= committed <= reserved
 *
 * Not thread-safe: the caller holds a lock (the binding: the GIL). */
#ifndef HW_HEAP_HEAP_H
#define HW_HEAP_HEAP_H

#include "core/strategies_fused.h"
#include "heap/decay.h"
#include "heap/purge.h"
#include "heap/space.h"

typedef struct hw_heap {
    hw_space *space;
    void *control; /* of the strategy; starts with a hw_strategy_head */
    size_t control_bytes;
    uint32_t blocks_fixed;  /* live blocks that the control region has room for; 0: it grows */
    uint64_t failed_blocks; /* requests answered with bottom or an errno */
    uint64_t peak_allocated; /* until the last hw_heap_restart_peak */
    hw_purge purge;
    hw_decay decay;
} hw_heap;

/* Results are 0, an errno value (> 0: the operating system gave no memory), or one of these. */
enum { HW_HEAP_FULL = -1, HW_HEAP_NOT_LIVE = -2, HW_HEAP_BAD_ALIGNMENT = -3, HW_HEAP_NO_MARKS = -4, HW_HEAP_BLOCKS_FULL = -5 };

/* A heap over the whole space, which has no other and outlives it. 0 or errno. */
int hw_heap_open(hw_heap *heap, hw_space *space, enum hw_strategy strategy);

/* The same with a control region that has room for `blocks` live blocks, at least 1, and never grows: after this nothing but
 * who gives memory back makes a system call, if the space is populated. With bump, blocks that were freed and not yet taken
 * off the end count too. */
int hw_heap_open_fixed(hw_heap *heap, hw_space *space, enum hw_strategy strategy, uint32_t blocks);

void hw_heap_close(hw_heap *heap);

/* Makes the control region larger; 0, errno, or HW_HEAP_BLOCKS_FULL where it is fixed. The slow path of allocate and
 * resize. */
int hw_heap_grow_control(hw_heap *heap);

/* Commits the memory under a live block, and under all of the slab that it may be a slot of, so that what is committed has
 * no gap that nobody ever fills. Where that fails the allocation is undone; it is counted as a failure, and not in the
 * totals. 0 or errno. The slow path of hw_heap_back_fused. */
int hw_heap_back(hw_heap *heap, const hw_strategy_handle *handle);

/* In place: 0, HW_HEAP_FULL (what follows is in the way: allocate, copy, free), HW_HEAP_NOT_LIVE, or errno. But for 0
 * nothing has changed. */
int hw_heap_resize(hw_heap *heap, hw_strategy_handle handle, uint64_t size_bytes);

/* Gives back the memory under holes, in whole pages, except the first `keep_bytes` of it by address; a round of purge.h that
 * is under way is ended first. 0, or the first errno; *returned_bytes is what was given back in either case. */
int hw_heap_trim(hw_heap *heap, size_t keep_bytes, size_t *returned_bytes);

/* A mark, where the strategy is bump: 0, HW_HEAP_NO_MARKS or errno. hw_bump_release on the control region ends it. */
int hw_heap_mark(hw_heap *heap, hw_bump_mark *mark);

/* The figures of the strategy; the peak of allocated bytes is that of the heap's whole life. */
hw_strategy_totals hw_heap_totals(const hw_heap *heap);

/* The peak of allocated bytes since the call before. */
uint64_t hw_heap_restart_peak(hw_heap *heap);

/* NULL or the first broken invariant: those of the strategy, then H1 and H2. */
const char *hw_heap_check(const hw_heap *heap, uint64_t *where_offset_bytes);

HW_FUSED const hw_strategy_head *hw_heap_head(const hw_heap *heap) { return heap->control; }

HW_FUSED enum hw_strategy hw_heap_strategy(const hw_heap *heap) { return (enum hw_strategy)hw_heap_head(heap)->strategy; }

/* An offset without memory under it yet: 0, HW_HEAP_FULL, HW_HEAP_BLOCKS_FULL, HW_HEAP_BAD_ALIGNMENT (not a power of
 * two, or more than the space's own) or errno. The first half of hw_heap_allocate_fused, for who has to see what memory was there before. */
HW_FUSED int hw_heap_place_fused(hw_heap *heap, enum hw_strategy strategy, uint64_t size_bytes, uint64_t alignment,
                                     hw_strategy_handle *handle) {
    /* A space is aligned to a page at least: where the alignment is a constant, mostly nothing is left of the test. */
    if (alignment > HW_STRATEGY_GRANULE_MIN && alignment > heap->space->alignment) return HW_HEAP_BAD_ALIGNMENT;
    for (;;) {
        enum hw_strategy_result result =
            hw_strategy_allocate_fused(heap->control, strategy, size_bytes, alignment, handle);
        if (__builtin_expect(result == HW_STRATEGY_OK, 1)) return 0;
        if (result == HW_STRATEGY_BAD_ARGUMENT) return HW_HEAP_BAD_ALIGNMENT;
        int error = result == HW_STRATEGY_NO_MEMORY ? HW_HEAP_FULL : hw_heap_grow_control(heap);
        if (error == 0) continue;
        heap->failed_blocks++;
        return error;
    }
}

/* Memory under what was placed, or the placing undone: 0 or errno. */
HW_FUSED int hw_heap_back_fused(hw_heap *heap, enum hw_strategy strategy, const hw_strategy_handle *handle,
                                uint64_t size_bytes) {
    uint64_t at_most = hw_strategy_allocated_at_most(heap->control, strategy, size_bytes);
    if (__builtin_expect(handle->offset_bytes + at_most <= heap->space->prefix_bytes, 1)) return 0; /* S1 */
    return hw_heap_back(heap, handle);
}

/* As hw_heap_place_fused, with memory. To be inlined where `strategy` is a constant. */
HW_FUSED int hw_heap_allocate_fused(hw_heap *heap, enum hw_strategy strategy, uint64_t size_bytes, uint64_t alignment,
                                        hw_strategy_handle *handle) {
    int result = hw_heap_place_fused(heap, strategy, size_bytes, alignment, handle);
    return __builtin_expect(result == 0, 1) ? hw_heap_back_fused(heap, strategy, handle, size_bytes) : result;
}

/* 0 or HW_HEAP_NOT_LIVE. */
HW_FUSED int hw_heap_free_fused(hw_heap *heap, enum hw_strategy strategy, hw_strategy_handle handle) {
    return hw_strategy_free_fused(heap->control, strategy, handle) == HW_STRATEGY_OK ? 0 : HW_HEAP_NOT_LIVE;
}

#endif
