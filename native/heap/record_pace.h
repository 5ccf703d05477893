/* Pace: when a record heap collects, and how much at a time.
 *
 * In bytes, of records and payload:
 *
 *      L  in use when the last whole cycle ended      T = max(minimum, growth * L)  by which it may grow before the next ends
 *                                                     C = min(T, max(minimum, L)) / 4  of which the last is for the cycle itself
 *
 *   P1  in use <= L + T + one request, always, where collection is automatic
 *
 * asserted at every look. Mark-sweep, and generations for the old, collect when the heap has grown by T. In slices, or beside
 * the program, a cycle begins C before that, and what is made until then pays for it: a look every few kilobytes does the share of
 * the work that is due by then, or as much of it as fits in the budget of time; what is not done at T is done at once, so the
 * bound holds whatever the program does (P1 goes before the budget; how often that was is counted).
 *
 * So, of a program that never has more than R bytes reachable, or waiting to be finalized:
 *
 *   P2  L <= R where a cycle is done at once; and in slices, where what died or was made during a cycle stays until the next,
 *       L <= R + C, and so L <= max(4/3 R, R + minimum / 4): a request or two more, as they come when C is spent
 *
 * C is a part of L, and not of T alone, because L <= R + T / 4 has no bound where growth is 4 or more: each cycle would leave more
 * than the one before. `heapwright prove` (records-pacing) shows both of the rule, and tests/gc/test_record_pace.py of the heap.
 *
 * Source of the idea of paying by allocation, and that the inequality is the interface: gc-arena (kyren), and Baker, List
 * Processing in Real Time on a Serial Computer, CACM 21(4), 1978. */
#ifndef HW_HEAP_RECORD_PACE_H
#define HW_HEAP_RECORD_PACE_H

#include "heap/record_heap.h"
#include "heap/record_marker.h"
#include "heap/record_pauses.h"

enum hw_collector { HW_COLLECT_WHOLE, HW_COLLECT_GENERATIONS, HW_COLLECT_SLICES, HW_COLLECT_BESIDE };

typedef struct {
    enum hw_collector collector;
    bool automatic;          /* else only when asked */
    uint64_t minimum_bytes;  /* T is at least this */
    double growth;           /* > 0 */
    uint64_t nursery_bytes;  /* made between minor collections */
    int64_t budget_ns;       /* a slice is not longer, if P1 lets it */
    uint32_t every;          /* stress: a collection, or a slice, every so many requests; 0: none */
    double compact_above;    /* part of the places that are holes, from which on a whole cycle is followed by a compaction; 1: never */
} hw_record_policy;

typedef struct {
    hw_record_heap heap;
    hw_record_policy policy;
    hw_marker marker;
    uint64_t base_bytes, allowance_bytes; /* L, T */
    uint64_t minor_made_bytes, begun_made_bytes; /* heap.made_bytes at the last collection; when the cycle began */
    uint64_t look_at_bytes;  /* of heap.made_bytes: nothing is due before */
    uint64_t work_total, work_done; /* of the cycle under way, about */
    uint64_t whole_cycles, minor_cycles, compactions, hurried; /* hurried: ended because T was made */
    uint64_t freed_records; /* by all cycles */
    uint32_t requests;       /* looks, under stress */
    bool marked_beside;      /* in this cycle */
    bool tidying;            /* the lists of the last cycle are being given back */
    hw_pauses pauses;
} hw_record_collector;

int hw_record_collector_open(hw_record_collector *self, uint64_t capacity_bytes, uint8_t promote_after, hw_record_policy policy);
void hw_record_collector_close(hw_record_collector *self);

/* Before a request: whether hw_record_pace has something to do. */
static inline bool hw_record_is_due(const hw_record_collector *self) { return self->heap.made_bytes >= self->look_at_bytes; }

/* Does what is due. */
void hw_record_pace(hw_record_collector *self);

/* Everything that is unreachable now is free after it; minor: of what is young. Ends a cycle that is under way first. */
void hw_record_collect(hw_record_collector *self, bool minor);

/* Begins a cycle if none is under way, and works on it for about so long. True: the cycle has ended. */
bool hw_record_step(hw_record_collector *self, int64_t budget_ns);

/* Ends the cycle that is under way, if any: the phase is idle after it. */
void hw_record_finish(hw_record_collector *self);

/* Moves the records of each pool together, as hw_record_heap_compact; ends the cycle that is under way first. */
int hw_record_compact(hw_record_collector *self, hw_record_heap_compacted *result);

#endif
