/* Buddies: blocks and holes of 2^k granules at multiples of 2^k. The buddy of the block at o is the one at o xor 2^k: with
 * it it was one once, and becomes one again when both are holes.
 *
 *   allocate   n granules, aligned to a: the smallest power of two p >= n. The smallest hole of at least max(p, a), of equals
 *              the newest, is halved until p granules are left at its start; upper halves become holes
 *   free       while the buddy is a hole of the same size, they merge
 *   resize     to a smaller power by halving; to a larger one, in place, if every buddy on the way is to the right and a hole
 *
 * A capacity that is no power of two is a row of descending ones, the binary digits of the capacity: no two of them are
 * buddies. A hole of 2^k lies at a multiple of 2^k, so bottom means exactly: no hole has max(p, a) granules. Less than half
 * of a block is unasked for (I9), and blocks are aligned to their size for nothing.
 *
 * One allocate splits at most log2(capacity) times, and each split needs an entry. A buddy's neighbours in the list need not
 * be live, so the blocks and holes of a space may be as many as its granules.
 *
 * Source: Knowlton, CACM 8, 1965; Knuth, The Art of Computer Programming 1, section 2.5, algorithms R and S. */
#ifndef HW_CORE_BUDDY_FUSED_H
#define HW_CORE_BUDDY_FUSED_H

#include "core/fit_list.h"

/* The smallest power of two that is at least `size` >= 1; 2^32 does not fit, hence the type. */
HW_FUSED uint64_t hw_buddy_power(uint32_t size) { return size == 1 ? 1 : (uint64_t)2 << (31 - __builtin_clz(size - 1)); }

/* Halves block or hole `number` until it has `size` granules: 2^k of its size / 2^k. There are entries enough. */
HW_FUSED void hw_buddy_halve(hw_fit *fit, uint32_t number, uint32_t size) {
    hw_fit_block *block = &hw_fit_blocks(fit)[number];
    while (block->size > size) {
        block->size /= 2;
        hw_fit_block upper = {block->offset + block->size, block->size, number, block->after, 0};
        hw_fit_index_insert(fit, HW_BUDDY, hw_fit_new_block(fit, upper), (hw_fit_extent){upper.offset, upper.size});
        fit->totals.holes++;
    }
}

HW_FUSED uint32_t hw_buddy_halvings(uint32_t from, uint32_t to) {
    return (uint32_t)(__builtin_ctz(from) - __builtin_ctz(to));
}

HW_FUSED enum hw_strategy_result hw_buddy_take(hw_fit *fit, uint32_t size, uint64_t alignment, uint32_t *taken) {
    uint64_t power = hw_buddy_power(size), least = power > alignment ? power : alignment;
    if (least > fit->capacity) return HW_STRATEGY_NO_MEMORY;
    uint32_t class = hw_segregated_from(&fit->index.lists, (uint32_t)__builtin_ctzll(least));
    if (class == HW_STRATEGY_NONE) return HW_STRATEGY_NO_MEMORY;
    uint32_t number = hw_segregated_newest(&fit->index.lists, hw_fit_links(fit), class);
    uint32_t halvings = hw_buddy_halvings(hw_fit_blocks(fit)[number].size, (uint32_t)power);
    if (hw_fit_spare_blocks(fit) < halvings) return HW_STRATEGY_CONTROL_FULL;
    hw_fit_index_erase(fit, HW_BUDDY, number, hw_fit_extent_of(fit, number));
    fit->totals.holes--;
    hw_buddy_halve(fit, number, (uint32_t)power);
    *hw_fit_surplus(fit, number) = (uint32_t)power - size;
    *taken = number;
    return HW_STRATEGY_OK;
}

/* The buddy of an entry if it is a hole of the same size, or HW_STRATEGY_NONE. Beside it in the list at its very size there
 * can only be the buddy: I9. */
HW_FUSED uint32_t hw_buddy_free_buddy(const hw_fit *fit, uint32_t number) {
    const hw_fit_block *blocks = hw_fit_blocks(fit), *block = &blocks[number];
    uint32_t buddy = block->offset & block->size ? block->before : block->after;
    return hw_fit_is_hole(blocks, buddy) && blocks[buddy].size == block->size ? buddy : HW_STRATEGY_NONE;
}

/* A block that is live no more merges as far as it can, and becomes a hole. */
HW_FUSED void hw_buddy_merge(hw_fit *fit, uint32_t number) {
    hw_fit_block *blocks = hw_fit_blocks(fit);
    for (uint32_t buddy; (buddy = hw_buddy_free_buddy(fit, number)) != HW_STRATEGY_NONE;) {
        hw_fit_index_erase(fit, HW_BUDDY, buddy, hw_fit_extent_of(fit, buddy));
        fit->totals.holes--;
        bool upper = blocks[number].offset & blocks[number].size;
        uint32_t gone = upper ? number : buddy;
        number = upper ? buddy : number;
        hw_fit_retire(fit, gone);
        blocks[number].size *= 2;
    }
    hw_fit_index_insert(fit, HW_BUDDY, number, hw_fit_extent_of(fit, number));
    fit->totals.holes++;
}

/* In place, a live block of `size` granules asked for: OK, NO_MEMORY (a buddy on the way is no hole) or CONTROL_FULL. */
HW_FUSED enum hw_strategy_result hw_buddy_resize(hw_fit *fit, uint32_t number, uint32_t size) {
    hw_fit_block *blocks = hw_fit_blocks(fit), *block = &blocks[number];
    uint64_t power = hw_buddy_power(size);
    if (power > fit->capacity || (block->offset & (power - 1)) != 0) return HW_STRATEGY_NO_MEMORY;
    if (power < block->size) {
        if (hw_fit_spare_blocks(fit) < hw_buddy_halvings(block->size, (uint32_t)power)) return HW_STRATEGY_CONTROL_FULL;
        hw_buddy_halve(fit, number, (uint32_t)power);
    }
    uint32_t right = block->after;
    for (uint64_t reached = block->size; reached < power; reached *= 2, right = blocks[right].after)
        if (!hw_fit_is_hole(blocks, right) || blocks[right].size != reached) return HW_STRATEGY_NO_MEMORY;
    while (block->size < power) {
        right = block->after;
        hw_fit_index_erase(fit, HW_BUDDY, right, hw_fit_extent_of(fit, right));
        fit->totals.holes--;
        hw_fit_retire(fit, right);
        block->size *= 2;
    }
    *hw_fit_surplus(fit, number) = (uint32_t)power - size;
    return HW_STRATEGY_OK;
}

#endif
