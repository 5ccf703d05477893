/* Marking: which records are reachable. A cycle is begun, stepped until it says that tracing is done, and then handed to
 * core/record_sweep.h. All at once, in slices, or by a marker on a thread of its own: the same functions, and the same
 * result.
 *
 * Tri-colour (Dijkstra et al., On-the-Fly Garbage Collection, CACM 21(11), 1978), by predicates, not by flags:
 *
 *      white = !marked           grey = marked and in the stack or the log           black = marked and in neither
 *
 * Snapshot at the beginning (Yuasa, Real-time garbage collection on general-purpose machines, J. Systems and Software 11,
 * 1990): what was reachable when the cycle began is kept, because whoever overwrites an edge shades what it referred to
 * first; what is made during the cycle is black. So there is no second look at the roots, and what dies during a cycle is
 * freed by the next one. An argument by cases is in docs/explanation/record-heap.md, and `heapwright prove` checks it.
 *
 * No recursion. The stack is the caller's memory; a record is on it at most once, since its bit is set before it is
 * pushed. When there is no memory for it, marking goes on without: what is marked and has no place on the stack or in the log
 * is found again by looking through the pools, which ends, since a round in which nothing is marked loses nothing.
 *
 * Cost: one random access a record, and one to the plane an edge. Records are asked for sixteen before they are looked at
 * (Cher, Hosking, Vitek, Software Prefetching for Mark-Sweep Garbage Collection, ASPLOS 2004), which on a heap in no order
 * is worth a factor of four. */
#ifndef HW_CORE_RECORD_MARK_H
#define HW_CORE_RECORD_MARK_H

#include "core/records.h"

enum hw_mark_result {
    HW_MARK_DONE,  /* nothing is grey */
    HW_MARK_MORE,  /* the work is used up */
    HW_MARK_FULL,  /* the stack is: raise stack_capacity, or call hw_records_mark_without_room, and go on */
};

/* Entries of a span that are scanned at once, so that a long one does not make a long step; and how many parts a span may
 * have. Longer ones are scanned whole, in the last part. */
#define HW_RECORD_SPAN_PART 1024u
#define HW_RECORD_SPAN_PARTS 65535u

/* Begins a cycle. Minor: with generations, the old ones and what they refer to but for what is remembered are taken as
 * marked. O(1), and O(words of the planes) where it is minor. */
void hw_records_begin(hw_records *records, bool minor);

/* Shades what handles are of, and what waits to be finalized, about `work` of them. DONE: the phase is now HW_RECORDS_TRACE. */
enum hw_mark_result hw_records_mark_roots(hw_records *records, uint64_t work);

/* Scans grey records, until about `work` records or 16 times as many entries of spans are done. `beside`: on another
 * thread than the mutator's, which may be at work. DONE: nothing is grey at this moment; of a marker beside, for all that it has
 * seen of the log. */
enum hw_mark_result hw_records_mark(hw_records *records, uint64_t work, bool beside);

/* From now on, for this cycle, records that do not fit into the stack are looked for in the pools. The stack has room for one
 * entry at least. */
void hw_records_mark_without_room(hw_records *records);

/* The shade of the mutator's side: grey, in the log, if it was white. */
void hw_record_shade(hw_records *records, uint64_t id);

/* True while sweeping, of a word that is done. */
static inline bool hw_records_is_swept(const hw_records *records, uint32_t pool, uint32_t word) {
    if (records->phase != HW_RECORDS_SWEEP) return false;
    return pool < records->cursor_pool || (pool == records->cursor_pool && word < records->cursor);
}

static inline bool hw_record_is_marked(const hw_records *records, uint64_t id) {
    const hw_record_pool *pool = records->pools[hw_record_pool_of(id)];
    uint32_t index = hw_record_index_of(id);
    return __atomic_load_n(&pool->marked[index / 64], __ATOMIC_RELAXED) >> index % 64 & 1;
}

/* While sweeping: whether a record is about to be freed by a part of the sweep that has not come to it. It is allocated still, and
 * nobody may be given it. */
static inline bool hw_record_is_doomed(const hw_records *records, uint64_t id) {
    return records->phase == HW_RECORDS_SWEEP && !hw_record_is_marked(records, id) &&
           !hw_records_is_swept(records, hw_record_pool_of(id), hw_record_index_of(id) / 64);
}

#endif
