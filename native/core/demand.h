/* Recent demand: what a process has shown to need of late, and so how much of its free memory may stay resident.
 *
 *     live + retained  <=  peak of live + slack                 of the heap
 *     need + retained  <=  peak of need + slack                 of the process; need = live + outside
 *
 * Peaks are those of the last HW_DEMAND_EPOCHS epochs, the running one included. `outside` is what is resident and neither
 * live nor retained: it is known only at a look, live memory at every allocation. Why two lines: process/retention.h.
 *
 * Invariant:
 *   D1  an epoch's peak of live memory counts as need, together with what lay outside at any look in that epoch or at the
 *       one that ends it: a loop's peaks are shorter than the pause between two looks, and no epoch ends unbooked
 *
 * Pages throughout. Not thread-safe. */
#ifndef HW_CORE_DEMAND_H
#define HW_CORE_DEMAND_H

#include <stdint.h>

#define HW_DEMAND_EPOCHS 10
#define HW_SLACK_SHIFT 4
#define HW_SLACK_MIN_PAGES 2048

typedef struct {
    uint64_t live_peak[HW_DEMAND_EPOCHS], need_peak[HW_DEMAND_EPOCHS]; /* a ring */
    unsigned epoch;                                                    /* the running one */
} hw_demand;

/* Notes what is live now, and returns the most that may be live and retained together by the heap's line. O(1). */
uint64_t hw_demand_limit(hw_demand *demand, uint64_t live);

/* A look at the whole process, `epochs` ends of epochs after the one before. Returns how much may stay retained by both
 * lines. O(1). */
uint64_t hw_demand_look(hw_demand *demand, unsigned epochs, uint64_t live, uint64_t retained, uint64_t resident);

#endif
