#include "heap/record_pauses.h"

#include "os/clock.h"

void hw_pauses_note(hw_pauses *pauses, enum hw_pause_kind kind, int64_t began_ns, uint64_t used_bytes) {
    uint64_t ns = (uint64_t)(hw_clock_ns() - began_ns);
    unsigned bucket = ns <= 1 ? 0 : 63u - (unsigned)__builtin_clzll(ns);
    pauses->buckets[bucket < HW_PAUSE_BUCKETS ? bucket : HW_PAUSE_BUCKETS - 1]++;
    pauses->last[pauses->count++ % HW_PAUSES_KEPT] = (hw_pause){began_ns, ns, used_bytes, kind};
    pauses->total_ns += ns;
    if (ns > pauses->longest_ns) pauses->longest_ns = ns;
}
