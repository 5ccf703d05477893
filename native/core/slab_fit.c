#include "core/slab_fit.h"

#include <assert.h>
#include <string.h>

#include "core/slab_fit_region.h"

enum { SLACK_MAX = UINT8_MAX };

size_t hw_slab_fit_control_bytes(uint32_t blocks, uint32_t slabs) {
    return hw_slab_fit_round(sizeof(hw_slab_fit)) + hw_slab_fit_slabs_bytes(slabs) + hw_slab_fit_map_bytes(blocks) +
           hw_fit_control_bytes(HW_BEST_FIT, UINT32_MAX, blocks);
}

/* So that the classes lie at most SLACK_MAX + 1 bytes apart: up to 16 granules one, to 32 two, to 64 four. */
static uint32_t granules_max(uint32_t granule_bytes) {
    uint32_t most = HW_SLAB_FIT_GRANULES_MAX, apart = most / 16;
    for (; most >= 16 && apart * granule_bytes > SLACK_MAX + 1; apart /= 2) most /= 2;
    return most >= 16 ? most : 0;
}

enum hw_strategy_result hw_slab_fit_init(void *control, uint32_t blocks, uint32_t slabs, uint64_t capacity_bytes,
                                         uint32_t granule_bytes) {
    if (blocks < 4 || blocks > UINT32_MAX / 2 || slabs == 0 || slabs > HW_SLAB_FIT_SLABS_MAX) return HW_STRATEGY_BAD_ARGUMENT;
    hw_slab_fit *self = control;
    self->slabs_capacity = slabs; /* where the fit lies follows from these two */
    self->blocks_capacity = blocks;
    hw_fit *fit = hw_slab_fit_under(self);
    enum hw_strategy_result result = hw_fit_init(fit, blocks, HW_BEST_FIT, capacity_bytes, granule_bytes);
    if (result != HW_STRATEGY_OK) return result;
    *self = (hw_slab_fit){
        .head = {fit->head.capacity_bytes, fit->head.granule_shift, HW_SLAB, HW_STRATEGY_NONE},
        .granule_mask = granule_bytes - 1,
        .slot_bytes_max = (uint64_t)HW_SLAB_FIT_GRANULES_MAX * granule_bytes,
        .granules_max = granules_max(granule_bytes),
        .slabs_capacity = slabs,
        .blocks_capacity = blocks,
        .retired = HW_STRATEGY_NONE,
    };
    for (uint32_t less_one = 0; less_one < HW_SLAB_FIT_GRANULES_MAX; less_one++)
        self->class_of[less_one] = (uint8_t)hw_size_class(less_one + 1);
    for (uint32_t class = 0; class < HW_SLAB_FIT_CLASSES; class++)
        self->classes[class] = (hw_slab_fit_class){HW_STRATEGY_NONE, HW_STRATEGY_NONE, HW_STRATEGY_NONE, 0};
    memset(hw_slab_fit_map(self), 0xFF, hw_slab_fit_map_bytes(blocks)); /* HW_STRATEGY_NONE */
    return HW_STRATEGY_OK;
}

static bool lacks_slabs(const hw_slab_fit *slabs) {
    return slabs->retired == HW_STRATEGY_NONE && slabs->slabs_used == slabs->slabs_capacity;
}

void hw_slab_fit_wants(const hw_slab_fit *slabs, uint32_t *blocks, uint32_t *slab_records) {
    bool lacks_blocks = hw_fit_spare_blocks(hw_slab_fit_under(slabs)) < 2;
    *blocks = slabs->blocks_capacity << lacks_blocks;
    *slab_records = slabs->slabs_capacity << lacks_slabs(slabs);
}

hw_slab_fit *hw_slab_fit_grow(const hw_slab_fit *slabs, void *larger, uint32_t blocks, uint32_t slab_records) {
    assert(blocks >= slabs->blocks_capacity && slab_records >= slabs->slabs_capacity);
    assert(blocks <= UINT32_MAX / 2 && slab_records <= HW_SLAB_FIT_SLABS_MAX);
    hw_slab_fit *grown = larger;
    *grown = *slabs;
    grown->blocks_capacity = blocks;
    grown->slabs_capacity = slab_records;
    memcpy(hw_slab_fit_slabs(grown), hw_slab_fit_slabs(slabs), slabs->slabs_used * sizeof(hw_slab_fit_slab));
    memset(hw_slab_fit_map(grown), 0xFF, hw_slab_fit_map_bytes(blocks));
    memcpy(hw_slab_fit_map(grown), hw_slab_fit_map(slabs), slabs->blocks_capacity * sizeof(uint32_t));
    hw_fit_grow(hw_slab_fit_under(slabs), hw_slab_fit_under(grown), blocks);
    return grown;
}

/* ---- a walk that was interrupted ---- */

/* A live block of the fit, as the fit names it. */
static hw_strategy_handle in_fit(hw_strategy_handle handle) {
    return (hw_strategy_handle){handle.offset_bytes, handle.number & ~HW_SLAB_FIT_BLOCK};
}

/* K7: the fit moves its own cursor when blocks merge, so it has ours while it may do that. */
static uint32_t lend_cursor(hw_slab_fit *slabs) {
    uint32_t cursor = slabs->head.cursor, lent = cursor == HW_STRATEGY_NONE ? cursor : hw_slab_fit_block_of(slabs, cursor);
    hw_slab_fit_under(slabs)->head.cursor = lent;
    return lent;
}

static void take_cursor(hw_slab_fit *slabs, uint32_t lent) {
    uint32_t *cursor = &hw_slab_fit_under(slabs)->head.cursor;
    if (*cursor != lent) slabs->head.cursor = hw_slab_fit_in_walk(slabs, *cursor);
    *cursor = HW_STRATEGY_NONE;
}

/* ---- slabs ---- */

void hw_slab_fit_list(hw_slab_fit *slabs, uint32_t number) {
    hw_slab_fit_slab *all = hw_slab_fit_slabs(slabs), *slab = &all[number];
    hw_slab_fit_class *class = &slabs->classes[slab->class];
    if (class->last != HW_STRATEGY_NONE && all[class->last].free == HW_SLAB_FIT_ALL) { /* K3: it is not alone any more */
        class->spare = class->last;
        class->partial = class->last = HW_STRATEGY_NONE;
    }
    slab->next = HW_STRATEGY_NONE;
    slab->previous = class->last;
    if (class->last != HW_STRATEGY_NONE) all[class->last].next = number;
    else class->partial = number;
    class->last = number;
}

void hw_slab_fit_unlist(hw_slab_fit *slabs, uint32_t number) {
    hw_slab_fit_slab *all = hw_slab_fit_slabs(slabs), *slab = &all[number];
    hw_slab_fit_class *class = &slabs->classes[slab->class];
    if (slab->next != HW_STRATEGY_NONE) all[slab->next].previous = slab->previous;
    else class->last = slab->previous;
    if (slab->previous != HW_STRATEGY_NONE) all[slab->previous].next = slab->next;
    else class->partial = slab->next;
}

/* Puts a slab on the empty list of a class: its spare one, or a new one. */
static enum hw_strategy_result add_slab(hw_slab_fit *slabs, uint32_t class) {
    uint32_t spare = slabs->classes[class].spare;
    if (spare != HW_STRATEGY_NONE) {
        slabs->classes[class].spare = HW_STRATEGY_NONE;
        hw_slab_fit_list(slabs, spare);
        return HW_STRATEGY_OK;
    }
    if (lacks_slabs(slabs)) return HW_STRATEGY_CONTROL_FULL;
    uint32_t slot = hw_size_class_units(class), shift = slabs->head.granule_shift;
    uint64_t size_bytes = (uint64_t)slot * HW_SLAB_FIT_SLOTS << shift, alignment = (uint64_t)(slot & -slot) << shift;
    hw_strategy_handle handle;
    enum hw_strategy_result result = hw_fit_allocate_fused(hw_slab_fit_under(slabs), HW_BEST_FIT, size_bytes, alignment, &handle);
    if (result != HW_STRATEGY_OK) return result;
    uint32_t number = slabs->retired;
    hw_slab_fit_slab *all = hw_slab_fit_slabs(slabs);
    if (number != HW_STRATEGY_NONE) slabs->retired = all[number].next;
    else number = slabs->slabs_used++;
    all[number] = (hw_slab_fit_slab){
        .free = HW_SLAB_FIT_ALL,
        .offset_bytes = handle.offset_bytes,
        .slot_bytes = slot << shift,
        .block = handle.number,
        .class = class,
    };
    hw_slab_fit_map(slabs)[handle.number] = number;
    slabs->slabs++;
    hw_slab_fit_list(slabs, number);
    return HW_STRATEGY_OK;
}

/* An empty slab that is on no list becomes a hole of the fit. */
static void give_back(hw_slab_fit *slabs, uint32_t number) {
    hw_slab_fit_slab *slab = &hw_slab_fit_slabs(slabs)[number];
    hw_strategy_handle handle = {slab->offset_bytes, slab->block};
    uint32_t lent = lend_cursor(slabs);
    hw_slab_fit_map(slabs)[slab->block] = HW_STRATEGY_NONE;
    enum hw_strategy_result result = hw_fit_free_fused(hw_slab_fit_under(slabs), HW_BEST_FIT, handle);
    assert(result == HW_STRATEGY_OK); /* K1 */
    (void)result;
    uint32_t *cursor = &slabs->head.cursor;
    if (lent == handle.number && *cursor != HW_STRATEGY_NONE) *cursor = HW_SLAB_FIT_BLOCK | lent; /* no slot any more */
    take_cursor(slabs, lent);
    slab->block = HW_STRATEGY_NONE;
    slab->next = slabs->retired;
    slabs->retired = number;
    slabs->slabs--;
}

/* K3: the empty slab of a class, or HW_STRATEGY_NONE. */
static uint32_t empty_of(const hw_slab_fit *slabs, uint32_t class) {
    uint32_t partial = slabs->classes[class].partial;
    bool is_empty = partial != HW_STRATEGY_NONE && hw_slab_fit_slabs(slabs)[partial].free == HW_SLAB_FIT_ALL;
    return is_empty ? partial : slabs->classes[class].spare;
}

static bool give_back_all_empty(hw_slab_fit *slabs) {
    bool any = false;
    for (uint32_t class = 0; class < HW_SLAB_FIT_CLASSES; class++) {
        uint32_t empty = empty_of(slabs, class);
        if (empty == HW_STRATEGY_NONE) continue;
        if (empty == slabs->classes[class].spare) slabs->classes[class].spare = HW_STRATEGY_NONE;
        else hw_slab_fit_unlist(slabs, empty);
        give_back(slabs, empty);
        any = true;
    }
    return any;
}

void hw_slab_fit_retire(hw_slab_fit *slabs, uint32_t number) {
    const hw_slab_fit_slab *slab = &hw_slab_fit_slabs(slabs)[number];
    hw_slab_fit_class *class = &slabs->classes[slab->class];
    bool alone = slab->next == HW_STRATEGY_NONE && slab->previous == HW_STRATEGY_NONE;
    uint32_t spare = class->spare;
    class->spare = HW_STRATEGY_NONE;
    if (!alone) {
        hw_slab_fit_unlist(slabs, number);
        class->spare = number;
    }
    if (spare != HW_STRATEGY_NONE) give_back(slabs, spare);
}

/* ---- blocks of the fit that are no slabs ---- */

static enum hw_strategy_result allocate_block(hw_slab_fit *slabs, uint64_t size_bytes, uint64_t alignment,
                                              hw_strategy_handle *handle) {
    hw_fit *fit = hw_slab_fit_under(slabs);
    enum hw_strategy_result result = hw_fit_allocate_fused(fit, HW_BEST_FIT, size_bytes, alignment, handle);
    if (result != HW_STRATEGY_OK) return result;
    uint64_t allocated_bytes = (uint64_t)hw_fit_blocks(fit)[handle->number].size << slabs->head.granule_shift;
    slabs->total_requested += size_bytes;
    slabs->total_allocated_unclassed += allocated_bytes;
    slabs->total_blocks_unclassed++;
    hw_high_water_rise(&slabs->requested, size_bytes);
    hw_high_water_rise(&slabs->allocated, allocated_bytes);
    hw_high_water_rise(&slabs->blocks, 1);
    handle->number |= HW_SLAB_FIT_BLOCK;
    return HW_STRATEGY_OK;
}

static bool has_class(const hw_slab_fit *slabs, uint64_t size_bytes, uint64_t alignment, uint32_t *class) {
    uint64_t mask = slabs->granule_mask | (alignment - 1), last_byte = size_bytes == 0 ? 0 : size_bytes - 1;
    uint64_t less_one = (last_byte | mask) >> slabs->head.granule_shift; /* than its granules */
    if (less_one >= slabs->granules_max) return false;
    *class = hw_size_class((uint32_t)less_one + 1);
    uint64_t slot_bytes = (uint64_t)hw_size_class_units(*class) << slabs->head.granule_shift;
    return slot_bytes - size_bytes <= SLACK_MAX;
}

enum hw_strategy_result hw_slab_fit_allocate_slowly(hw_slab_fit *slabs, uint64_t size_bytes, uint64_t alignment,
                                                    hw_strategy_handle *handle) {
    if (size_bytes > slabs->head.capacity_bytes) return HW_STRATEGY_NO_MEMORY;
    enum hw_strategy_result result = HW_STRATEGY_NO_MEMORY;
    uint32_t number;
    if (has_class(slabs, size_bytes, alignment, &number)) {
        hw_slab_fit_class *class = &slabs->classes[number];
        result = class->partial != HW_STRATEGY_NONE ? HW_STRATEGY_OK : add_slab(slabs, number);
        if (result == HW_STRATEGY_OK) {
            class->allocated++;
            hw_slab_fit_take(slabs, class->partial, size_bytes, handle);
        }
    }
    if (result == HW_STRATEGY_NO_MEMORY) result = allocate_block(slabs, size_bytes, alignment, handle);
    if (result == HW_STRATEGY_NO_MEMORY && give_back_all_empty(slabs))
        result = allocate_block(slabs, size_bytes, alignment, handle);
    return result;
}

static bool is_live_block(const hw_slab_fit *slabs, hw_strategy_handle handle) {
    handle = in_fit(handle);
    return hw_fit_is_live(hw_slab_fit_under(slabs), handle) && hw_slab_fit_map(slabs)[handle.number] == HW_STRATEGY_NONE;
}

enum hw_strategy_result hw_slab_fit_free_block(hw_slab_fit *slabs, hw_strategy_handle handle) {
    if (!is_live_block(slabs, handle)) return HW_STRATEGY_NOT_LIVE;
    handle = in_fit(handle);
    hw_fit *fit = hw_slab_fit_under(slabs);
    hw_strategy_seen seen = hw_fit_see(fit, handle.number);
    hw_high_water_fall(&slabs->requested, seen.requested_bytes);
    hw_high_water_fall(&slabs->allocated, seen.size_bytes);
    hw_high_water_fall(&slabs->blocks, 1);
    uint32_t lent = lend_cursor(slabs);
    hw_fit_free_fused(fit, HW_BEST_FIT, handle);
    take_cursor(slabs, lent);
    return HW_STRATEGY_OK;
}

bool hw_slab_fit_is_live(const hw_slab_fit *slabs, hw_strategy_handle handle) {
    return handle.number & HW_SLAB_FIT_BLOCK ? is_live_block(slabs, handle) : hw_slab_fit_live_slab(slabs, handle) != NULL;
}

/* ---- resize ---- */

/* What a live block asks for, or takes, has changed from `old` to `new`; growth is part of the lifetime total. */
static void book(hw_high_water *now, uint64_t *total, uint64_t old, uint64_t new) {
    if (new > old) {
        *total += new - old;
        hw_high_water_rise(now, new - old);
    } else {
        hw_high_water_fall(now, old - new);
    }
}

static enum hw_strategy_result resize_block(hw_slab_fit *slabs, hw_strategy_handle handle, uint64_t size_bytes) {
    if (!is_live_block(slabs, handle)) return HW_STRATEGY_NOT_LIVE;
    handle = in_fit(handle);
    hw_fit *fit = hw_slab_fit_under(slabs);
    hw_strategy_seen old = hw_fit_see(fit, handle.number);
    uint32_t lent = lend_cursor(slabs);
    enum hw_strategy_result result = hw_fit_resize(fit, handle, size_bytes);
    take_cursor(slabs, lent);
    if (result != HW_STRATEGY_OK) return result;
    book(&slabs->requested, &slabs->total_requested, old.requested_bytes, size_bytes);
    book(&slabs->allocated, &slabs->total_allocated_unclassed, old.size_bytes, hw_fit_see(fit, handle.number).size_bytes);
    return HW_STRATEGY_OK;
}

enum hw_strategy_result hw_slab_fit_resize(hw_slab_fit *slabs, hw_strategy_handle handle, uint64_t size_bytes) {
    if (handle.number & HW_SLAB_FIT_BLOCK) return resize_block(slabs, handle, size_bytes);
    hw_slab_fit_slab *slab = hw_slab_fit_live_slab(slabs, handle);
    if (slab == NULL) return HW_STRATEGY_NOT_LIVE;
    if (size_bytes > slab->slot_bytes || slab->slot_bytes - size_bytes > SLACK_MAX) return HW_STRATEGY_NO_MEMORY;
    uint8_t *slack = &slab->slack[handle.number & 63];
    book(&slabs->requested, &slabs->total_requested, slab->slot_bytes - *slack, size_bytes);
    *slack = (uint8_t)(slab->slot_bytes - size_bytes);
    return HW_STRATEGY_OK;
}

/* ---- looking ---- */

/* Whether a block of the fit is an empty slab. */
static bool is_empty_slab(const hw_slab_fit *slabs, uint32_t block) {
    uint32_t number = block == HW_STRATEGY_NONE ? block : hw_slab_fit_map(slabs)[block];
    return number != HW_STRATEGY_NONE && hw_slab_fit_slabs(slabs)[number].free == HW_SLAB_FIT_ALL;
}

/* The granules that would be one hole if the empty slabs were given back, around this slab, which is one of them. */
static uint32_t run_around(const hw_slab_fit *slabs, uint32_t number) {
    const hw_fit_block *blocks = hw_fit_blocks(hw_slab_fit_under(slabs));
    uint32_t middle = hw_slab_fit_slabs(slabs)[number].block, granules = blocks[middle].size;
    for (int right = 0; right <= 1; right++)
        for (uint32_t at = middle;;) {
            at = right ? blocks[at].after : blocks[at].before;
            if (!hw_fit_is_hole(blocks, at) && !is_empty_slab(slabs, at)) break;
            granules += blocks[at].size;
        }
    return granules;
}

uint64_t hw_slab_fit_largest_hole(const hw_slab_fit *slabs) {
    uint32_t shift = slabs->head.granule_shift;
    uint64_t granules = hw_fit_largest_hole(hw_slab_fit_under(slabs)) >> shift;
    for (uint32_t class = 0; class < HW_SLAB_FIT_CLASSES; class++) {
        uint32_t empty = empty_of(slabs, class), room = 0;
        if (slabs->classes[class].partial != HW_STRATEGY_NONE) room = hw_size_class_units(class);
        if (empty != HW_STRATEGY_NONE) room = run_around(slabs, empty);
        if (room > granules) granules = room;
    }
    return granules << shift;
}

hw_strategy_totals hw_slab_fit_totals(const hw_slab_fit *slabs) {
    const hw_strategy_totals *fit = &hw_slab_fit_under(slabs)->totals;
    uint64_t blocks = hw_high_water_now(&slabs->blocks), allocated = hw_high_water_now(&slabs->allocated);
    uint64_t live_slots = blocks - (fit->blocks - slabs->slabs);
    hw_strategy_totals totals = {
        .requested = hw_high_water_now(&slabs->requested),
        .allocated = allocated,
        .free = slabs->head.capacity_bytes - allocated,
        .peak_requested = slabs->requested.peak,
        .peak_allocated = slabs->allocated.peak,
        .total_requested = slabs->total_requested,
        .total_allocated = slabs->total_allocated_unclassed,
        .blocks = blocks,
        .peak_blocks = slabs->blocks.peak,
        .total_blocks = slabs->total_blocks_unclassed,
        .holes = fit->holes + (uint64_t)slabs->slabs * HW_SLAB_FIT_SLOTS - live_slots,
    };
    for (uint32_t class = 0; class < HW_SLAB_FIT_CLASSES; class++) {
        uint64_t slots = slabs->classes[class].allocated;
        totals.total_allocated += slots * hw_size_class_units(class) << slabs->head.granule_shift;
        totals.total_blocks += slots;
    }
    totals.freed_blocks = totals.total_blocks - blocks;
    return totals;
}

void hw_slab_fit_uncount(hw_slab_fit *slabs, uint64_t requested_bytes, uint64_t allocated_bytes, uint64_t blocks) {
    slabs->total_requested -= requested_bytes;
    slabs->total_allocated_unclassed -= allocated_bytes; /* may be less than 0, as is the other: a slot's is in its class */
    slabs->total_blocks_unclassed -= blocks;
}

uint64_t hw_slab_fit_restart_peak(hw_slab_fit *slabs) {
    uint64_t peak = slabs->allocated.peak;
    slabs->allocated = (hw_high_water){.peak = hw_high_water_now(&slabs->allocated)};
    return peak;
}

hw_strategy_seen hw_slab_fit_see_whole(const hw_slab_fit *slabs, uint32_t number) {
    return hw_fit_see(hw_slab_fit_under(slabs), hw_slab_fit_block_of(slabs, number));
}

uint32_t hw_slab_fit_first(const hw_slab_fit *slabs) { return hw_slab_fit_in_walk(slabs, hw_slab_fit_under(slabs)->first); }

hw_strategy_seen hw_slab_fit_see(const hw_slab_fit *slabs, uint32_t number) {
    const hw_fit *fit = hw_slab_fit_under(slabs);
    if (number & HW_SLAB_FIT_BLOCK) /* the hole that the cursor is at may have become a slab */
        number = hw_slab_fit_in_walk(slabs, hw_slab_fit_block_of(slabs, number));
    if (number & HW_SLAB_FIT_BLOCK) {
        hw_strategy_seen seen = hw_fit_see(fit, hw_slab_fit_block_of(slabs, number));
        seen.next = hw_slab_fit_in_walk(slabs, seen.next);
        return seen;
    }
    uint32_t slot = number & 63;
    const hw_slab_fit_slab *slab = &hw_slab_fit_slabs(slabs)[number >> 6];
    uint64_t room = slab->slot_bytes;
    bool live = !(slab->free >> slot & 1), last = slot == HW_SLAB_FIT_SLOTS - 1;
    return (hw_strategy_seen){
        .offset_bytes = slab->offset_bytes + slot * room,
        .size_bytes = room,
        .requested_bytes = live ? room - slab->slack[slot] : 0,
        .live = live,
        .next = last ? hw_slab_fit_in_walk(slabs, hw_fit_blocks(fit)[slab->block].after) : number + 1,
    };
}
