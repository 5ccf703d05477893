/* Strategies: all of them behind one set of calls. A control region says in its head which strategy it is of, and these
 * functions hand each call to the family that the strategy belongs to, by a direct branch: the contracts are in the
 * family's own header.
 *
 *   fit     core/fit.h         first, best, worst and next fit, TLSF, buddy: a list of blocks, an index over its holes
 *   slab    core/slab_fit.h    size classes over a best fit
 *   bump    core/bump.h        one block behind the other, freed from the end or back to a mark
 *
 * allocate and free, which are to cost nothing more than the strategy itself, are in core/strategies_fused.h. */
#ifndef HW_CORE_STRATEGIES_H
#define HW_CORE_STRATEGIES_H

#include "core/strategy.h"

/* Bytes of a control region with room for `blocks` blocks, live ones and holes together; aligned to 64. */
size_t hw_strategy_control_bytes(enum hw_strategy strategy, uint32_t blocks);

/* Everything in [0, capacity_bytes) is free, less what is not a whole granule. `control` is 64-byte aligned and has
 * hw_strategy_control_bytes(strategy, blocks) bytes, blocks >= 4; `granule_bytes` is a power of two. BAD_ARGUMENT if that
 * is not so. */
enum hw_strategy_result hw_strategy_init(void *control, uint32_t blocks, enum hw_strategy strategy,
                                         uint64_t capacity_bytes, uint32_t granule_bytes);

/* After CONTROL_FULL: bytes of the larger region that the strategy asks for; 0: there can be none. */
size_t hw_strategy_grown_bytes(const void *control);

/* Copies the region to one of hw_strategy_grown_bytes, where it goes on. The old one is not used any more, nor changed. */
void hw_strategy_grow(const void *control, void *larger);

bool hw_strategy_is_live(const void *control, hw_strategy_handle handle);

/* Grows or shrinks in place, at the same offset: OK; NO_MEMORY if something is in the way; CONTROL_FULL; NOT_LIVE. But for
 * OK nothing has changed. Back to the old size it always succeeds. */
enum hw_strategy_result hw_strategy_resize(void *control, hw_strategy_handle handle, uint64_t size_bytes);

/* Strikes from the lifetime totals what was counted in but did not come to be: `blocks` allocations, since freed, and
 * bytes. */
void hw_strategy_uncount(void *control, uint64_t requested_bytes, uint64_t allocated_bytes, uint64_t blocks);

/* The greatest request, in bytes, that would succeed now at the least alignment; 0 if none would. */
uint64_t hw_strategy_largest_hole(const void *control);

hw_strategy_totals hw_strategy_totals_of(const void *control);

/* The peak of allocated bytes since the call before, or ever; from now on the totals have the peak since this call. */
uint64_t hw_strategy_restart_peak(void *control);

/* The walk, in address order: number = first, then seen.next until HW_STRATEGY_NONE. A live block's number is its
 * handle's. It has as many steps as the totals have blocks and holes. */
uint32_t hw_strategy_first(const void *control);
hw_strategy_seen hw_strategy_see(const void *control, uint32_t number);

/* Where a block lies that is one of several made at once, all of them together: the slab of a slot; else the block. */
hw_strategy_seen hw_strategy_see_whole(const void *control, uint32_t number);

/* NULL, or the name of the first invariant that does not hold, and where. */
const char *hw_strategy_check(const void *control, uint64_t *where_offset_bytes);

#endif
