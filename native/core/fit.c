#include "core/fit.h"

#include <assert.h>
#include <string.h>

#include "core/fit_fused.h"

static enum hw_strategy strategy_of(const hw_fit *fit) { return (enum hw_strategy)fit->head.strategy; }

static size_t round_up_64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

static size_t head_bytes(void) { return round_up_64(sizeof(hw_fit)); }
static size_t blocks_bytes(uint32_t blocks) { return round_up_64(blocks * sizeof(hw_fit_block)); }

/* Of the index, for so many blocks. Between two holes is a live block, so at most every second block is a hole. */
static size_t index_bytes(enum hw_strategy strategy, uint32_t capacity, uint32_t blocks) {
    if (!hw_fit_by_class(strategy)) return (size_t)HW_ORDERED_NODES(blocks / 2 + 1) * sizeof(hw_ordered_node);
    return (hw_segregated_heads(hw_fit_classes(strategy, capacity)) + (size_t)blocks) * sizeof(hw_segregated_link);
}

size_t hw_fit_control_bytes(enum hw_strategy strategy, uint32_t capacity, uint32_t blocks) {
    return head_bytes() + blocks_bytes(blocks) + round_up_64(index_bytes(strategy, capacity, blocks));
}

static void lay_out(hw_fit *fit, uint32_t blocks) {
    fit->blocks_capacity = blocks;
    fit->index_bytes_before = head_bytes() + blocks_bytes(blocks);
}

/* The next hole at the end of the list. */
static uint32_t append_hole(hw_fit *fit, uint32_t last, uint32_t size) {
    uint32_t start = last == HW_STRATEGY_NONE ? 0 : hw_fit_blocks(fit)[last].offset + hw_fit_blocks(fit)[last].size;
    uint32_t number = hw_fit_new_block(fit, (hw_fit_block){start, size, last, HW_STRATEGY_NONE, 0});
    hw_fit_index_insert(fit, strategy_of(fit), number, (hw_fit_extent){start, size});
    fit->totals.holes++;
    return number;
}

enum hw_strategy_result hw_fit_init(void *control, uint32_t blocks, enum hw_strategy strategy, uint64_t capacity_bytes,
                                    uint32_t granule_bytes) {
    bool granule_ok = granule_bytes != 0 && granule_bytes <= 1u << 30 && (granule_bytes & (granule_bytes - 1)) == 0;
    bool ok = granule_ok && blocks >= 4 && blocks <= UINT32_MAX / 2 && (unsigned)strategy <= HW_BUDDY;
    if (!ok) return HW_STRATEGY_BAD_ARGUMENT;
    uint64_t capacity = capacity_bytes / granule_bytes;
    if (capacity == 0 || capacity >= UINT32_MAX) return HW_STRATEGY_BAD_ARGUMENT;
    if (strategy == HW_BUDDY && (uint32_t)__builtin_popcountll(capacity) > blocks) return HW_STRATEGY_BAD_ARGUMENT;
    hw_fit *fit = control;
    *fit = (hw_fit){
        .head = {capacity * granule_bytes, (uint32_t)__builtin_ctz(granule_bytes), strategy, HW_STRATEGY_NONE},
        .capacity = (uint32_t)capacity,
        .first = HW_STRATEGY_NONE,
        .retired = HW_STRATEGY_NONE,
        .totals = {.free = capacity * granule_bytes},
    };
    lay_out(fit, blocks);
    if (hw_fit_by_class(strategy))
        hw_segregated_init(&fit->index.lists, hw_fit_links(fit), hw_fit_classes(strategy, fit->capacity));
    else
        hw_ordered_init(&fit->index.ordered, hw_fit_nodes(fit), HW_ORDERED_NODES(blocks / 2 + 1));
    if (strategy != HW_BUDDY) {
        append_hole(fit, HW_STRATEGY_NONE, fit->capacity);
        return HW_STRATEGY_OK;
    }
    uint32_t last = HW_STRATEGY_NONE; /* the binary digits of the capacity, the greatest first */
    for (uint32_t power = 1u << 31; power != 0; power /= 2)
        if (fit->capacity & power) last = append_hole(fit, last, power);
    return HW_STRATEGY_OK;
}

hw_fit *hw_fit_grow(const hw_fit *fit, void *larger, uint32_t blocks) {
    assert(blocks >= fit->blocks_capacity && blocks <= UINT32_MAX / 2);
    hw_fit *grown = larger;
    *grown = *fit;
    lay_out(grown, blocks);
    memcpy(hw_fit_blocks(grown), hw_fit_blocks(fit), fit->blocks_used * sizeof(hw_fit_block));
    if (hw_fit_by_class(strategy_of(fit))) {
        memcpy(hw_fit_index(grown), hw_fit_index(fit), index_bytes(strategy_of(fit), fit->capacity, fit->blocks_used));
    } else {
        grown->index.ordered.capacity = HW_ORDERED_NODES(blocks / 2 + 1);
        memcpy(hw_fit_index(grown), hw_fit_index(fit), fit->index.ordered.nodes * sizeof(hw_ordered_node));
    }
    return grown;
}

enum hw_strategy_result hw_fit_allocate(hw_fit *fit, uint64_t size_bytes, uint64_t alignment, hw_strategy_handle *handle) {
    switch (strategy_of(fit)) { /* direct, well-predicted branches into compiled variants */
    case HW_FIRST_FIT: return hw_fit_allocate_fused(fit, HW_FIRST_FIT, size_bytes, alignment, handle);
    case HW_BEST_FIT: return hw_fit_allocate_fused(fit, HW_BEST_FIT, size_bytes, alignment, handle);
    case HW_WORST_FIT: return hw_fit_allocate_fused(fit, HW_WORST_FIT, size_bytes, alignment, handle);
    case HW_NEXT_FIT: return hw_fit_allocate_fused(fit, HW_NEXT_FIT, size_bytes, alignment, handle);
    case HW_TLSF: return hw_fit_allocate_fused(fit, HW_TLSF, size_bytes, alignment, handle);
    default: return hw_fit_allocate_fused(fit, HW_BUDDY, size_bytes, alignment, handle);
    }
}

enum hw_strategy_result hw_fit_free(hw_fit *fit, hw_strategy_handle handle) {
    switch (strategy_of(fit)) {
    case HW_TLSF: return hw_fit_free_fused(fit, HW_TLSF, handle);
    case HW_BUDDY: return hw_fit_free_fused(fit, HW_BUDDY, handle);
    default: return hw_fit_free_fused(fit, strategy_of(fit), handle);
    }
}

/* The last `by` granules of a live block become free. */
static enum hw_strategy_result shrink(hw_fit *fit, uint32_t number, uint32_t by) {
    hw_fit_block *blocks = hw_fit_blocks(fit), *block = &blocks[number];
    uint32_t start = block->offset + block->size - by, hole = block->after;
    if (hw_fit_is_hole(blocks, hole)) {
        hw_fit_extent was = hw_fit_extent_of(fit, hole);
        blocks[hole].offset = start;
        blocks[hole].size += by;
        hw_fit_index_change(fit, strategy_of(fit), hole, was, hw_fit_extent_of(fit, hole));
    } else {
        if (hw_fit_spare_blocks(fit) < 1) return HW_STRATEGY_CONTROL_FULL;
        hole = hw_fit_new_block(fit, (hw_fit_block){start, by, number, block->after, 0});
        hw_fit_index_insert(fit, strategy_of(fit), hole, (hw_fit_extent){start, by});
        fit->totals.holes++;
    }
    block->size -= by;
    hw_fit_settle_rover(fit, strategy_of(fit), start, start + blocks[hole].size);
    return HW_STRATEGY_OK;
}

/* A live block takes the first `by` granules of the hole after it. */
static enum hw_strategy_result extend(hw_fit *fit, uint32_t number, uint32_t by) {
    hw_fit_block *blocks = hw_fit_blocks(fit), *block = &blocks[number];
    uint32_t hole = block->after;
    if (!hw_fit_is_hole(blocks, hole) || blocks[hole].size < by) return HW_STRATEGY_NO_MEMORY;
    if (blocks[hole].size == by) {
        hw_fit_index_erase(fit, strategy_of(fit), hole, hw_fit_extent_of(fit, hole));
        hw_fit_retire(fit, hole);
        fit->totals.holes--;
    } else {
        hw_fit_extent was = hw_fit_extent_of(fit, hole);
        blocks[hole].offset += by;
        blocks[hole].size -= by;
        hw_fit_index_change(fit, strategy_of(fit), hole, was, hw_fit_extent_of(fit, hole));
    }
    block->size += by;
    return HW_STRATEGY_OK;
}

enum hw_strategy_result hw_fit_resize(hw_fit *fit, hw_strategy_handle handle, uint64_t size_bytes) {
    if (!hw_fit_is_live(fit, handle)) return HW_STRATEGY_NOT_LIVE;
    if (size_bytes > fit->head.capacity_bytes) return HW_STRATEGY_NO_MEMORY;
    hw_fit_block *block = &hw_fit_blocks(fit)[handle.number];
    uint64_t old_requested = hw_fit_requested(fit, strategy_of(fit), handle.number);
    uint64_t old_allocated = (uint64_t)block->size << fit->head.granule_shift;
    uint32_t slack_and_live, size = hw_fit_granules(fit, size_bytes, &slack_and_live);
    enum hw_strategy_result result = strategy_of(fit) == HW_BUDDY ? hw_buddy_resize(fit, handle.number, size)
                                     : size < block->size         ? shrink(fit, handle.number, block->size - size)
                                     : size > block->size         ? extend(fit, handle.number, size - block->size)
                                                                  : HW_STRATEGY_OK;
    if (result != HW_STRATEGY_OK) return result;
    block->slack_and_live = slack_and_live;
    hw_strategy_totals *t = &fit->totals;
    uint64_t allocated = (uint64_t)block->size << fit->head.granule_shift;
    t->requested -= old_requested;
    t->allocated -= old_allocated;
    t->free += old_allocated;
    hw_fit_count_in(t, size_bytes, allocated);
    if (size_bytes > old_requested) t->total_requested += size_bytes - old_requested;
    if (allocated > old_allocated) t->total_allocated += allocated - old_allocated;
    return HW_STRATEGY_OK;
}

/* The greatest hole of the highest class that has one. */
static uint32_t largest_by_class(const hw_fit *fit) {
    const hw_segregated *lists = &fit->index.lists;
    if (lists->nonempty_rows == 0) return 0;
    uint32_t row = 31 - (uint32_t)__builtin_clz(lists->nonempty_rows), granules = 0;
    uint32_t class = row * HW_SEGREGATED_ROW + 31 - (uint32_t)__builtin_clz(lists->nonempty[row]);
    uint32_t first = hw_segregated_at(lists, 0);
    for (uint32_t at = hw_fit_links(fit)[class].next; at != class; at = hw_fit_links(fit)[at].next)
        if (hw_fit_blocks(fit)[at - first].size > granules) granules = hw_fit_blocks(fit)[at - first].size;
    return granules;
}

/* Exact fits: the heaviest entry by address, the last or the first by size. */
static uint32_t largest_in_order(const hw_fit *fit) {
    const hw_ordered_node *nodes = hw_fit_nodes(fit), *root = &nodes[fit->index.ordered.root];
    uint32_t granules = 0;
    hw_ordered_entry greatest = {0};
    if (hw_fit_by_address(strategy_of(fit))) {
        for (uint32_t i = 0; i < root->count; i++)
            if (root->weight[i] > granules) granules = root->weight[i];
    } else if (strategy_of(fit) == HW_BEST_FIT) {
        if (hw_ordered_last(&fit->index.ordered, nodes, &greatest)) granules = (uint32_t)(greatest.key >> 32);
    } else if (hw_ordered_first(&fit->index.ordered, nodes, 0, 0, false, &greatest)) {
        granules = UINT32_MAX - (uint32_t)(greatest.key >> 32);
    }
    return granules;
}

uint64_t hw_fit_largest_hole(const hw_fit *fit) {
    uint32_t granules = hw_fit_by_class(strategy_of(fit)) ? largest_by_class(fit) : largest_in_order(fit);
    return (uint64_t)granules << fit->head.granule_shift;
}

hw_strategy_seen hw_fit_see(const hw_fit *fit, uint32_t number) {
    const hw_fit_block *block = &hw_fit_blocks(fit)[number];
    bool live = block->slack_and_live & 1;
    return (hw_strategy_seen){
        .offset_bytes = (uint64_t)block->offset << fit->head.granule_shift,
        .size_bytes = (uint64_t)block->size << fit->head.granule_shift,
        .requested_bytes = live ? hw_fit_requested(fit, strategy_of(fit), number) : 0,
        .live = live,
        .next = block->after,
    };
}

/* I6 for one hole: in order, the first entry from its key on is it; by class, who should lead to it does. */
static bool is_indexed(const hw_fit *fit, uint32_t number) {
    hw_fit_extent hole = hw_fit_extent_of(fit, number);
    if (hw_fit_by_class(strategy_of(fit))) {
        const hw_segregated_link *links = hw_fit_links(fit);
        uint32_t first = hw_segregated_at(&fit->index.lists, 0), class = hw_fit_class(strategy_of(fit), hole.size);
        uint32_t previous = links[first + number].previous;
        if (previous < first) return previous == class && links[class].next == first + number;
        return previous - first < fit->blocks_used && links[previous].next == first + number &&
               hw_fit_class(strategy_of(fit), hw_fit_blocks(fit)[previous - first].size) == class;
    }
    hw_ordered_entry expected = hw_fit_entry(strategy_of(fit), hole, number), found;
    return hw_ordered_first(&fit->index.ordered, hw_fit_nodes(fit), expected.key, 0, false, &found) &&
           found.key == expected.key && found.reference == number && found.weight == expected.weight;
}

static const char *check_index(const hw_fit *fit) {
    if (fit->index_bytes_before != head_bytes() + blocks_bytes(fit->blocks_capacity)) return "I6";
    if (!hw_fit_by_class(strategy_of(fit))) return hw_ordered_check(&fit->index.ordered, hw_fit_nodes(fit));
    if (fit->index.lists.heads != hw_segregated_heads(hw_fit_classes(strategy_of(fit), fit->capacity))) return "L2";
    return hw_segregated_check(&fit->index.lists, hw_fit_links(fit), fit->blocks_used);
}

/* I9 for one block or hole, whose neighbour on the right is in the list. */
static bool is_buddy(const hw_fit *fit, uint32_t number) {
    const hw_fit_block *block = &hw_fit_blocks(fit)[number];
    if ((block->size & (block->size - 1)) != 0 || (block->offset & (block->size - 1)) != 0) return false;
    if (!(block->slack_and_live & 1)) return true;
    uint32_t surplus = *hw_fit_surplus(fit, number);
    return surplus < block->size && hw_buddy_power(block->size - surplus) == block->size;
}

/* I2: may hole `number` follow hole `before`? */
static bool may_follow(const hw_fit *fit, uint32_t before, uint32_t number) {
    const hw_fit_block *left = &hw_fit_blocks(fit)[before], *right = &hw_fit_blocks(fit)[number];
    return strategy_of(fit) == HW_BUDDY && (left->size != right->size || (left->offset & left->size) != 0);
}

const char *hw_fit_check(const hw_fit *fit, uint64_t *where_offset_bytes) {
    const hw_fit_block *blocks = hw_fit_blocks(fit);
    uint64_t requested = 0, allocated = 0, live = 0, holes = 0, listed = 0, retired = 0, end = 0;
    uint32_t before = HW_STRATEGY_NONE;
    bool cursor_met = fit->head.cursor == HW_STRATEGY_NONE;
    *where_offset_bytes = 0;
    if (fit->blocks_used > fit->blocks_capacity) return "I5";
    const char *broken = check_index(fit);
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
        if (strategy_of(fit) == HW_BUDDY && !is_buddy(fit, number)) return "I9";
        if (block->slack_and_live & 1) {
            if (slack >= granule && !(slack == granule && block->size == 1)) return "I3";
            live++;
            allocated += (uint64_t)block->size << fit->head.granule_shift;
            requested += hw_fit_requested(fit, strategy_of(fit), number);
        } else {
            if (slack != 0) return "I3";
            if (hw_fit_is_hole(blocks, before) && !may_follow(fit, before, number)) return "I2";
            if (!is_indexed(fit, number)) return "I6";
            if (block->offset < fit->rover && fit->rover < end) return "I7";
            holes++;
        }
        before = number;
    }
    if (end != fit->capacity) return "I1";
    *where_offset_bytes = fit->head.capacity_bytes;
    if (holes != hw_fit_holes(fit, strategy_of(fit))) return "I6";
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
