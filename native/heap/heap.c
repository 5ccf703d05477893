#include "heap/heap.h"

#include <assert.h>
#include <errno.h>

#include "os/pages.h"

enum { BLOCKS_FIRST = 120 }; /* with their index: two pages and a bit */

static size_t whole_pages(size_t bytes) {
    size_t page = hw_pages_size();
    return (bytes + page - 1) / page * page;
}

/* A region is where the space is: in memory from the start, and locked, if that is. */
static int new_region(const hw_space *space, size_t bytes, void **region) {
    /* A million blocks take tens of MiB that are read at random: huge pages take a third off that. Only advice; and none below
     * 16 MiB, which the processor's table of translations nearly covers, since they make all of the region resident. */
    bool large = bytes >= 8 * HW_HUGE_PAGE_BYTES;
    int error = hw_pages_reserve(bytes, large ? HW_HUGE_PAGE_BYTES : 0, region);
    if (error != 0) return error;
    error = hw_pages_commit(*region, bytes);
    if (error == 0 && large) hw_pages_advise_huge(*region, bytes, true);
    if (error == 0 && space->populated) error = (space->locked ? hw_pages_lock : hw_pages_populate)(*region, bytes);
    if (error == 0) return 0;
    hw_pages_release(*region, bytes);
    *region = NULL;
    return error;
}

static int open_with(hw_heap *heap, hw_space *space, enum hw_strategy strategy, uint32_t described, uint32_t fixed) {
    size_t bytes = whole_pages(hw_strategy_control_bytes(strategy, described));
    *heap = (hw_heap){.space = space, .control_bytes = bytes, .blocks_fixed = fixed};
    int error = new_region(space, bytes, &heap->control);
    if (error != 0) return error;
    enum hw_strategy_result result = hw_strategy_init(heap->control, described, strategy, space->size_bytes,
                                                      hw_strategy_granule_bytes(space->size_bytes));
    assert(result == HW_STRATEGY_OK);
    (void)result;
    return 0;
}

int hw_heap_open(hw_heap *heap, hw_space *space, enum hw_strategy strategy) {
    return open_with(heap, space, strategy, BLOCKS_FIRST, 0);
}

/* Most that `live` blocks need described, wherever they lie, and what an allocation asks for before it knows whether it does. */
static uint64_t described_for(enum hw_strategy strategy, uint64_t live, uint64_t granules) {
    switch (strategy) {
    case HW_BUDDY: /* two holes may be neighbours: of each block, a buddy for each halving */
        return (65 - (uint64_t)__builtin_clzll(granules)) * (live + 1) + 2;
    case HW_SLAB: /* a slab for each, and an empty one for each class; there are a quarter as many as blocks */
        return 4 * (live + HW_SLAB_FIT_CLASSES) + 4;
    default: /* between two holes is a live block */
        return 2 * (live + 1) + 2;
    }
}

int hw_heap_open_fixed(hw_heap *heap, hw_space *space, enum hw_strategy strategy, uint32_t blocks) {
    uint64_t granules = space->size_bytes / hw_strategy_granule_bytes(space->size_bytes);
    uint64_t described = described_for(strategy, blocks, granules);
    if (described > UINT32_MAX / 4) return ENOMEM;
    return open_with(heap, space, strategy, (uint32_t)described, blocks);
}

void hw_heap_close(hw_heap *heap) {
    if (heap->control != NULL) hw_pages_release(heap->control, heap->control_bytes);
    heap->control = NULL;
}

int hw_heap_grow_control(hw_heap *heap) {
    size_t bytes = hw_strategy_grown_bytes(heap->control);
    void *region;
    if (heap->blocks_fixed != 0) return HW_HEAP_BLOCKS_FULL;
    if (bytes == 0) return ENOMEM;
    bytes = whole_pages(bytes);
    int error = new_region(heap->space, bytes, &region);
    if (error != 0) return error;
    hw_strategy_grow(heap->control, region);
    hw_pages_release(heap->control, heap->control_bytes);
    heap->control = region;
    heap->control_bytes = bytes;
    return 0;
}

static void take_back(hw_heap *heap, hw_strategy_handle handle) {
    hw_strategy_seen block = hw_strategy_see(heap->control, handle.number);
    enum hw_strategy_result result = hw_strategy_free_fused(heap->control, hw_heap_strategy(heap), handle);
    assert(result == HW_STRATEGY_OK);
    (void)result;
    hw_strategy_uncount(heap->control, block.requested_bytes, block.size_bytes, 1);
    heap->failed_blocks++;
}

int hw_heap_back(hw_heap *heap, const hw_strategy_handle *handle) {
    hw_strategy_seen block = hw_strategy_see_whole(heap->control, handle->number);
    int error = hw_space_ensure(heap->space, block.offset_bytes, block.size_bytes);
    if (error != 0) take_back(heap, *handle);
    return error;
}

int hw_heap_resize(hw_heap *heap, hw_strategy_handle handle, uint64_t size_bytes) {
    enum hw_strategy_result result;
    if (!hw_strategy_is_live(heap->control, handle)) return HW_HEAP_NOT_LIVE;
    hw_strategy_seen before = hw_strategy_see(heap->control, handle.number);
    while ((result = hw_strategy_resize(heap->control, handle, size_bytes)) == HW_STRATEGY_CONTROL_FULL) {
        int error = hw_heap_grow_control(heap);
        if (error != 0) return error;
    }
    if (result != HW_STRATEGY_OK) return HW_HEAP_FULL;
    uint64_t allocated_bytes = hw_strategy_see(heap->control, handle.number).size_bytes;
    int error = hw_space_ensure(heap->space, handle.offset_bytes, allocated_bytes);
    if (error == 0) return 0;
    /* Back to the old size: what was taken is free to give, and its description has room where it came from. */
    hw_strategy_uncount(heap->control, size_bytes - before.requested_bytes, allocated_bytes - before.size_bytes, 0);
    result = hw_strategy_resize(heap->control, handle, before.requested_bytes);
    assert(result == HW_STRATEGY_OK);
    return error;
}

int hw_heap_mark(hw_heap *heap, hw_bump_mark *mark) {
    if (hw_heap_strategy(heap) != HW_BUMP) return HW_HEAP_NO_MARKS;
    while (hw_bump_set_mark(heap->control, mark) == HW_STRATEGY_CONTROL_FULL) {
        int error = hw_heap_grow_control(heap);
        if (error != 0) return error;
    }
    return 0;
}

int hw_heap_trim(hw_heap *heap, size_t keep_bytes, size_t *returned_bytes) {
    size_t returned;
    *returned_bytes = 0;
    int error = heap->purge.under_way ? hw_purge_slice(heap, INT64_MAX, returned_bytes) : 0;
    if (error != 0) return error;
    hw_purge_begin(heap, keep_bytes, heap->space->page_bytes);
    error = hw_purge_slice(heap, INT64_MAX, &returned);
    *returned_bytes += returned;
    return error;
}

hw_strategy_totals hw_heap_totals(const hw_heap *heap) {
    hw_strategy_totals t = hw_strategy_totals_of(heap->control);
    if (t.peak_allocated < heap->peak_allocated) t.peak_allocated = heap->peak_allocated;
    return t;
}

uint64_t hw_heap_restart_peak(hw_heap *heap) {
    uint64_t peak = hw_strategy_restart_peak(heap->control);
    if (heap->peak_allocated < peak) heap->peak_allocated = peak;
    return peak;
}

const char *hw_heap_check(const hw_heap *heap, uint64_t *where_offset_bytes) {
    const char *broken = hw_strategy_check(heap->control, where_offset_bytes);
    if (broken != NULL) return broken;
    size_t page = heap->space->page_bytes;
    for (uint32_t number = hw_strategy_first(heap->control); number != HW_STRATEGY_NONE;) {
        hw_strategy_seen seen = hw_strategy_see(heap->control, number);
        number = seen.next;
        size_t from = seen.offset_bytes / page * page;
        size_t pages = (seen.offset_bytes + seen.size_bytes - from + page - 1) / page * page;
        *where_offset_bytes = seen.offset_bytes;
        if (seen.live && hw_space_committed_in(heap->space, from, pages) != pages) return "H1";
    }
    hw_strategy_totals t = hw_strategy_totals_of(heap->control);
    bool ordered = t.requested <= t.allocated && t.allocated <= heap->space->committed_bytes &&
                   heap->space->committed_bytes <= heap->space->size_bytes;
    return ordered ? NULL : "H2";
}
