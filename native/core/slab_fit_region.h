/* Where the parts of a slab fit's region lie, and how a walk names what is in it. Contracts: core/slab_fit.h. */
#ifndef HW_CORE_SLAB_FIT_REGION_H
#define HW_CORE_SLAB_FIT_REGION_H

#include "core/fit_fused.h"
#include "core/slab_fit.h"

#define HW_SLAB_FIT_ALL UINT64_MAX /* every slot is free */

HW_FUSED size_t hw_slab_fit_round(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/* ---- the region ---- */

HW_FUSED size_t hw_slab_fit_slabs_bytes(uint32_t slabs) { return hw_slab_fit_round((size_t)slabs * sizeof(hw_slab_fit_slab)); }

HW_FUSED size_t hw_slab_fit_map_bytes(uint32_t blocks) { return hw_slab_fit_round((size_t)blocks * sizeof(uint32_t)); }

/* The slab that a block of the fit is, by the block's number; HW_STRATEGY_NONE: it is none. */
HW_FUSED uint32_t *hw_slab_fit_map(const hw_slab_fit *slabs) {
    return (uint32_t *)((char *)hw_slab_fit_slabs(slabs) + hw_slab_fit_slabs_bytes(slabs->slabs_capacity));
}

HW_FUSED hw_fit *hw_slab_fit_under(const hw_slab_fit *slabs) {
    return (hw_fit *)((char *)hw_slab_fit_map(slabs) + hw_slab_fit_map_bytes(slabs->blocks_capacity));
}

/* The number in the walk of a block of the fit: its own, or its first slot's. */
HW_FUSED uint32_t hw_slab_fit_in_walk(const hw_slab_fit *slabs, uint32_t block) {
    uint32_t slab = block == HW_STRATEGY_NONE ? HW_STRATEGY_NONE : hw_slab_fit_map(slabs)[block];
    return slab == HW_STRATEGY_NONE ? HW_SLAB_FIT_BLOCK | block : slab << 6; /* of NONE it is NONE */
}

HW_FUSED uint32_t hw_slab_fit_block_of(const hw_slab_fit *slabs, uint32_t number) { /* in the walk, not NONE */
    bool is_slot = !(number & HW_SLAB_FIT_BLOCK);
    return is_slot ? hw_slab_fit_slabs(slabs)[number >> 6].block : number & ~HW_SLAB_FIT_BLOCK;
}

#endif
