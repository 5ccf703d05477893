/* The two calls that are inlined everywhere else, as functions: so that a private build of the core can be driven. */
#include "core/strategies_fused.h"

enum hw_strategy_result hw_prove_allocate(void *control, uint64_t size_bytes, uint64_t alignment, hw_strategy_handle *handle) {
    const hw_strategy_head *head = control;
    return hw_strategy_allocate_fused(control, (enum hw_strategy)head->strategy, size_bytes, alignment, handle);
}

enum hw_strategy_result hw_prove_free(void *control, hw_strategy_handle handle) {
    const hw_strategy_head *head = control;
    return hw_strategy_free_fused(control, (enum hw_strategy)head->strategy, handle);
}
