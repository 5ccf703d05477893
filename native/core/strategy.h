/* Strategy: what every decision procedure "request -> offset or bottom" has in common. A strategy hands out offsets in
 * [0, capacity) and keeps what it knows in a control region of its own, which holds numbers and no pointer; the bytes it
 * speaks of are never touched. core/fit.h, and its siblings, are the strategies; heap/heap.h puts one over a space. */
#ifndef HW_CORE_STRATEGY_H
#define HW_CORE_STRATEGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For bodies that are compiled once for each strategy: where `strategy` is a constant, every test of it is gone. */
#define HW_FUSED static inline __attribute__((always_inline))

enum hw_strategy { HW_FIRST_FIT, HW_BEST_FIT, HW_WORST_FIT, HW_NEXT_FIT, HW_TLSF, HW_BUDDY, HW_SLAB, HW_BUMP, HW_STRATEGIES };

enum hw_strategy_result {
    HW_STRATEGY_OK,
    HW_STRATEGY_NO_MEMORY,    /* bottom: no hole is large enough */
    HW_STRATEGY_CONTROL_FULL, /* no room to describe one more split: make the control region larger, and ask again */
    HW_STRATEGY_NOT_LIVE,     /* no live block has this number and this offset: double, foreign or interior */
    HW_STRATEGY_BAD_ARGUMENT  /* alignment 0 or not a power of two */
};

typedef struct { /* what every control region starts with, so that it says itself how to read it */
    uint64_t capacity_bytes; /* whole granules */
    uint32_t granule_shift;
    uint32_t strategy; /* enum hw_strategy */
    uint32_t cursor;   /* where an interrupted walk goes on, or HW_STRATEGY_NONE. Whoever takes a block out of the walk while
                          the cursor is there moves it to a neighbour */
} hw_strategy_head;

#define HW_STRATEGY_NONE UINT32_MAX
#define HW_STRATEGY_GRANULE_MIN 16u

typedef struct { /* all in bytes, or counts; exact at any moment */
    uint64_t requested, allocated, free;
    uint64_t peak_requested, peak_allocated;
    uint64_t total_requested, total_allocated;
    uint64_t blocks, peak_blocks, total_blocks, freed_blocks, holes;
} hw_strategy_totals;

typedef struct { /* a live block as its owner names it: both must match for it to be freed */
    uint64_t offset_bytes;
    uint32_t number;
} hw_strategy_handle;

typedef struct { /* a block or a hole, as a walk in address order sees it */
    uint64_t offset_bytes, size_bytes, requested_bytes;
    bool live;
    uint32_t next; /* the block at the next address, or HW_STRATEGY_NONE */
} hw_strategy_seen;

/* Strikes from the lifetime totals `blocks` allocations that have been undone, and bytes. */
static inline void hw_strategy_totals_uncount(hw_strategy_totals *t, uint64_t requested, uint64_t allocated, uint64_t blocks) {
    t->total_requested -= requested;
    t->total_allocated -= allocated;
    t->total_blocks -= blocks;
    t->freed_blocks -= blocks;
}

static inline uint64_t hw_strategy_totals_restart_peak(hw_strategy_totals *t) {
    uint64_t peak = t->peak_allocated;
    t->peak_allocated = t->allocated;
    return peak;
}

/* The smallest granule, at least HW_STRATEGY_GRANULE_MIN, with which a space of this size can be numbered in 32 bits: 16 B
 * up to 64 GiB, 32 B up to 128 GiB, and so on. */
static inline uint32_t hw_strategy_granule_bytes(uint64_t capacity_bytes) {
    uint32_t granule = HW_STRATEGY_GRANULE_MIN;
    while (granule < 1u << 30 && capacity_bytes / granule >= UINT32_MAX) granule *= 2;
    return granule;
}

#endif
