#include "heap/heap.h"

#include <assert.h>
#include <errno.h>

#include "os/pages.h"

enum { BLOCKS_FIRST = 120 }; /* with their index: two pages and a bit */

static size_t region_bytes(uint32_t blocks) {
    size_t page = hw_pages_size();
    return (hw_fit_control_bytes(blocks) + page - 1) / page * page;
}

static int new_region(uint32_t blocks, void **region) {
    /* A million blocks take tens of MiB that are read at random: huge pages take a third off that. Only advice. */
    bool large = region_bytes(blocks) >= 4 * HW_HUGE_PAGE_BYTES;
    int error = hw_pages_reserve(region_bytes(blocks), large ? HW_HUGE_PAGE_BYTES : 0, region);
    if (error != 0) return error;
    error = hw_pages_commit(*region, region_bytes(blocks));
    if (error != 0) hw_pages_release(*region, region_bytes(blocks));
    else if (large) hw_pages_advise_huge(*region, region_bytes(blocks), true);
    return error;
}

int hw_heap_open(hw_heap *heap, hw_space *space, enum hw_strategy strategy) {
    void *region;
    int error = new_region(BLOCKS_FIRST, &region);
    if (error != 0) return error;
    enum hw_strategy_result result =
        hw_fit_init(region, BLOCKS_FIRST, strategy, space->size_bytes, hw_strategy_granule_bytes(space->size_bytes));
    assert(result == HW_STRATEGY_OK);
    (void)result;
    *heap = (hw_heap){.space = space, .fit = region, .control_bytes = region_bytes(BLOCKS_FIRST)};
    return 0;
}

void hw_heap_close(hw_heap *heap) {
    if (heap->fit != NULL) hw_pages_release(heap->fit, heap->control_bytes);
    heap->fit = NULL;
}

int hw_heap_grow_control(hw_heap *heap) {
    uint32_t blocks = heap->fit->blocks_capacity;
    void *region;
    if (blocks > UINT32_MAX / 4) return ENOMEM;
    int error = new_region(2 * blocks, &region);
    if (error != 0) return error;
    hw_fit *old = heap->fit;
    heap->fit = hw_fit_grow(old, region, 2 * blocks);
    hw_pages_release(old, heap->control_bytes);
    heap->control_bytes = region_bytes(2 * blocks);
    return 0;
}

void hw_heap_take_back(hw_heap *heap, hw_strategy_handle handle) {
    hw_strategy_totals *t = &heap->fit->totals;
    hw_strategy_seen block = hw_fit_see(heap->fit, handle.number);
    enum hw_strategy_result result = hw_fit_free(heap->fit, handle);
    assert(result == HW_STRATEGY_OK);
    (void)result;
    t->total_requested -= block.requested_bytes;
    t->total_allocated -= block.size_bytes;
    t->total_blocks--;
    t->freed_blocks--;
    heap->failed_blocks++;
}

int hw_heap_resize(hw_heap *heap, hw_strategy_handle handle, uint64_t size_bytes) {
    enum hw_strategy_result result;
    if (!hw_fit_is_live(heap->fit, handle)) return HW_HEAP_NOT_LIVE;
    hw_strategy_seen before = hw_fit_see(heap->fit, handle.number);
    while ((result = hw_fit_resize(heap->fit, handle, size_bytes)) == HW_STRATEGY_CONTROL_FULL) {
        int error = hw_heap_grow_control(heap);
        if (error != 0) return error;
    }
    if (result != HW_STRATEGY_OK) return HW_HEAP_FULL;
    int error = hw_space_ensure(heap->space, handle.offset_bytes, hw_heap_rounded(heap, size_bytes));
    if (error == 0) return 0;
    /* Back to the old size: what was taken is free to give, and its description has room where it came from. */
    hw_strategy_totals *t = &heap->fit->totals;
    t->total_requested -= size_bytes - before.requested_bytes;
    t->total_allocated -= hw_fit_see(heap->fit, handle.number).size_bytes - before.size_bytes;
    result = hw_fit_resize(heap->fit, handle, before.requested_bytes);
    assert(result == HW_STRATEGY_OK);
    return error;
}

int hw_heap_trim(hw_heap *heap, size_t keep_bytes, size_t *returned_bytes) {
    *returned_bytes = 0;
    for (uint32_t number = heap->fit->first; number != HW_STRATEGY_NONE;) {
        hw_strategy_seen seen = hw_fit_see(heap->fit, number);
        number = seen.next;
        if (seen.live) continue;
        size_t committed = hw_space_committed_in(heap->space, seen.offset_bytes, seen.size_bytes);
        int error = hw_space_decommit(heap->space, seen.offset_bytes, seen.size_bytes, keep_bytes, returned_bytes);
        if (error != 0) return error;
        keep_bytes -= keep_bytes < committed ? keep_bytes : committed;
    }
    return 0;
}

const char *hw_heap_check(const hw_heap *heap, uint64_t *where_offset_bytes) {
    const char *broken = hw_fit_check(heap->fit, where_offset_bytes);
    if (broken != NULL) return broken;
    size_t unit = heap->space->unit_bytes;
    for (uint32_t number = heap->fit->first; number != HW_STRATEGY_NONE;) {
        hw_strategy_seen seen = hw_fit_see(heap->fit, number);
        number = seen.next;
        size_t from = seen.offset_bytes / unit * unit;
        size_t units = (seen.offset_bytes + seen.size_bytes - from + unit - 1) / unit * unit;
        *where_offset_bytes = seen.offset_bytes;
        if (seen.live && hw_space_committed_in(heap->space, from, units) != units) return "H1";
    }
    const hw_strategy_totals *t = &heap->fit->totals;
    bool ordered = t->requested <= t->allocated && t->allocated <= heap->space->committed_bytes &&
                   heap->space->committed_bytes <= heap->space->size_bytes;
    return ordered ? NULL : "H2";
}
