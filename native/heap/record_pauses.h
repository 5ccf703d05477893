/* Pauses of a record heap: how long the program waited for its collector. All of them in a histogram, and the last ones each by
 * itself, for a timeline. */
#ifndef HW_HEAP_RECORD_PAUSES_H
#define HW_HEAP_RECORD_PAUSES_H

#include <stdint.h>

#define HW_PAUSE_BUCKETS 40 /* of 2^i ns and more */
#define HW_PAUSES_KEPT 1024

enum hw_pause_kind {
    HW_PAUSE_WHOLE,   /* a cycle in one go */
    HW_PAUSE_MINOR,   /* the same, of the young */
    HW_PAUSE_SLICE,   /* a part of a cycle, up to its budget */
    HW_PAUSE_HURRIED, /* the rest of a cycle, since the bound on memory was reached */
    HW_PAUSE_COMPACT,
};

typedef struct {
    int64_t began_ns; /* by os/clock.h */
    uint64_t took_ns;
    uint64_t used_bytes; /* when it was over */
    uint32_t kind;
} hw_pause;

typedef struct {
    uint64_t count, total_ns, longest_ns;
    uint64_t buckets[HW_PAUSE_BUCKETS];
    hw_pause last[HW_PAUSES_KEPT]; /* pause number i is at i % HW_PAUSES_KEPT */
} hw_pauses;

/* A pause is over now. */
void hw_pauses_note(hw_pauses *pauses, enum hw_pause_kind kind, int64_t began_ns, uint64_t used_bytes);

/* The number of the first pause that is kept. */
static inline uint64_t hw_pauses_first(const hw_pauses *pauses) {
    return pauses->count > HW_PAUSES_KEPT ? pauses->count - HW_PAUSES_KEPT : 0;
}

#endif
