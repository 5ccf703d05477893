#include "core/fit.h"

#include <assert.h>
#include <string.h>

#include "core/fit_fused.h"

static enum hw_strategy strategy_of(const hw_fit *fit) { return (enum hw_strategy)fit->head.strategy; }

static size_t round_up_64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

size_t hw_fit_control_bytes(uint32_t blocks) {
    /* Between two holes is a live block, so at most every second block is a hole. */
    return round_up_64(sizeof(hw_fit)) + round_up_64(blocks * sizeof(hw_fit_block)) +
           (size_t)HW_ORDERED_NODES(blocks / 2 + 1) * sizeof(hw_ordered_node);
}

enum hw_strategy_result hw_fit_init(void *control, uint32_t blocks, enum hw_strategy strategy, uint64_t capacity_bytes,
                               uint32_t granule_bytes) {
    bool granule_ok = granule_bytes != 0 && granule_bytes <= 1u << 30 && (granule_bytes & (granule_bytes - 1)) == 0;
    bool ok = granule_ok && blocks >= 4 && blocks <= UINT32_MAX / 2 && (unsigned)strategy < HW_STRATEGIES;
    if (!ok) return HW_STRATEGY_BAD_ARGUMENT;
    uint64_t capacity = capacity_bytes / granule_bytes;
    if (capacity == 0 || capacity >= UINT32_MAX) return HW_STRATEGY_BAD_ARGUMENT;
    hw_fit *fit = control;
    *fit = (hw_fit){
        .head = {capacity * granule_bytes, (uint32_t)__builtin_ctz(granule_bytes), strategy, HW_STRATEGY_NONE},
        .capacity = (uint32_t)capacity,
        .blocks_capacity = blocks,
        .retired = HW_STRATEGY_NONE,
        .totals = {.free = capacity * granule_bytes, .holes = 1},
    };
    hw_ordered_init(&fit->holes, hw_fit_nodes(fit), HW_ORDERED_NODES(blocks / 2 + 1));
    hw_fit_block whole = {0, fit->capacity, HW_STRATEGY_NONE, HW_STRATEGY_NONE, 0};
    fit->first = hw_fit_new_block(fit, hw_fit_blocks(fit), whole);
    hw_ordered_insert(&fit->holes, hw_fit_nodes(fit), hw_fit_entry(strategy, 0, whole.size, fit->first));
    return HW_STRATEGY_OK;
}

hw_fit *hw_fit_grow(const hw_fit *fit, void *larger, uint32_t blocks) {
    assert(blocks >= fit->blocks_capacity && blocks <= UINT32_MAX / 2);
    hw_fit *grown = larger;
    *grown = *fit;
    grown->blocks_capacity = blocks;
    grown->holes.capacity = HW_ORDERED_NODES(blocks / 2 + 1);
    memcpy(hw_fit_blocks(grown), hw_fit_blocks(fit), fit->blocks_used * sizeof(hw_fit_block));
    memcpy(hw_fit_nodes(grown), hw_fit_nodes(fit), fit->holes.nodes * sizeof(hw_ordered_node));
    return grown;
}

enum hw_strategy_result hw_fit_allocate(hw_fit *fit, uint64_t size_bytes, uint64_t alignment, hw_strategy_handle *handle) {
    switch (strategy_of(fit)) { /* direct, well-predicted branches into four compiled variants */
    case HW_FIRST_FIT: return hw_fit_allocate_fused(fit, HW_FIRST_FIT, size_bytes, alignment, handle);
    case HW_BEST_FIT: return hw_fit_allocate_fused(fit, HW_BEST_FIT, size_bytes, alignment, handle);
    case HW_WORST_FIT: return hw_fit_allocate_fused(fit, HW_WORST_FIT, size_bytes, alignment, handle);
    default: return hw_fit_allocate_fused(fit, HW_NEXT_FIT, size_bytes, alignment, handle);
    }
}

enum hw_strategy_result hw_fit_free(hw_fit *fit, hw_strategy_handle handle) {
    return hw_fit_free_fused(fit, strategy_of(fit), handle);
}

/* The last `by` granules of a live block become free. */
static enum hw_strategy_result shrink(hw_fit *fit, uint32_t number, uint32_t by) {
    hw_fit_block *blocks = hw_fit_blocks(fit), *block = &blocks[number];
    uint32_t start = block->offset + block->size - by, hole = block->after;
    enum hw_strategy strategy = strategy_of(fit);
    if (hw_fit_is_hole(blocks, hole)) {
        uint64_t key = hw_fit_key(strategy, &blocks[hole]);
        blocks[hole].offset = start;
        blocks[hole].size += by;
        hw_ordered_replace(&fit->holes, hw_fit_nodes(fit), key,
                           hw_fit_entry(strategy, start, blocks[hole].size, hole));
    } else {
        if (hw_fit_spare_blocks(fit) < 1) return HW_STRATEGY_CONTROL_FULL;
        hw_fit_block new = {start, by, number, block->after, 0};
        hole = hw_fit_new_block(fit, blocks, new);
        hw_ordered_insert(&fit->holes, hw_fit_nodes(fit), hw_fit_entry(strategy, start, by, hole));
        fit->totals.holes++;
    }
    block->size -= by;
    hw_fit_settle_rover(fit, start, start + blocks[hole].size);
    return HW_STRATEGY_OK;
}

/* A live block takes the first `by` granules of the hole after it. */
static enum hw_strategy_result extend(hw_fit *fit, uint32_t number, uint32_t by) {
    hw_fit_block *blocks = hw_fit_blocks(fit), *block = &blocks[number];
    uint32_t hole = block->after;
    if (!hw_fit_is_hole(blocks, hole) || blocks[hole].size < by) return HW_STRATEGY_NO_MEMORY;
    enum hw_strategy strategy = strategy_of(fit);
    uint64_t key = hw_fit_key(strategy, &blocks[hole]);
    blocks[hole].offset += by;
    blocks[hole].size -= by;
    if (blocks[hole].size == 0) {
        hw_ordered_erase(&fit->holes, hw_fit_nodes(fit), key);
        hw_fit_retire(fit, blocks, hole);
        fit->totals.holes--;
    } else {
        hw_ordered_replace(&fit->holes, hw_fit_nodes(fit), key,
                           hw_fit_entry(strategy, blocks[hole].offset, blocks[hole].size, hole));
    }
    block->size += by;
    return HW_STRATEGY_OK;
}

enum hw_strategy_result hw_fit_resize(hw_fit *fit, hw_strategy_handle handle, uint64_t size_bytes) {
    if (!hw_fit_is_live(fit, handle)) return HW_STRATEGY_NOT_LIVE;
    if (size_bytes > fit->head.capacity_bytes) return HW_STRATEGY_NO_MEMORY;
    hw_fit_block *block = &hw_fit_blocks(fit)[handle.number];
    uint64_t old_requested = hw_fit_requested(fit, block), old_allocated = (uint64_t)block->size << fit->head.granule_shift;
    uint32_t slack_and_live, size = hw_fit_granules(fit, size_bytes, &slack_and_live);
    enum hw_strategy_result result = size < block->size   ? shrink(fit, handle.number, block->size - size)
                                : size > block->size ? extend(fit, handle.number, size - block->size)
                                                     : HW_STRATEGY_OK;
    if (result != HW_STRATEGY_OK) return result;
    block->slack_and_live = slack_and_live;
    hw_strategy_totals *t = &fit->totals;
    uint64_t allocated = (uint64_t)size << fit->head.granule_shift;
    t->requested -= old_requested;
    t->allocated -= old_allocated;
    t->free += old_allocated;
    hw_fit_count_in(t, size_bytes, allocated);
    if (size_bytes > old_requested) t->total_requested += size_bytes - old_requested;
    if (allocated > old_allocated) t->total_allocated += allocated - old_allocated;
    return HW_STRATEGY_OK;
}

uint64_t hw_fit_largest_hole(const hw_fit *fit) {
    const hw_ordered_node *nodes = hw_fit_nodes(fit), *root = &nodes[fit->holes.root];
    uint32_t granules = 0;
    hw_ordered_entry greatest = {0};
    if (hw_fit_by_address(strategy_of(fit))) {
        for (uint32_t i = 0; i < root->count; i++)
            if (root->weight[i] > granules) granules = root->weight[i];
    } else if (strategy_of(fit) == HW_BEST_FIT) {
        if (hw_ordered_last(&fit->holes, nodes, &greatest)) granules = (uint32_t)(greatest.key >> 32);
    } else if (hw_ordered_first(&fit->holes, nodes, 0, 0, false, &greatest)) {
        granules = UINT32_MAX - (uint32_t)(greatest.key >> 32);
    }
    return (uint64_t)granules << fit->head.granule_shift;
}

hw_strategy_seen hw_fit_see(const hw_fit *fit, uint32_t number) {
    const hw_fit_block *block = &hw_fit_blocks(fit)[number];
    bool live = block->slack_and_live & 1;
    return (hw_strategy_seen){
        .offset_bytes = (uint64_t)block->offset << fit->head.granule_shift,
        .size_bytes = (uint64_t)block->size << fit->head.granule_shift,
        .requested_bytes = live ? hw_fit_requested(fit, block) : 0,
        .live = live,
        .next = block->after,
    };
}

/* I6 for one hole: the first entry from its key on is it. */
static bool is_indexed(const hw_fit *fit, const hw_fit_block *hole, uint32_t number) {
    hw_ordered_entry expected = hw_fit_entry(strategy_of(fit), hole->offset, hole->size, number), found;
    return hw_ordered_first(&fit->holes, hw_fit_nodes(fit), expected.key, 0, false, &found) &&
           found.key == expected.key && found.reference == number && found.weight == expected.weight;
}

const char *hw_fit_check(const hw_fit *fit, uint64_t *where_offset_bytes) {
    const hw_fit_block *blocks = hw_fit_blocks(fit);
    uint64_t requested = 0, allocated = 0, live = 0, holes = 0, listed = 0, retired = 0, end = 0;
    uint32_t before = HW_STRATEGY_NONE;
    bool after_hole = false, cursor_met = fit->head.cursor == HW_STRATEGY_NONE;
    *where_offset_bytes = 0;
    if (fit->blocks_used > fit->blocks_capacity) return "I5";
    const char *broken = hw_ordered_check(&fit->holes, hw_fit_nodes(fit));
    if (broken != NULL) return broken;
    for (uint32_t number = fit->first; number != HW_STRATEGY_NONE; number = blocks[number].after) {
        if (number >= fit->blocks_used || ++listed > fit->blocks_used) return "I5";
        const hw_fit_block *block = &blocks[number];
        uint32_t slack = block->slack_and_live >> 1, granule = 1u << fit->head.granule_shift;
        *where_offset_bytes = (uint64_t)block->offset << fit->head.granule_shift;
        if (block->before != before || block->offset != end || block->size == 0) return "I1";
        end += block->size;
        if (end > fit->capacity) return "I1";
        if (number == fit->head.cursor) cursor_met = true;
        if (block->slack_and_live & 1) {
            if (slack >= granule && !(slack == granule && block->size == 1)) return "I3";
            live++;
            allocated += (uint64_t)block->size << fit->head.granule_shift;
            requested += hw_fit_requested(fit, block);
            after_hole = false;
        } else {
            if (slack != 0) return "I3";
            if (after_hole) return "I2";
            if (!is_indexed(fit, block, number)) return "I6";
            if (block->offset < fit->rover && fit->rover < end) return "I7";
            holes++;
            after_hole = true;
        }
        before = number;
    }
    if (end != fit->capacity) return "I1";
    *where_offset_bytes = fit->head.capacity_bytes;
    if (holes != fit->holes.count) return "I6";
    if (fit->rover > fit->capacity) return "I7";
    if (!cursor_met) return "I8";
    for (uint32_t number = fit->retired; number != HW_STRATEGY_NONE; number = blocks[number].after)
        if (number >= fit->blocks_used || ++retired > fit->blocks_used) return "I5";
    if (retired != fit->retired_count || retired + listed != fit->blocks_used) return "I5";
    const hw_strategy_totals *t = &fit->totals;
    bool sums = t->requested == requested && t->allocated == allocated && t->free == fit->head.capacity_bytes - allocated &&
                t->blocks == live && t->holes == holes && t->total_blocks == t->freed_blocks + live;
    return sums && t->requested <= t->peak_requested && t->allocated <= t->peak_allocated ? NULL : "I4";
}
