/* Best fit as one writes it for itself: the list of blocks and the ordered set of core/fit.h, and no strategy anywhere. It
 * works on the same control region, so both can be compared decision for decision. What Heap[BestFit] is measured against. */
#ifndef HW_BENCHMARKS_BEST_FIT_BY_HAND_H
#define HW_BENCHMARKS_BEST_FIT_BY_HAND_H

#include "core/fit_list.h"

static inline uint64_t best_fit_key(uint32_t offset, uint32_t size) { return (uint64_t)size << 32 | offset; }

static inline enum hw_strategy_result best_fit_allocate(hw_fit *fit, uint64_t size_bytes, uint64_t alignment,
                                                       hw_strategy_handle *handle) {
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) return HW_STRATEGY_BAD_ARGUMENT;
    if (size_bytes > fit->head.capacity_bytes) return HW_STRATEGY_NO_MEMORY;
    hw_fit_block *blocks = hw_fit_blocks(fit);
    hw_ordered_node *nodes = hw_fit_nodes(fit);
    uint32_t shift = fit->head.granule_shift;
    uint64_t granules = (size_bytes + ((uint64_t)1 << shift) - 1) >> shift;
    uint32_t size = granules ? (uint32_t)granules : 1;
    uint64_t mask = (alignment >> shift) > 1 ? (alignment >> shift) - 1 : 0;

    hw_ordered_entry found;
    uint32_t front;
    for (uint64_t from = best_fit_key(0, size);; from = found.key + 1) {
        if (!hw_ordered_first(&fit->index.ordered, nodes, from, 0, false, &found)) return HW_STRATEGY_NO_MEMORY;
        uint64_t skip = (0 - (uint64_t)(uint32_t)found.key) & mask;
        front = (uint32_t)skip;
        if (skip <= (found.key >> 32) - size) break;
    }
    if (hw_fit_spare_blocks(fit) < 2) return HW_STRATEGY_CONTROL_FULL;

    uint32_t number = found.reference;
    hw_fit_block *hole = &blocks[number];
    __builtin_prefetch(hole, 1);
    uint32_t start = (uint32_t)found.key + front, rest = (uint32_t)(found.key >> 32) - front - size;
    if (front != 0) {
        hw_ordered_replace(&fit->index.ordered, nodes, found.key,
                           (hw_ordered_entry){best_fit_key(start - front, front), number, 0});
        hole->size = front;
        uint32_t block = hw_fit_new_block(fit, (hw_fit_block){start, size, number, hole->after, 0});
        if (rest != 0) {
            uint32_t last = hw_fit_new_block(fit, (hw_fit_block){start + size, rest, block, blocks[block].after, 0});
            hw_ordered_insert(&fit->index.ordered, nodes, (hw_ordered_entry){best_fit_key(start + size, rest), last, 0});
            fit->totals.holes++;
        }
        number = block;
    } else if (rest != 0) {
        hw_ordered_replace(&fit->index.ordered, nodes, found.key,
                           (hw_ordered_entry){best_fit_key(start + size, rest), number, 0});
        hole->offset = start + size;
        hole->size = rest;
        number = hw_fit_new_block(fit, (hw_fit_block){start, size, hole->before, number, 0});
    } else {
        hw_ordered_erase(&fit->index.ordered, nodes, found.key);
        fit->totals.holes--;
    }
    blocks[number].slack_and_live = (uint32_t)(((uint64_t)size << shift) - size_bytes) << 1 | 1;

    hw_strategy_totals *t = &fit->totals;
    uint64_t allocated = (uint64_t)size << shift;
    t->requested += size_bytes;
    t->allocated += allocated;
    t->free -= allocated;
    if (t->requested > t->peak_requested) t->peak_requested = t->requested;
    if (t->allocated > t->peak_allocated) t->peak_allocated = t->allocated;
    t->total_requested += size_bytes;
    t->total_allocated += allocated;
    t->total_blocks++;
    if (++t->blocks > t->peak_blocks) t->peak_blocks = t->blocks;
    *handle = (hw_strategy_handle){(uint64_t)blocks[number].offset << shift, number};
    return HW_STRATEGY_OK;
}

static inline enum hw_strategy_result best_fit_free(hw_fit *fit, hw_strategy_handle handle) {
    if (handle.number >= fit->blocks_used) return HW_STRATEGY_NOT_LIVE;
    hw_fit_block *blocks = hw_fit_blocks(fit), *block = &blocks[handle.number];
    uint32_t shift = fit->head.granule_shift;
    if (!(block->slack_and_live & 1) || (uint64_t)block->offset << shift != handle.offset_bytes) return HW_STRATEGY_NOT_LIVE;
    hw_strategy_totals *t = &fit->totals;
    uint64_t allocated = (uint64_t)block->size << shift;
    t->requested -= allocated - (block->slack_and_live >> 1);
    t->allocated -= allocated;
    t->free += allocated;
    t->blocks--;
    t->freed_blocks++;
    block->slack_and_live = 0;

    hw_ordered_node *nodes = hw_fit_nodes(fit);
    uint32_t left = block->before, right = block->after, hole = handle.number;
    uint32_t offset = block->offset, size = block->size;
    uint64_t key = 0;
    bool joins_left = hw_fit_is_hole(blocks, left), joins_right = hw_fit_is_hole(blocks, right);
    if (joins_left) {
        key = best_fit_key(blocks[left].offset, blocks[left].size);
        hole = left;
        offset = blocks[left].offset;
        size += blocks[left].size;
    }
    if (joins_right) {
        uint64_t right_key = best_fit_key(blocks[right].offset, blocks[right].size);
        size += blocks[right].size;
        hw_ordered_expect(&fit->index.ordered, nodes, best_fit_key(offset, size));
        if (joins_left) {
            hw_ordered_erase(&fit->index.ordered, nodes, right_key);
            hw_fit_retire(fit, right);
            t->holes--;
        } else {
            key = right_key;
            hole = right;
        }
    }
    hw_ordered_entry entry = {best_fit_key(offset, size), hole, 0};
    if (joins_left || joins_right) {
        hw_ordered_replace(&fit->index.ordered, nodes, key, entry);
        hw_fit_retire(fit, handle.number);
        blocks[hole].offset = offset;
        blocks[hole].size = size;
    } else {
        hw_ordered_insert(&fit->index.ordered, nodes, entry);
        t->holes++;
    }
    return HW_STRATEGY_OK;
}

#endif
