/* The bodies of the fit strategies, to be inlined where the strategy is a constant: every test of `strategy` below then
 * happens when the code is compiled, and one allocate is one straight function. core/fit.c compiles them once more
 * with the strategy read from the header. Contracts: core/fit.h. */
#ifndef HW_CORE_FIT_FUSED_H
#define HW_CORE_FIT_FUSED_H

#include "core/fit.h"

HW_FUSED hw_fit_block *hw_fit_blocks(const hw_fit *fit) {
    return (hw_fit_block *)((char *)fit + ((sizeof *fit + 63) & ~(size_t)63));
}

HW_FUSED hw_ordered_node *hw_fit_nodes(const hw_fit *fit) {
    size_t blocks_bytes = (fit->blocks_capacity * sizeof(hw_fit_block) + 63) & ~(size_t)63;
    return (hw_ordered_node *)((char *)hw_fit_blocks(fit) + blocks_bytes);
}

HW_FUSED bool hw_fit_by_address(enum hw_strategy strategy) {
    return strategy == HW_FIRST_FIT || strategy == HW_NEXT_FIT;
}

/* Where a hole stands in the index: the order of the index is the order in which the strategy tries holes. */
HW_FUSED hw_ordered_entry hw_fit_entry(enum hw_strategy strategy, uint32_t offset, uint32_t size, uint32_t number) {
    if (hw_fit_by_address(strategy)) return (hw_ordered_entry){offset, number, size};
    uint64_t rank = strategy == HW_BEST_FIT ? size : UINT32_MAX - size;
    return (hw_ordered_entry){rank << 32 | offset, number, 0};
}

HW_FUSED uint64_t hw_fit_key(enum hw_strategy strategy, const hw_fit_block *hole) {
    return hw_fit_entry(strategy, hole->offset, hole->size, 0).key;
}

/* The hole that the strategy chooses for `size` granules aligned to `alignment` granules, and the granules to skip at its
 * start; false: none fits. */
HW_FUSED bool hw_fit_choose(const hw_fit *fit, enum hw_strategy strategy, uint32_t size, uint64_t alignment,
                                uint32_t *number, uint32_t *front) {
    const hw_ordered_node *nodes = hw_fit_nodes(fit);
    bool weighted = hw_fit_by_address(strategy), wrapped = strategy != HW_NEXT_FIT;
    uint64_t from = strategy == HW_BEST_FIT ? (uint64_t)size << 32 : wrapped ? 0 : fit->rover;
    uint64_t beyond = UINT64_MAX;
    for (;;) {
        hw_ordered_entry hole;
        if (!hw_ordered_first(&fit->holes, nodes, from, size, weighted, &hole) || hole.key >= beyond) {
            if (wrapped) return false;
            wrapped = true;
            beyond = fit->rover;
            from = 0;
            continue;
        }
        uint32_t rank = (uint32_t)(hole.key >> 32), offset = (uint32_t)hole.key;
        uint32_t room = weighted ? hole.weight : strategy == HW_BEST_FIT ? rank : UINT32_MAX - rank;
        if (room < size) return false; /* worst fit only: every later hole is smaller still */
        uint64_t skip = (0 - (uint64_t)offset) & (alignment - 1);
        if (skip <= room - size) {
            *number = hole.reference;
            *front = (uint32_t)skip;
            return true;
        }
        from = hole.key + 1;
    }
}

HW_FUSED uint32_t hw_fit_new_block(hw_fit *fit, hw_fit_block *blocks, hw_fit_block block) {
    uint32_t number = fit->retired;
    if (number != HW_STRATEGY_NONE) {
        fit->retired = blocks[number].after;
        fit->retired_count--;
    } else {
        number = fit->blocks_used++;
    }
    blocks[number] = block;
    if (block.before != HW_STRATEGY_NONE) blocks[block.before].after = number;
    if (block.after != HW_STRATEGY_NONE) blocks[block.after].before = number;
    return number;
}

/* Takes a block out of the list; a neighbour on the left takes its place in the sequence. */
HW_FUSED void hw_fit_retire(hw_fit *fit, hw_fit_block *blocks, uint32_t number) {
    hw_fit_block *gone = &blocks[number];
    if (fit->head.cursor == number) fit->head.cursor = gone->before; /* I8: merged to the left, or eaten from there */
    if (gone->before != HW_STRATEGY_NONE) blocks[gone->before].after = gone->after;
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
HW_FUSED void hw_fit_settle_rover(hw_fit *fit, uint32_t start, uint32_t end) {
    if (start < fit->rover && fit->rover < end) fit->rover = start;
}

HW_FUSED void hw_fit_count_in(hw_strategy_totals *t, uint64_t requested, uint64_t allocated) {
    t->requested += requested;
    t->allocated += allocated;
    t->free -= allocated;
    if (t->requested > t->peak_requested) t->peak_requested = t->requested;
    if (t->allocated > t->peak_allocated) t->peak_allocated = t->allocated;
}

HW_FUSED uint64_t hw_fit_requested(const hw_fit *fit, const hw_fit_block *block) {
    return ((uint64_t)block->size << fit->head.granule_shift) - (block->slack_and_live >> 1);
}

/* Granules for a request of at most the capacity, and what the last of them has too many, as the block stores it. */
HW_FUSED uint32_t hw_fit_granules(const hw_fit *fit, uint64_t size_bytes, uint32_t *slack_and_live) {
    uint64_t size = (size_bytes + ((uint64_t)1 << fit->head.granule_shift) - 1) >> fit->head.granule_shift;
    if (size == 0) size = 1;
    *slack_and_live = (uint32_t)((size << fit->head.granule_shift) - size_bytes) << 1 | 1;
    return (uint32_t)size;
}

HW_FUSED enum hw_strategy_result hw_fit_allocate_fused(hw_fit *fit, enum hw_strategy strategy, uint64_t size_bytes,
                                                      uint64_t alignment, hw_strategy_handle *handle) {
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) return HW_STRATEGY_BAD_ARGUMENT;
    if (size_bytes > fit->head.capacity_bytes) return HW_STRATEGY_NO_MEMORY;
    uint32_t slack_and_live, number, front;
    uint32_t size = hw_fit_granules(fit, size_bytes, &slack_and_live);
    uint64_t granules = alignment >> fit->head.granule_shift;
    if (!hw_fit_choose(fit, strategy, size, granules ? granules : 1, &number, &front)) return HW_STRATEGY_NO_MEMORY;
    if (hw_fit_spare_blocks(fit) < 2) return HW_STRATEGY_CONTROL_FULL;

    hw_fit_block *blocks = hw_fit_blocks(fit), *block = &blocks[number];
    hw_ordered_node *nodes = hw_fit_nodes(fit);
    uint64_t key = hw_fit_key(strategy, block);
    uint32_t rest = block->size - front - size;
    if (front != 0) { /* the hole keeps its entry and its number; the block is a new one after it */
        hw_ordered_replace(&fit->holes, nodes, key, hw_fit_entry(strategy, block->offset, front, number));
        block->size = front;
        hw_fit_block new = {block->offset + front, size, number, block->after, 0};
        number = hw_fit_new_block(fit, blocks, new);
        block = &blocks[number];
        fit->totals.holes++;
    }
    block->size = size;
    block->slack_and_live = slack_and_live;
    if (rest != 0) {
        hw_fit_block new = {block->offset + size, rest, number, block->after, 0};
        uint32_t hole = hw_fit_new_block(fit, blocks, new);
        hw_ordered_entry entry = hw_fit_entry(strategy, new.offset, rest, hole);
        if (front != 0) hw_ordered_insert(&fit->holes, nodes, entry);
        else hw_ordered_replace(&fit->holes, nodes, key, entry);
    } else {
        if (front == 0) hw_ordered_erase(&fit->holes, nodes, key);
        fit->totals.holes--;
    }
    if (strategy == HW_NEXT_FIT) fit->rover = block->offset + size;

    uint64_t allocated = (uint64_t)size << fit->head.granule_shift;
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
    hw_fit_block *blocks = hw_fit_blocks(fit), *block = &blocks[handle.number];
    hw_ordered_node *nodes = hw_fit_nodes(fit);
    hw_strategy_totals *t = &fit->totals;
    uint64_t allocated = (uint64_t)block->size << fit->head.granule_shift;
    t->requested -= hw_fit_requested(fit, block);
    t->allocated -= allocated;
    t->free += allocated;
    t->blocks--;
    t->freed_blocks++;

    block->slack_and_live = 0;
    uint32_t left = block->before, right = block->after, hole = handle.number;
    if (hw_fit_is_hole(blocks, left)) {
        uint64_t left_key = hw_fit_key(strategy, &blocks[left]);
        uint32_t size = blocks[left].size + block->size;
        hw_fit_retire(fit, blocks, handle.number);
        hole = left;
        if (hw_fit_is_hole(blocks, right)) {
            hw_ordered_erase(&fit->holes, nodes, hw_fit_key(strategy, &blocks[right]));
            size += blocks[right].size;
            hw_fit_retire(fit, blocks, right);
            t->holes--;
        }
        blocks[left].size = size;
        hw_ordered_replace(&fit->holes, nodes, left_key, hw_fit_entry(strategy, blocks[left].offset, size, left));
    } else if (hw_fit_is_hole(blocks, right)) {
        uint64_t right_key = hw_fit_key(strategy, &blocks[right]);
        block->size += blocks[right].size;
        hw_fit_retire(fit, blocks, right);
        hw_ordered_replace(&fit->holes, nodes, right_key, hw_fit_entry(strategy, block->offset, block->size, hole));
    } else {
        hw_ordered_insert(&fit->holes, nodes, hw_fit_entry(strategy, block->offset, block->size, hole));
        t->holes++;
    }
    hw_fit_settle_rover(fit, blocks[hole].offset, blocks[hole].offset + blocks[hole].size);
    return HW_STRATEGY_OK;
}

#endif
