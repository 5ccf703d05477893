/* Allocate and free over all families, to be inlined where the strategy is a constant: the choice of the family is made
 * when the code is compiled, and what is left is the family's own straight function. Contracts: core/strategies.h. */
#ifndef HW_CORE_STRATEGIES_FUSED_H
#define HW_CORE_STRATEGIES_FUSED_H

#include "core/bump.h"
#include "core/fit_fused.h"
#include "core/slab_fit.h"
#include "core/strategies.h"

enum hw_strategy_family { HW_FAMILY_FIT, HW_FAMILY_SLAB, HW_FAMILY_BUMP };

HW_FUSED enum hw_strategy_family hw_strategy_family(enum hw_strategy strategy) {
    return strategy == HW_SLAB ? HW_FAMILY_SLAB : strategy == HW_BUMP ? HW_FAMILY_BUMP : HW_FAMILY_FIT;
}

/* OK, NO_MEMORY, CONTROL_FULL or BAD_ARGUMENT; but for OK nothing has changed. Offsets are aligned, so addresses are if
 * the space's base is. */
HW_FUSED enum hw_strategy_result hw_strategy_allocate_fused(void *control, enum hw_strategy strategy, uint64_t size_bytes,
                                                            uint64_t alignment, hw_strategy_handle *handle) {
    switch (hw_strategy_family(strategy)) {
    case HW_FAMILY_SLAB: return hw_slab_fit_allocate(control, size_bytes, alignment, handle);
    case HW_FAMILY_BUMP: return hw_bump_allocate(control, size_bytes, alignment, handle);
    default: return hw_fit_allocate_fused(control, strategy, size_bytes, alignment, handle);
    }
}

/* OK or NOT_LIVE (double, foreign or interior), and then nothing has changed. Needs no memory. */
HW_FUSED enum hw_strategy_result hw_strategy_free_fused(void *control, enum hw_strategy strategy,
                                                        hw_strategy_handle handle) {
    switch (hw_strategy_family(strategy)) {
    case HW_FAMILY_SLAB: return hw_slab_fit_free(control, handle);
    case HW_FAMILY_BUMP: return hw_bump_free(control, handle);
    default: return hw_fit_free_fused(control, strategy, handle);
    }
}

/* No fewer bytes than a block takes that is allocated for `size_bytes`; without a look at the block. */
HW_FUSED uint64_t hw_strategy_allocated_at_most(const void *control, enum hw_strategy strategy, uint64_t size_bytes) {
    if (strategy == HW_SLAB) return size_bytes + ((const hw_slab_fit *)control)->slot_bytes_max;
    uint64_t most = size_bytes + ((uint64_t)1 << ((const hw_strategy_head *)control)->granule_shift);
    return strategy == HW_BUDDY ? 2 * most : most;
}

#endif
