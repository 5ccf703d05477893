#include "core/strategies.h"

#include "core/strategies_fused.h"

static enum hw_strategy strategy_of(const void *control) {
    return (enum hw_strategy)((const hw_strategy_head *)control)->strategy;
}

#define SLABS_FOR(blocks) ((blocks) / 4) /* at first; from then on each grows as it is short of */

size_t hw_strategy_control_bytes(enum hw_strategy strategy, uint32_t blocks) {
    switch (hw_strategy_family(strategy)) {
    case HW_FAMILY_SLAB: return hw_slab_fit_control_bytes(blocks, SLABS_FOR(blocks));
    case HW_FAMILY_BUMP: return hw_bump_control_bytes(blocks);
    default: return hw_fit_control_bytes(strategy, UINT32_MAX, blocks);
    }
}

enum hw_strategy_result hw_strategy_init(void *control, uint32_t blocks, enum hw_strategy strategy,
                                         uint64_t capacity_bytes, uint32_t granule_bytes) {
    switch (hw_strategy_family(strategy)) {
    case HW_FAMILY_SLAB: return hw_slab_fit_init(control, blocks, SLABS_FOR(blocks), capacity_bytes, granule_bytes);
    case HW_FAMILY_BUMP: return hw_bump_init(control, blocks, capacity_bytes, granule_bytes);
    default: return hw_fit_init(control, blocks, strategy, capacity_bytes, granule_bytes);
    }
}

static const hw_fit *as_fit(const void *control) { return control; }
static const hw_bump *as_bump(const void *control) { return control; }

/* What the next region is to have room for; 0 blocks: there can be none. */
typedef struct {
    uint32_t blocks, slabs;
} room;

static room next_room(const void *control) {
    room next = {0, 0};
    switch (hw_strategy_family(strategy_of(control))) {
    case HW_FAMILY_SLAB: hw_slab_fit_wants(control, &next.blocks, &next.slabs); break;
    case HW_FAMILY_BUMP: next.blocks = 2 * as_bump(control)->blocks_capacity; break;
    default: next.blocks = 2 * as_fit(control)->blocks_capacity;
    }
    bool too_many = next.blocks > UINT32_MAX / 2 - 1 || next.slabs > HW_SLAB_FIT_SLABS_MAX;
    return too_many ? (room){0, 0} : next;
}

size_t hw_strategy_grown_bytes(const void *control) {
    enum hw_strategy strategy = strategy_of(control);
    room next = next_room(control);
    if (next.blocks == 0) return 0;
    switch (hw_strategy_family(strategy)) {
    case HW_FAMILY_SLAB: return hw_slab_fit_control_bytes(next.blocks, next.slabs);
    case HW_FAMILY_BUMP: return hw_bump_control_bytes(next.blocks);
    default: return hw_fit_control_bytes(strategy, as_fit(control)->capacity, next.blocks);
    }
}

void hw_strategy_grow(const void *control, void *larger) {
    room next = next_room(control);
    switch (hw_strategy_family(strategy_of(control))) {
    case HW_FAMILY_SLAB: hw_slab_fit_grow(control, larger, next.blocks, next.slabs); break;
    case HW_FAMILY_BUMP: hw_bump_grow(control, larger, next.blocks); break;
    default: hw_fit_grow(control, larger, next.blocks);
    }
}

bool hw_strategy_is_live(const void *control, hw_strategy_handle handle) {
    switch (hw_strategy_family(strategy_of(control))) {
    case HW_FAMILY_SLAB: return hw_slab_fit_is_live(control, handle);
    case HW_FAMILY_BUMP: return hw_bump_is_live(control, handle);
    default: return hw_fit_is_live(control, handle);
    }
}

enum hw_strategy_result hw_strategy_resize(void *control, hw_strategy_handle handle, uint64_t size_bytes) {
    switch (hw_strategy_family(strategy_of(control))) {
    case HW_FAMILY_SLAB: return hw_slab_fit_resize(control, handle, size_bytes);
    case HW_FAMILY_BUMP: return hw_bump_resize(control, handle, size_bytes);
    default: return hw_fit_resize(control, handle, size_bytes);
    }
}

void hw_strategy_uncount(void *control, uint64_t requested_bytes, uint64_t allocated_bytes, uint64_t blocks) {
    switch (hw_strategy_family(strategy_of(control))) {
    case HW_FAMILY_SLAB: hw_slab_fit_uncount(control, requested_bytes, allocated_bytes, blocks); break;
    case HW_FAMILY_BUMP: hw_bump_uncount(control, requested_bytes, allocated_bytes, blocks); break;
    default: hw_strategy_totals_uncount(&((hw_fit *)control)->totals, requested_bytes, allocated_bytes, blocks);
    }
}

uint64_t hw_strategy_largest_hole(const void *control) {
    switch (hw_strategy_family(strategy_of(control))) {
    case HW_FAMILY_SLAB: return hw_slab_fit_largest_hole(control);
    case HW_FAMILY_BUMP: return hw_bump_room(control);
    default: return hw_fit_largest_hole(control);
    }
}

hw_strategy_totals hw_strategy_totals_of(const void *control) {
    switch (hw_strategy_family(strategy_of(control))) {
    case HW_FAMILY_SLAB: return hw_slab_fit_totals(control);
    case HW_FAMILY_BUMP: return hw_bump_totals(control);
    default: return as_fit(control)->totals;
    }
}

uint64_t hw_strategy_restart_peak(void *control) {
    switch (hw_strategy_family(strategy_of(control))) {
    case HW_FAMILY_SLAB: return hw_slab_fit_restart_peak(control);
    case HW_FAMILY_BUMP: return hw_bump_restart_peak(control);
    default: return hw_strategy_totals_restart_peak(&((hw_fit *)control)->totals);
    }
}

uint32_t hw_strategy_first(const void *control) {
    switch (hw_strategy_family(strategy_of(control))) {
    case HW_FAMILY_SLAB: return hw_slab_fit_first(control);
    case HW_FAMILY_BUMP: return hw_bump_first(control);
    default: return as_fit(control)->first;
    }
}

hw_strategy_seen hw_strategy_see(const void *control, uint32_t number) {
    switch (hw_strategy_family(strategy_of(control))) {
    case HW_FAMILY_SLAB: return hw_slab_fit_see(control, number);
    case HW_FAMILY_BUMP: return hw_bump_see(control, number);
    default: return hw_fit_see(control, number);
    }
}

hw_strategy_seen hw_strategy_see_whole(const void *control, uint32_t number) {
    switch (hw_strategy_family(strategy_of(control))) {
    case HW_FAMILY_SLAB: return hw_slab_fit_see_whole(control, number);
    default: return hw_strategy_see(control, number);
    }
}

const char *hw_strategy_check(const void *control, uint64_t *where_offset_bytes) {
    switch (hw_strategy_family(strategy_of(control))) {
    case HW_FAMILY_SLAB: return hw_slab_fit_check(control, where_offset_bytes);
    case HW_FAMILY_BUMP: return hw_bump_check(control, where_offset_bytes);
    default: return hw_fit_check(control, where_offset_bytes);
    }
}
