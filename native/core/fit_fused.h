/* The bodies of the fit strategies, to be inlined where the strategy is a constant: every test of `strategy` below then
 * happens when the code is compiled, and one allocate is one straight function. core/fit.c compiles them once more
 * with the strategy read from the header. Contracts: core/fit.h. */
#ifndef HW_CORE_FIT_FUSED_H
#define HW_CORE_FIT_FUSED_H

#include "core/buddy_fused.h"
#include "core/fit_list.h"

/* Splits the chosen hole: what is left keeps the hole's number and its place in the index where it can. The index knows the
 * hole's extent, so the hole itself can come from memory meanwhile. */
HW_FUSED enum hw_strategy_result hw_fit_take(hw_fit *fit, enum hw_strategy strategy, uint32_t size, uint64_t alignment,
                                             uint32_t *taken) {
    hw_fit_choice c;
    if (!hw_fit_choose(fit, strategy, size, alignment, &c)) return HW_STRATEGY_NO_MEMORY;
    if (hw_fit_spare_blocks(fit) < 2) return HW_STRATEGY_CONTROL_FULL;
    hw_fit_block *hole = &hw_fit_blocks(fit)[c.number];
    __builtin_prefetch(hole, 1);
    uint32_t start = c.hole.offset + c.front, rest = c.hole.size - c.front - size;
    if (c.front != 0) { /* the hole ends where the block starts; a new one begins where it ends */
        hw_fit_index_change(fit, strategy, c.number, c.hole, (hw_fit_extent){c.hole.offset, c.front});
        hole->size = c.front;
        *taken = hw_fit_new_block(fit, (hw_fit_block){start, size, c.number, hole->after, 0});
        if (rest != 0) {
            uint32_t after = hw_fit_blocks(fit)[*taken].after;
            uint32_t last = hw_fit_new_block(fit, (hw_fit_block){start + size, rest, *taken, after, 0});
            hw_fit_index_insert(fit, strategy, last, (hw_fit_extent){start + size, rest});
            fit->totals.holes++;
        }
    } else if (rest != 0) { /* the hole starts where the block ends */
        hw_fit_index_change(fit, strategy, c.number, c.hole, (hw_fit_extent){start + size, rest});
        hole->offset = start + size;
        hole->size = rest;
        *taken = hw_fit_new_block(fit, (hw_fit_block){start, size, hole->before, c.number, 0});
    } else {
        hw_fit_index_erase(fit, strategy, c.number, c.hole);
        fit->totals.holes--;
        *taken = c.number;
    }
    if (strategy == HW_NEXT_FIT) fit->rover = start + size;
    return HW_STRATEGY_OK;
}

/* A block that is live no more becomes part of the holes beside it, or a hole of its own. */
HW_FUSED void hw_fit_coalesce(hw_fit *fit, enum hw_strategy strategy, uint32_t number) {
    hw_fit_block *blocks = hw_fit_blocks(fit), *block = &blocks[number];
    uint32_t left = block->before, right = block->after, hole = number;
    hw_fit_extent now = {block->offset, block->size}, was;
    if (hw_fit_by_address(strategy)) hw_fit_index_expect(fit, strategy, now); /* while the neighbours come */
    bool joins_left = hw_fit_is_hole(blocks, left), joins_right = hw_fit_is_hole(blocks, right);
    if (joins_left) {
        was = hw_fit_extent_of(fit, left);
        hole = left;
        now = (hw_fit_extent){was.offset, was.size + now.size};
    }
    if (joins_right) {
        hw_fit_extent gone = hw_fit_extent_of(fit, right);
        now.size += gone.size;
        if (!hw_fit_by_address(strategy)) hw_fit_index_expect(fit, strategy, now);
        if (joins_left) {
            hw_fit_index_erase(fit, strategy, right, gone);
            hw_fit_retire(fit, right);
            fit->totals.holes--;
        } else {
            was = gone;
            hole = right;
        }
    }
    if (joins_left || joins_right) {
        hw_fit_index_change(fit, strategy, hole, was, now);
        hw_fit_retire(fit, number);
        blocks[hole].offset = now.offset;
        blocks[hole].size = now.size;
    } else {
        hw_fit_index_insert(fit, strategy, hole, now);
        fit->totals.holes++;
    }
    hw_fit_settle_rover(fit, strategy, now.offset, now.offset + now.size);
}

HW_FUSED enum hw_strategy_result hw_fit_allocate_fused(hw_fit *fit, enum hw_strategy strategy, uint64_t size_bytes,
                                                       uint64_t alignment, hw_strategy_handle *handle) {
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) return HW_STRATEGY_BAD_ARGUMENT;
    if (size_bytes > fit->head.capacity_bytes) return HW_STRATEGY_NO_MEMORY;
    uint32_t slack_and_live, number, size = hw_fit_granules(fit, size_bytes, &slack_and_live);
    uint64_t granules = alignment >> fit->head.granule_shift;
    if (granules == 0) granules = 1;
    enum hw_strategy_result result = strategy == HW_BUDDY ? hw_buddy_take(fit, size, granules, &number)
                                                          : hw_fit_take(fit, strategy, size, granules, &number);
    if (result != HW_STRATEGY_OK) return result;
    hw_fit_block *block = &hw_fit_blocks(fit)[number];
    block->slack_and_live = slack_and_live;

    uint64_t allocated = (uint64_t)block->size << fit->head.granule_shift;
    hw_strategy_totals *t = &fit->totals;
    hw_fit_count_in(t, size_bytes, allocated);
    t->total_requested += size_bytes;
    t->total_allocated += allocated;
    t->total_blocks++;
    if (++t->blocks > t->peak_blocks) t->peak_blocks = t->blocks;
    *handle = (hw_strategy_handle){(uint64_t)block->offset << fit->head.granule_shift, number};
    return HW_STRATEGY_OK;
}

HW_FUSED bool hw_fit_is_live(const hw_fit *fit, hw_strategy_handle handle) {
    if (handle.number >= fit->blocks_used) return false;
    const hw_fit_block *block = &hw_fit_blocks(fit)[handle.number];
    return (block->slack_and_live & 1) && (uint64_t)block->offset << fit->head.granule_shift == handle.offset_bytes;
}

HW_FUSED enum hw_strategy_result hw_fit_free_fused(hw_fit *fit, enum hw_strategy strategy, hw_strategy_handle handle) {
    if (!hw_fit_is_live(fit, handle)) return HW_STRATEGY_NOT_LIVE;
    hw_fit_block *block = &hw_fit_blocks(fit)[handle.number];
    hw_strategy_totals *t = &fit->totals;
    uint64_t allocated = (uint64_t)block->size << fit->head.granule_shift;
    t->requested -= hw_fit_requested(fit, strategy, handle.number);
    t->allocated -= allocated;
    t->free += allocated;
    t->blocks--;
    t->freed_blocks++;
    block->slack_and_live = 0;
    if (strategy == HW_BUDDY) hw_buddy_merge(fit, handle.number);
    else hw_fit_coalesce(fit, strategy, handle.number);
    return HW_STRATEGY_OK;
}

#endif
