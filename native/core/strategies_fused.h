/* Allocate and free over all families, to be inlined where the strategy is a constant: the choice of the family is made
 * when the code is compiled, and what is left is the family's own straight function. Contracts: core/strategies.h. */
#ifndef HW_CORE_STRATEGIES_FUSED_H
#define HW_CORE_STRATEGIES_FUSED_H

#include "core/bump.h"
#include "core/fit_fused.h"
#include "core/strategies.h"

enum hw_strategy_family { HW_FAMILY_FIT, HW_FAMILY_BUMP };

HW_FUSED enum hw_strategy_family hw_strategy_family(enum hw_strategy strategy) {
    return strategy == HW_BUMP ? HW_FAMILY_BUMP : HW_FAMILY_FIT;
}

/* OK, NO_MEMORY, CONTROL_FULL or BAD_ARGUMENT; but for OK nothing has changed. Offsets are aligned, so addresses are if
 * the space's base is. */
HW_FUSED enum hw_strategy_result hw_strategy_allocate_fused(void *control, enum hw_strategy strategy, uint64_t size_bytes,
                                                            uint64_t alignment, hw_strategy_handle *handle) {
    switch (hw_strategy_family(strategy)) {
    case HW_FAMILY_BUMP: return hw_bump_allocate(control, size_bytes, alignment, handle);
    default: return hw_fit_allocate_fused(control, strategy, size_bytes, alignment, handle);
    }
}

/* OK or NOT_LIVE (double, foreign or interior), and then nothing has changed. Needs no memory. */
HW_FUSED enum hw_strategy_result hw_strategy_free_fused(void *control, enum hw_strategy strategy,
                                                        hw_strategy_handle handle) {
    switch (hw_strategy_family(strategy)) {
    case HW_FAMILY_BUMP: return hw_bump_free(control, handle);
    default: return hw_fit_free_fused(control, strategy, handle);
    }
}

/* The bytes that a block takes which was just allocated, or resized, for `size_bytes`. */
HW_FUSED uint64_t hw_strategy_allocated_bytes(const void *control, enum hw_strategy strategy, hw_strategy_handle handle,
                                              uint64_t size_bytes) {
    if (strategy == HW_BUDDY) return hw_fit_see(control, handle.number).size_bytes;
    uint64_t mask = ((uint64_t)1 << ((const hw_strategy_head *)control)->granule_shift) - 1;
    return size_bytes == 0 ? mask + 1 : (size_bytes + mask) & ~mask;
}

#endif
