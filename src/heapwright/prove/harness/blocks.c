/* One operation of core/fit.h from EVERY valid state of at most PRE blocks and N granules, for CBMC.
 *
 *     -DSTRATEGY=HW_BEST_FIT -DPRE=3 -DN=4   --function allocate | release | resize | reach
 *
 * A state is built and not met: each sequence of sizes, of live and free, of slacks; so every reachable heap of that size
 * is among them, up to the numbers of its entries. That the next state is valid again makes it an induction over all
 * operations, however many there were.
 *
 * The parts of the control region are objects of their own here (heapwright.prove.bounded patches three accessors to that):
 * in one region every write would be one to all of it, which takes a hundred times as long, and an overrun from one part
 * into the next would go unseen. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/ordered.h"

/* memmove and memset of whole entries, which CBMC would take apart into bytes. */
#define memmove(to, from, bytes) \
    do { \
        __typeof__(*(to)) *to_ = (to); \
        const __typeof__(*(from)) *from_ = (from); \
        __typeof__(*(to)) kept_[HW_ORDERED_MAX + 1]; \
        uint32_t n_ = (uint32_t)((bytes) / sizeof *to_); \
        for (uint32_t i_ = 0; i_ < HW_ORDERED_MAX + 1; i_++) \
            if (i_ < n_) kept_[i_] = from_[i_]; \
        for (uint32_t i_ = 0; i_ < HW_ORDERED_MAX + 1; i_++) \
            if (i_ < n_) to_[i_] = kept_[i_]; \
    } while (0)
static void clear_node(void *at) { *(hw_ordered_node *)at = (hw_ordered_node){0}; }
static void greatest_keys(void *at) {
    for (uint32_t i = 0; i < HW_ORDERED_MAX; i++) ((uint64_t *)at)[i] = UINT64_MAX;
}
#define memset(at, value, bytes) _Generic((at), hw_ordered_node *: clear_node, default: greatest_keys)((void *)(at))
#include "core/ordered.c"
#include "core/segregated.c"
#undef memmove
#undef memset

#include "core/fit.h"
#ifndef SPARE
#define SPARE 2 /* one operation describes at most two more blocks; buddy, at N = 8, three */
#endif
#define ENTRIES (PRE + SPARE)
#define HEADS (2 * HW_SEGREGATED_ROW)
static hw_fit heap;
static hw_fit_block hw_prove_blocks[ENTRIES];
static hw_ordered_node hw_prove_nodes[1]; /* as many holes as there can be are one leaf: a split would fail an assertion */
static hw_segregated_link hw_prove_links[HEADS + ENTRIES];
#include "core/fit.c"

uint64_t nondet_u64(void);
uint32_t nondet_u32(void);
_Bool nondet_bool(void);
#define ASSUME(condition) __CPROVER_assume(condition)
#define ASSERT(condition, words) __CPROVER_assert(condition, words)
#define SHIFT 4
#define BY_CLASS (STRATEGY == HW_TLSF || STRATEGY == HW_BUDDY)

static struct { /* what was there before */
    uint32_t count, start[PRE], size[PRE], slack[PRE], surplus[PRE];
    _Bool live[PRE];
    hw_strategy_totals totals;
} before;

static uint32_t power(uint32_t granules) { return granules <= 1 ? 1 : granules <= 2 ? 2 : granules <= 4 ? 4 : 8; }

static void any_block(uint32_t i, uint32_t at) {
    uint32_t size = nondet_u32(), slack = 0, surplus = 0;
    _Bool live = nondet_bool();
    ASSUME(size >= 1 && size <= N && at + size <= N);
    if (live) {
        slack = nondet_u32();
        if (STRATEGY == HW_BUDDY) surplus = nondet_u32();
        ASSUME(surplus < size && (slack < 16 || (slack == 16 && size - surplus == 1 && size == 1)));
    }
    if (STRATEGY == HW_BUDDY) {
        ASSUME((size & (size - 1)) == 0 && (at & (size - 1)) == 0 && power(size - surplus) == size);
        if (i > 0 && !live && !before.live[i - 1]) ASSUME(before.size[i - 1] != size || (before.start[i - 1] & size) != 0);
    } else if (i > 0) {
        ASSUME(live || before.live[i - 1]);
    }
    before.start[i] = at, before.size[i] = size, before.live[i] = live, before.slack[i] = slack, before.surplus[i] = surplus;
}

static void any_state(void) {
    uint32_t at = 0, holes = 0, count = nondet_u32();
    uint64_t allocated = 0, requested = 0, live = 0;
    ASSUME(count >= 1 && count <= PRE);
    for (uint32_t i = 0; i < PRE; i++) {
        if (i >= count) break;
        any_block(i, at);
        hw_prove_blocks[i] = (hw_fit_block){at, before.size[i], i > 0 ? i - 1 : HW_STRATEGY_NONE,
                                            i + 1 < count ? i + 1 : HW_STRATEGY_NONE,
                                            before.slack[i] << 1 | before.live[i]};
        at += before.size[i];
        if (!before.live[i]) holes++;
        else live++, allocated += before.size[i] << SHIFT,
             requested += ((before.size[i] - before.surplus[i]) << SHIFT) - before.slack[i];
    }
    before.count = count;
    heap = (hw_fit){.head = {(uint64_t)at << SHIFT, SHIFT, STRATEGY, HW_STRATEGY_NONE}, .capacity = at,
                    .blocks_capacity = ENTRIES, .blocks_used = count, .retired = HW_STRATEGY_NONE};
    uint64_t capacity_bytes = (uint64_t)at << SHIFT;
    heap.totals = (hw_strategy_totals){.requested = requested, .allocated = allocated, .free = capacity_bytes - allocated,
                                       .peak_requested = requested, .peak_allocated = allocated, .blocks = live,
                                       .total_blocks = live, .peak_blocks = live, .holes = holes};
    before.totals = heap.totals;
    if (BY_CLASS) {
        hw_segregated_init(&heap.index.lists, hw_prove_links, HEADS);
        for (uint32_t i = 0; i < PRE; i++)
            if (STRATEGY == HW_BUDDY && i < count && before.live[i]) *hw_fit_surplus(&heap, i) = before.surplus[i];
    } else {
        hw_ordered_init(&heap.index.ordered, hw_prove_nodes, 1);
    }
    _Bool oldest_first = nondet_bool();
    for (uint32_t i = 0; i < PRE; i++) {
        uint32_t hole = oldest_first ? i : PRE - 1 - i;
        if (hole >= count || before.live[hole]) continue;
        hw_fit_index_insert(&heap, STRATEGY, hole, (hw_fit_extent){before.start[hole], before.size[hole]});
    }
    if (STRATEGY == HW_NEXT_FIT) {
        heap.rover = nondet_u32();
        ASSUME(heap.rover <= at);
        for (uint32_t i = 0; i < PRE; i++)
            if (i < count && !before.live[i])
                ASSUME(!(before.start[i] < heap.rover && heap.rover < before.start[i] + before.size[i]));
    }
}

/* I6 for one hole, whose class or place is as it must be. */
static _Bool indexed(uint32_t number) {
    const hw_fit_block *hole = &hw_prove_blocks[number];
    if (BY_CLASS) {
        const hw_segregated *lists = &heap.index.lists;
        uint32_t class = hw_fit_class(STRATEGY, hole->size), at = hw_segregated_at(lists, number);
        if (class >= HEADS || !(lists->nonempty[class / HW_SEGREGATED_ROW] >> class % HW_SEGREGATED_ROW & 1)) return 0;
        for (uint32_t i = 0; i <= ENTRIES; i++) {
            uint32_t next = hw_prove_links[at].next;
            if (next >= HEADS + ENTRIES || hw_prove_links[next].previous != at) return 0;
            at = next;
            if (at < HEADS) return at == class;
        }
        return 0;
    }
    hw_ordered_entry entry = hw_fit_entry(STRATEGY, (hw_fit_extent){hole->offset, hole->size}, number);
    const hw_ordered_node *leaf = &hw_prove_nodes[0];
    _Bool found = 0;
    for (uint32_t i = 0; i < HW_ORDERED_MAX; i++)
        if (i < leaf->count && leaf->key[i] == entry.key && leaf->reference[i] == number && leaf->weight[i] == entry.weight)
            found = 1;
    return found;
}

/* I1 to I7 and I9, by a walk of our own; that the core's walk agrees is lock-step's business. */
static void assert_valid(void) {
    uint32_t number = heap.first, previous = HW_STRATEGY_NONE, end = 0, holes = 0, listed = 0;
    uint64_t allocated = 0, requested = 0, live = 0;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        if (number == HW_STRATEGY_NONE) break;
        ASSERT(number < heap.blocks_used, "I5: entries of the list are in use");
        hw_fit_block *b = &hw_prove_blocks[number];
        ASSERT(b->before == previous && b->offset == end && b->size >= 1, "I1: blocks and holes tile the space");
        end += b->size;
        listed++;
        if (b->slack_and_live & 1) {
            live++, allocated += (uint64_t)b->size << SHIFT, requested += hw_fit_requested(&heap, STRATEGY, number);
        } else {
            holes++;
            ASSERT(b->slack_and_live == 0, "I3: a hole has no slack");
            ASSERT(indexed(number), "I6: every hole is in the index");
            ASSERT(!(b->offset < heap.rover && heap.rover < end), "I7: the rover is inside no hole");
            if (hw_fit_is_hole(hw_prove_blocks, previous)) {
                const hw_fit_block *left = &hw_prove_blocks[previous];
                ASSERT(STRATEGY == HW_BUDDY && (left->size != b->size || (left->offset & left->size) != 0),
                       "I2: no two holes that could be one");
            }
        }
        if (STRATEGY == HW_BUDDY)
            ASSERT((b->size & (b->size - 1)) == 0 && (b->offset & (b->size - 1)) == 0, "I9: a power of two, and in its place");
        previous = number;
        number = b->after;
    }
    ASSERT(number == HW_STRATEGY_NONE && end == heap.capacity, "I1: up to the capacity, nothing lost");
    ASSERT(listed + heap.retired_count == heap.blocks_used, "I5: what is not in the list is retired");
    ASSERT(holes == hw_fit_holes(&heap, STRATEGY) && holes == heap.totals.holes, "I6: nothing but holes in the index");
    for (uint32_t class = 0; BY_CLASS && class < HEADS; class++) {
        _Bool bit = heap.index.lists.nonempty[class / HW_SEGREGATED_ROW] >> class % HW_SEGREGATED_ROW & 1;
        ASSERT(bit == (hw_prove_links[class].next != class), "L2: a class has its bit exactly if it has a hole");
    }
    const hw_strategy_totals *t = &heap.totals;
    ASSERT(t->allocated == allocated && t->requested == requested && t->blocks == live, "I4: counters are sums over the live");
    ASSERT(t->free + allocated == heap.head.capacity_bytes, "I4: live and free make up the capacity");
}

/* Live blocks but `except` are as they were: number, place, size and slack. */
static void assert_frame(uint32_t except) {
    for (uint32_t i = 0; i < PRE; i++) {
        if (i >= before.count || !before.live[i] || i == except) continue;
        const hw_fit_block *b = &hw_prove_blocks[i];
        ASSERT(b->offset == before.start[i] && b->size == before.size[i] &&
                   b->slack_and_live == (before.slack[i] << 1 | 1) &&
                   (STRATEGY != HW_BUDDY || *hw_fit_surplus(&heap, i) == before.surplus[i]),
               "another live block has changed");
    }
}

/* ------------------------------------------------------------------------------------------------------- allocate */

static uint32_t granules_of(uint64_t size_bytes) {
    return size_bytes == 0 ? 1 : (uint32_t)((size_bytes + (1 << SHIFT) - 1) >> SHIFT);
}

/* The definitions of first, best, worst and next fit: the granule, or UINT64_MAX for bottom. */
static uint64_t defined(uint32_t size, uint64_t alignment) {
    uint64_t chosen = UINT64_MAX;
    uint32_t chosen_size = 0;
    _Bool chosen_after = 0;
    for (uint32_t i = 0; i < PRE; i++) {
        if (i >= before.count || before.live[i]) continue;
        uint64_t start = (before.start[i] + (alignment - 1)) & ~(alignment - 1);
        if (start + size > before.start[i] + before.size[i]) continue;
        _Bool after = before.start[i] >= heap.rover, better = chosen == UINT64_MAX;
        if (STRATEGY == HW_BEST_FIT) better |= before.size[i] < chosen_size;
        if (STRATEGY == HW_WORST_FIT) better |= before.size[i] > chosen_size;
        if (STRATEGY == HW_NEXT_FIT) better |= after && !chosen_after;
        if (better) chosen = start, chosen_size = before.size[i], chosen_after = after;
    }
    return chosen;
}

/* TLSF and buddy may say bottom although something fits, but only where no hole has this many granules. */
static uint64_t certainly_enough(uint32_t size, uint64_t alignment) {
    if (STRATEGY == HW_BUDDY) return alignment > power(size) ? alignment : power(size);
    uint64_t room = size + alignment - 1;
    return room + (room >> HW_TWO_LEVEL_SECOND);
}

void allocate(void) {
    any_state();
    uint64_t size_bytes = nondet_u64(), alignment = nondet_u64(); /* ANY: a bound here would hide overflows */
    _Bool power_of_two = alignment != 0 && (alignment & (alignment - 1)) == 0;
    uint64_t align = power_of_two && alignment >> SHIFT != 0 ? alignment >> SHIFT : 1, expected = UINT64_MAX;
    _Bool sensible = power_of_two && size_bytes <= heap.head.capacity_bytes;
    uint32_t size = sensible ? granules_of(size_bytes) : 0, number;
    if (sensible && !BY_CLASS) expected = defined(size, align);
    hw_strategy_handle handle = {0};
    enum hw_strategy_result result = hw_fit_allocate_fused(&heap, STRATEGY, size_bytes, alignment, &handle);

    ASSERT((result == HW_STRATEGY_BAD_ARGUMENT) == !power_of_two, "refused: exactly what is no power of two");
    ASSERT(result != HW_STRATEGY_CONTROL_FULL, "the spare entries are enough");
    if (power_of_two && !BY_CLASS) ASSERT((result == HW_STRATEGY_OK) == (expected != UINT64_MAX), "bottom: exactly where nothing fits");
    if (result == HW_STRATEGY_OK) {
        number = handle.number;
        const hw_fit_block *b = &hw_prove_blocks[number];
        ASSERT(number < ENTRIES && (b->slack_and_live & 1) && (uint64_t)b->offset << SHIFT == handle.offset_bytes, "the handle is live");
        ASSERT((handle.offset_bytes & (alignment - 1)) == 0, "aligned");
        ASSERT((uint64_t)b->size << SHIFT >= size_bytes && handle.offset_bytes + size_bytes <= heap.head.capacity_bytes,
               "large enough, and inside");
        if (!BY_CLASS) ASSERT(b->offset == expected, "the hole that the definition chooses");
        ASSERT(STRATEGY == HW_BUDDY ? b->size < 2 * size : b->size == size, "no larger than it must be");
        ASSERT(heap.totals.requested == before.totals.requested + size_bytes && heap.totals.blocks == before.totals.blocks + 1,
               "counted");
        for (uint32_t i = 0; i < PRE; i++)
            if (i < before.count && before.live[i])
                ASSERT(b->offset + b->size <= before.start[i] || before.start[i] + before.size[i] <= b->offset,
                       "disjoint from every live block");
    } else {
        for (uint32_t i = 0; i < PRE; i++)
            if (BY_CLASS && sensible && i < before.count && !before.live[i])
                ASSERT(before.size[i] < certainly_enough(size, align), "bottom: not where a hole is certainly large enough");
        number = HW_STRATEGY_NONE;
        ASSERT(heap.totals.blocks == before.totals.blocks && heap.totals.holes == before.totals.holes, "nothing has changed");
    }
    assert_frame(HW_STRATEGY_NONE);
    assert_valid();
}

/* -------------------------------------------------------------------------------------------------- release, resize */

static hw_strategy_handle any_handle(_Bool *live) {
    hw_strategy_handle handle = {nondet_u64(), nondet_u32()};
    *live = handle.number < before.count && before.live[handle.number] &&
            (uint64_t)before.start[handle.number] << SHIFT == handle.offset_bytes;
    return handle;
}

void release(void) {
    any_state();
    _Bool live;
    hw_strategy_handle handle = any_handle(&live);
    enum hw_strategy_result result = hw_fit_free_fused(&heap, STRATEGY, handle);
    ASSERT((result == HW_STRATEGY_OK) == live, "accepted: exactly the live blocks");
    ASSERT(heap.totals.blocks == before.totals.blocks - live, "one live block fewer, or none");
    ASSERT(!live || hw_fit_free_fused(&heap, STRATEGY, handle) == HW_STRATEGY_NOT_LIVE, "not twice");
    assert_frame(live ? handle.number : HW_STRATEGY_NONE);
    assert_valid();
}

void resize(void) {
    any_state();
    _Bool live;
    hw_strategy_handle handle = any_handle(&live);
    uint64_t size_bytes = nondet_u64();
    enum hw_strategy_result result = hw_fit_resize(&heap, handle, size_bytes);
    ASSERT((result == HW_STRATEGY_NOT_LIVE) == !live, "refused: exactly what is not live");
    ASSERT(result != HW_STRATEGY_CONTROL_FULL, "the spare entries are enough");
    if (live && !BY_CLASS) {
        uint32_t i = handle.number, next = i + 1 < before.count && !before.live[i + 1] ? before.size[i + 1] : 0;
        _Bool fits = size_bytes <= heap.head.capacity_bytes && granules_of(size_bytes) <= before.size[i] + next;
        ASSERT((result == HW_STRATEGY_OK) == fits, "in place: exactly where there is room behind it");
    }
    if (result == HW_STRATEGY_OK) {
        const hw_fit_block *b = &hw_prove_blocks[handle.number];
        ASSERT((uint64_t)b->offset << SHIFT == handle.offset_bytes && (uint64_t)b->size << SHIFT >= size_bytes, "where it was, large enough");
        ASSERT(hw_fit_requested(&heap, STRATEGY, handle.number) == size_bytes, "what was requested is known");
    }
    assert_frame(live ? handle.number : HW_STRATEGY_NONE);
    assert_valid();
}

/* Must FAIL: else the states contradict each other, and everything above holds of nothing. */
void reach(void) {
    any_state();
    ASSERT(before.totals.blocks != 1 || before.totals.holes != PRE - 1, "such a state exists");
}
