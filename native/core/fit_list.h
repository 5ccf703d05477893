/* The list of blocks that all fits share: entries come and go, neighbours know each other by number, and what was asked
 * for can be told from what is taken. To be inlined where the strategy is a constant. Contracts: core/fit.h. */
#ifndef HW_CORE_FIT_LIST_H
#define HW_CORE_FIT_LIST_H

#include "core/fit_index.h"

HW_FUSED uint32_t hw_fit_new_block(hw_fit *fit, hw_fit_block block) {
    hw_fit_block *blocks = hw_fit_blocks(fit);
    uint32_t number = fit->retired;
    if (number != HW_STRATEGY_NONE) {
        fit->retired = blocks[number].after;
        fit->retired_count--;
    } else {
        number = fit->blocks_used++;
    }
    blocks[number] = block;
    if (block.before != HW_STRATEGY_NONE) blocks[block.before].after = number;
    else fit->first = number;
    if (block.after != HW_STRATEGY_NONE) blocks[block.after].before = number;
    return number;
}

/* Takes an entry out of the list: its neighbours become each other's. */
HW_FUSED void hw_fit_retire(hw_fit *fit, uint32_t number) {
    hw_fit_block *blocks = hw_fit_blocks(fit), *gone = &blocks[number];
    if (fit->head.cursor == number) fit->head.cursor = gone->before != HW_STRATEGY_NONE ? gone->before : gone->after; /* I8 */
    if (gone->before != HW_STRATEGY_NONE) blocks[gone->before].after = gone->after;
    else fit->first = gone->after;
    if (gone->after != HW_STRATEGY_NONE) blocks[gone->after].before = gone->before;
    *gone = (hw_fit_block){.before = HW_STRATEGY_NONE, .after = fit->retired};
    fit->retired = number;
    fit->retired_count++;
}

HW_FUSED uint32_t hw_fit_spare_blocks(const hw_fit *fit) {
    return fit->blocks_capacity - fit->blocks_used + fit->retired_count;
}

HW_FUSED bool hw_fit_is_hole(const hw_fit_block *blocks, uint32_t number) {
    return number != HW_STRATEGY_NONE && !(blocks[number].slack_and_live & 1);
}

/* I7, after a hole has come to be [start, end). */
HW_FUSED void hw_fit_settle_rover(hw_fit *fit, enum hw_strategy strategy, uint32_t start, uint32_t end) {
    if (strategy != HW_NEXT_FIT) return; /* the rover of the others stays at 0 */
    if (start < fit->rover && fit->rover < end) fit->rover = start;
}

HW_FUSED void hw_fit_count_in(hw_strategy_totals *t, uint64_t requested, uint64_t allocated) {
    t->requested += requested;
    t->allocated += allocated;
    t->free -= allocated;
    if (t->requested > t->peak_requested) t->peak_requested = t->requested;
    if (t->allocated > t->peak_allocated) t->peak_allocated = t->allocated;
}

/* Granules for a request of at most the capacity, and what the last of them has too many, as the block stores it. */
HW_FUSED uint32_t hw_fit_granules(const hw_fit *fit, uint64_t size_bytes, uint32_t *slack_and_live) {
    uint64_t size = (size_bytes + ((uint64_t)1 << fit->head.granule_shift) - 1) >> fit->head.granule_shift;
    if (size == 0) size = 1;
    *slack_and_live = (uint32_t)((size << fit->head.granule_shift) - size_bytes) << 1 | 1;
    return (uint32_t)size;
}

/* The granules of a live buddy that nobody asked for, beyond the slack in the last that somebody did. A live block is in
 * no list, so they are kept where its link would be. */
HW_FUSED uint32_t *hw_fit_surplus(const hw_fit *fit, uint32_t number) { return &hw_fit_links(fit)[hw_segregated_at(&fit->index.lists, number)].next; }

HW_FUSED uint64_t hw_fit_requested(const hw_fit *fit, enum hw_strategy strategy, uint32_t number) {
    const hw_fit_block *block = &hw_fit_blocks(fit)[number];
    uint32_t size = block->size - (strategy == HW_BUDDY ? *hw_fit_surplus(fit, number) : 0);
    return ((uint64_t)size << fit->head.granule_shift) - (block->slack_and_live >> 1);
}

#endif
