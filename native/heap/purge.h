/* Purge: the memory under a heap's holes goes back to the operating system, in slices of bounded time.
 *
 * A round is one walk over the blocks by address. It gives back every whole page that lies in a hole, but for the first
 * `keep_bytes` of what could be given back. Between two slices the heap may be used as if there were no round: the
 * strategy keeps the place in its walk (the cursor), and `reached_bytes` says how far the round has come within a hole.
 * What is freed behind that place waits for the next round, so that a round ends whatever others do.
 *
 * One round at a time: whoever finds one under way goes on with it.
 *
 * Neighbouring holes go to the kernel together, up to HW_PURGE_RUNS of them and HW_PURGE_STEP_BYTES: a step. A slice
 * looks at the clock after each step, so it takes at most one step longer than it was given, and some microseconds for each
 * GiB of address space in which nothing was ever committed. A step takes about 0.1 ms. */
#ifndef HW_HEAP_PURGE_H
#define HW_HEAP_PURGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HW_PURGE_RUNS 64
#define HW_PURGE_STEP_BYTES ((size_t)2 << 20)
#define HW_PURGE_BLOCKS_PER_LOOK 1024 /* live blocks passed between two looks at the clock: each is a cache miss */

enum { HW_PURGE_MORE = -1 }; /* a slice ended before the round */

typedef struct {
    bool under_way;
    size_t grain_bytes;   /* what is given back is whole multiples of it, by address */
    size_t keep_bytes;    /* still to be left */
    size_t reached_bytes; /* the round is done with everything before this offset */
    uint64_t rounds;      /* begun so far: the number of the one under way */
    size_t total_bytes;   /* given back by all of them */
} hw_purge;

struct hw_heap;

/* Begins a round, if none is under way. `grain_bytes` is the page size, or the space's unit to leave huge pages whole. */
void hw_purge_begin(struct hw_heap *heap, size_t keep_bytes, size_t grain_bytes);

/* Goes on with the round, for about `budget_ns`; INT64_MAX: to its end. 0: no round is under way any more; HW_PURGE_MORE;
 * or errno, and then the round is over too. *returned_bytes is what was given back in any case. */
int hw_purge_slice(struct hw_heap *heap, int64_t budget_ns, size_t *returned_bytes);

#endif
