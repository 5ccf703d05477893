/* The index over the holes of a fit, and the choice of one: an ordered set in the order in which the exact fits try holes,
 * or segregated lists for the strategies of constant time. To be inlined where `strategy` is a constant: which index it is
 * is then settled when the code is compiled. A hole is named by its number in the block array. */
#ifndef HW_CORE_FIT_INDEX_H
#define HW_CORE_FIT_INDEX_H

#include "core/fit.h"
#include "core/two_level.h"

typedef struct { /* a hole as it was when it was put into the index */
    uint32_t offset, size;
} hw_fit_extent;

HW_FUSED hw_fit_block *hw_fit_blocks(const hw_fit *fit) {
    return (hw_fit_block *)((char *)fit + ((sizeof *fit + 63) & ~(size_t)63));
}

HW_FUSED void *hw_fit_index(const hw_fit *fit) { return (char *)fit + fit->index_bytes_before; }

HW_FUSED hw_ordered_node *hw_fit_nodes(const hw_fit *fit) { return hw_fit_index(fit); }
HW_FUSED hw_segregated_link *hw_fit_links(const hw_fit *fit) { return hw_fit_index(fit); }

HW_FUSED hw_fit_extent hw_fit_extent_of(const hw_fit *fit, uint32_t number) {
    const hw_fit_block *block = &hw_fit_blocks(fit)[number];
    return (hw_fit_extent){block->offset, block->size};
}

/* ------------------------------------------------------------------------------------------------------ the keys */

HW_FUSED bool hw_fit_by_class(enum hw_strategy strategy) { return strategy == HW_TLSF || strategy == HW_BUDDY; }

HW_FUSED bool hw_fit_by_address(enum hw_strategy strategy) {
    return strategy == HW_FIRST_FIT || strategy == HW_NEXT_FIT;
}

/* The list that a hole is in. A buddy's size is a power of two. */
HW_FUSED uint32_t hw_fit_class(enum hw_strategy strategy, uint32_t size) {
    return strategy == HW_BUDDY ? (uint32_t)__builtin_ctz(size) : hw_two_level_class(size);
}

/* How many classes a space of `capacity` granules has. */
HW_FUSED uint32_t hw_fit_classes(enum hw_strategy strategy, uint32_t capacity) {
    return strategy == HW_BUDDY ? 32 - (uint32_t)__builtin_clz(capacity | 1) : hw_two_level_class(capacity) + 1;
}

/* Where a hole stands in the ordered set: its order is the order in which the strategy tries holes. */
HW_FUSED hw_ordered_entry hw_fit_entry(enum hw_strategy strategy, hw_fit_extent hole, uint32_t number) {
    if (hw_fit_by_address(strategy)) return (hw_ordered_entry){hole.offset, number, hole.size};
    uint64_t rank = strategy == HW_BEST_FIT ? hole.size : UINT32_MAX - hole.size;
    return (hw_ordered_entry){rank << 32 | hole.offset, number, 0};
}

/* ------------------------------------------------------------------------------------------- putting in, taking out */

HW_FUSED uint32_t hw_fit_holes(const hw_fit *fit, enum hw_strategy strategy) {
    return hw_fit_by_class(strategy) ? fit->index.lists.count : fit->index.ordered.count;
}

HW_FUSED void hw_fit_index_insert(hw_fit *fit, enum hw_strategy strategy, uint32_t number, hw_fit_extent hole) {
    if (hw_fit_by_class(strategy))
        hw_segregated_insert(&fit->index.lists, hw_fit_links(fit), hw_fit_class(strategy, hole.size), number);
    else
        hw_ordered_insert(&fit->index.ordered, hw_fit_nodes(fit), hw_fit_entry(strategy, hole, number));
}

HW_FUSED void hw_fit_index_erase(hw_fit *fit, enum hw_strategy strategy, uint32_t number, hw_fit_extent hole) {
    if (hw_fit_by_class(strategy))
        hw_segregated_erase(&fit->index.lists, hw_fit_links(fit), hw_fit_class(strategy, hole.size), number);
    else
        hw_ordered_erase(&fit->index.ordered, hw_fit_nodes(fit), hw_fit_entry(strategy, hole, number).key);
}

/* The hole `number` is in the index as it was; from now on it is there as it is: in its class the newest. */
HW_FUSED void hw_fit_index_change(hw_fit *fit, enum hw_strategy strategy, uint32_t number, hw_fit_extent was,
                                  hw_fit_extent hole) {
    if (hw_fit_by_class(strategy)) {
        hw_segregated_erase(&fit->index.lists, hw_fit_links(fit), hw_fit_class(strategy, was.size), number);
        hw_segregated_insert(&fit->index.lists, hw_fit_links(fit), hw_fit_class(strategy, hole.size), number);
    } else {
        hw_ordered_replace(&fit->index.ordered, hw_fit_nodes(fit), hw_fit_entry(strategy, was, number).key,
                           hw_fit_entry(strategy, hole, number));
    }
}

/* This place of the index is going to be needed. */
HW_FUSED void hw_fit_index_expect(const hw_fit *fit, enum hw_strategy strategy, hw_fit_extent hole) {
    if (!hw_fit_by_class(strategy))
        hw_ordered_expect(&fit->index.ordered, hw_fit_nodes(fit), hw_fit_entry(strategy, hole, 0).key);
}

/* ------------------------------------------------------------------------------------------------------- the choice */

typedef struct { /* what a request gets */
    uint32_t number, front; /* the hole, and the granules to skip at its start */
    hw_fit_extent hole;
} hw_fit_choice;

/* First, best, worst and next fit: the first hole, in the order of the index, that the request fits into. */
HW_FUSED bool hw_fit_choose_exact(const hw_fit *fit, enum hw_strategy strategy, uint32_t size, uint64_t alignment,
                                  hw_fit_choice *choice) {
    const hw_ordered_node *nodes = hw_fit_nodes(fit);
    bool weighted = hw_fit_by_address(strategy), wrapped = strategy != HW_NEXT_FIT;
    uint64_t from = strategy == HW_BEST_FIT ? (uint64_t)size << 32 : wrapped ? 0 : fit->rover;
    uint64_t beyond = UINT64_MAX;
    for (;;) {
        hw_ordered_entry hole;
        if (!hw_ordered_first(&fit->index.ordered, nodes, from, size, weighted, &hole) || hole.key >= beyond) {
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
            *choice = (hw_fit_choice){hole.reference, (uint32_t)skip, {offset, room}};
            return true;
        }
        from = hole.key + 1;
    }
}

/* The newest hole of a class that has one, if the request fits into it. */
HW_FUSED bool hw_fit_try_class(const hw_fit *fit, uint32_t class, uint32_t size, uint64_t alignment, hw_fit_choice *choice) {
    if (class == HW_STRATEGY_NONE) return false;
    uint32_t newest = hw_segregated_newest(&fit->index.lists, hw_fit_links(fit), class);
    hw_fit_extent hole = hw_fit_extent_of(fit, newest);
    uint64_t skip = (0 - (uint64_t)hole.offset) & (alignment - 1);
    if (skip + size > hole.size) return false;
    *choice = (hw_fit_choice){newest, (uint32_t)skip, hole};
    return true;
}

/* TLSF: three holes are looked at, at most, and each is the newest of its class:
 *   1. of the first class from search(size) on. Without alignment it fits (G2)
 *   2. of the first class from search(size + alignment - 1) on: it fits wherever it starts
 *   3. of the class of `size` itself, which may have holes that are smaller. Textbooks leave it out, and then a space of
 *      1000 granules has no room for a block of 1000
 * So bottom means: no hole has n + n/S granules, where n = size + alignment - 1 (G3). */
HW_FUSED bool hw_fit_choose_good(const hw_fit *fit, uint32_t size, uint64_t alignment, hw_fit_choice *choice) {
    const hw_segregated *lists = &fit->index.lists;
    uint32_t from = hw_segregated_from(lists, hw_two_level_search(size));
    if (hw_fit_try_class(fit, from, size, alignment, choice)) return true;
    uint64_t room = size + alignment - 1;
    if (alignment > 1 && room <= fit->capacity) {
        from = hw_segregated_from(lists, hw_two_level_search((uint32_t)room));
        if (hw_fit_try_class(fit, from, size, alignment, choice)) return true;
    }
    uint32_t own = hw_two_level_class(size);
    return hw_segregated_from(lists, own) == own && hw_fit_try_class(fit, own, size, alignment, choice);
}

/* The hole that the strategy chooses for `size` granules aligned to `alignment` granules; false: none fits. */
HW_FUSED bool hw_fit_choose(const hw_fit *fit, enum hw_strategy strategy, uint32_t size, uint64_t alignment,
                            hw_fit_choice *choice) {
    return strategy == HW_TLSF ? hw_fit_choose_good(fit, size, alignment, choice)
                               : hw_fit_choose_exact(fit, strategy, size, alignment, choice);
}

#endif
