#include "core/slab_fit_region.h"

/* K1 and K4 of a slab in use. */
static const char *check_slab(const hw_slab_fit *slabs, uint32_t number) {
    const hw_slab_fit_slab *slab = &hw_slab_fit_slabs(slabs)[number];
    const hw_fit *fit = hw_slab_fit_under(slabs);
    if (slab->class >= HW_SLAB_FIT_CLASSES) return "K1";
    if (slab->slot_bytes != hw_size_class_units(slab->class) << slabs->head.granule_shift) return "K1";
    if (slab->block >= fit->blocks_used || hw_slab_fit_map(slabs)[slab->block] != number) return "K1";
    hw_strategy_seen seen = hw_fit_see(fit, slab->block);
    if (!seen.live || seen.offset_bytes != slab->offset_bytes) return "K1";
    if (seen.size_bytes != (uint64_t)slab->slot_bytes * HW_SLAB_FIT_SLOTS) return "K1";
    for (uint32_t slot = 0; slot < HW_SLAB_FIT_SLOTS; slot++)
        if (!(slab->free >> slot & 1) && slab->slack[slot] > slab->slot_bytes) return "K4";
    return NULL;
}

/* K2 and K3. */
static const char *check_lists(const hw_slab_fit *slabs, uint32_t with_free) {
    const hw_slab_fit_slab *all = hw_slab_fit_slabs(slabs);
    for (uint32_t class = 0; class < HW_SLAB_FIT_CLASSES; class++) {
        uint32_t previous = HW_STRATEGY_NONE, number = slabs->classes[class].partial;
        for (; number != HW_STRATEGY_NONE; previous = number, number = all[number].next) {
            if (number >= slabs->slabs_used || all[number].block == HW_STRATEGY_NONE || with_free-- == 0) return "K2";
            if (all[number].next == HW_STRATEGY_NONE && slabs->classes[class].last != number) return "K2";
            if (all[number].class != class || all[number].free == 0 || all[number].previous != previous) return "K2";
            bool alone = previous == HW_STRATEGY_NONE && all[number].next == HW_STRATEGY_NONE;
            if (all[number].free == HW_SLAB_FIT_ALL && !(alone && slabs->classes[class].spare == HW_STRATEGY_NONE)) return "K3";
        }
        if ((slabs->classes[class].last == HW_STRATEGY_NONE) != (slabs->classes[class].partial == HW_STRATEGY_NONE)) return "K2";
        uint32_t spare = slabs->classes[class].spare;
        if (spare == HW_STRATEGY_NONE) continue;
        if (spare >= slabs->slabs_used || all[spare].block == HW_STRATEGY_NONE || with_free-- == 0) return "K2";
        if (all[spare].class != class || all[spare].free != HW_SLAB_FIT_ALL) return "K3";
    }
    return with_free == 0 ? NULL : "K2";
}

static const char *check_cursor(const hw_slab_fit *slabs) {
    uint32_t cursor = slabs->head.cursor, slab = cursor >> 6;
    if (cursor == HW_STRATEGY_NONE) return NULL;
    if (!(cursor & HW_SLAB_FIT_BLOCK))
        return slab < slabs->slabs_used && hw_slab_fit_slabs(slabs)[slab].block != HW_STRATEGY_NONE ? NULL : "K7";
    const hw_fit *fit = hw_slab_fit_under(slabs);
    for (uint32_t number = fit->first; number != HW_STRATEGY_NONE; number = hw_fit_blocks(fit)[number].after)
        if (number == hw_slab_fit_block_of(slabs, cursor)) return NULL;
    return "K7";
}

const char *hw_slab_fit_check(const hw_slab_fit *slabs, uint64_t *where_offset_bytes) {
    const hw_slab_fit_slab *all = hw_slab_fit_slabs(slabs);
    const hw_fit *fit = hw_slab_fit_under(slabs);
    uint32_t in_use = 0, with_free = 0, retired = 0;
    uint64_t requested = 0, allocated = 0, blocks = 0;
    const char *broken = hw_fit_check(fit, where_offset_bytes);
    if (broken != NULL) return broken;
    if (fit->blocks_capacity != slabs->blocks_capacity || slabs->slabs_used > slabs->slabs_capacity) return "K6";
    for (uint32_t number = 0; number < slabs->slabs_used; number++) {
        const hw_slab_fit_slab *slab = &all[number];
        *where_offset_bytes = slab->offset_bytes;
        if (slab->block == HW_STRATEGY_NONE) {
            if (slab->free != HW_SLAB_FIT_ALL) return "K6";
            continue;
        }
        if ((broken = check_slab(slabs, number)) != NULL) return broken;
        in_use++;
        with_free += slab->free != 0;
    }
    *where_offset_bytes = 0;
    for (uint32_t number = slabs->retired; number != HW_STRATEGY_NONE; number = all[number].next)
        if (number >= slabs->slabs_used || all[number].block != HW_STRATEGY_NONE || ++retired > slabs->slabs_used) return "K6";
    if (in_use != slabs->slabs || in_use + retired != slabs->slabs_used) return "K6";
    if ((broken = check_lists(slabs, with_free)) != NULL) return broken;
    if ((broken = check_cursor(slabs)) != NULL) return broken;
    for (uint32_t number = 0; number < fit->blocks_used; number++) in_use -= hw_slab_fit_map(slabs)[number] != HW_STRATEGY_NONE;
    if (in_use != 0) return "K1";
    for (uint32_t number = hw_slab_fit_first(slabs); number != HW_STRATEGY_NONE;) {
        hw_strategy_seen seen = hw_slab_fit_see(slabs, number);
        number = seen.next;
        if (!seen.live) continue;
        requested += seen.requested_bytes, allocated += seen.size_bytes, blocks++;
    }
    hw_strategy_totals t = hw_slab_fit_totals(slabs);
    return t.requested == requested && t.allocated == allocated && t.blocks == blocks ? NULL : "K5";
}
