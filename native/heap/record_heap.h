/* Record heap: pools of records (core/records.h) over spaces, the memory for their variable-size content, and the lists that
 * collectors need. Everything grows in place in address space that was reserved for it, so nothing moves unless it is
 * compacted, and views stay valid.
 *
 * What a collector may need for a cycle (stack and log, an entry for each live record) is committed when the cycle begins:
 * that costs one system call, touches nothing, and so no barrier and no scan can run out of room in the middle. Where the kernel
 * refuses, the cycle is slower (core/record_mark.h) and does the same.
 *
 * Memory in bytes, all exact:
 *   record_bytes    live records times their strides
 *   payload_bytes   blocks of variable size that they own, as asked for
 *   used_bytes      both: what pacing counts (heap/record_pace.h) and capacity_bytes limits
 *
 * When a collector is due, and how a cycle is cut up, is heap/record_pace.h. */
#ifndef HW_HEAP_RECORD_HEAP_H
#define HW_HEAP_RECORD_HEAP_H

#include "core/record_compact.h"
#include "core/record_sweep.h"
#include "heap/heap.h"

typedef struct {
    hw_record_pool pool; /* first: the pool of a store is the store */
    hw_space *records;   /* the caller's, who keeps it until the heap is closed */
    hw_space planes;
    size_t plane_bytes;  /* reserved for each */
    uint32_t capacity_max;
    uint32_t pins;       /* views of it: it is not compacted while there are any */
} hw_record_store;

typedef struct hw_record_heap hw_record_heap;

struct hw_record_heap {
    hw_records records;
    hw_space stack, log, remembered, finalizable, handles; /* memory of the lists */
    hw_space payload_space;
    hw_heap payload;
    uint64_t capacity_bytes, used_bytes, peak_bytes, payload_bytes;
    uint64_t made_bytes; /* ever: records and payload */
    uint64_t largest_request_bytes;
    uint32_t waiting; /* the first of the blocks that were replaced while a marker may be in them; 0: none */
};

/* Results: 0, an errno value, or one of these. */
enum { HW_RECORD_HEAP_FULL = -1 }; /* capacity_bytes, or a pool's range of addresses, would be exceeded */

/* An empty heap. `promote_after` 1 to 4: with generations; 0: without. 0 or errno, and then there is nothing to close. */
int hw_record_heap_open(hw_record_heap *heap, uint64_t capacity_bytes, uint8_t promote_after);
void hw_record_heap_close(hw_record_heap *heap);

/* A pool over a whole space. `shape` has stride, edges, weak, payloads, their counts and blank filled in, and outlives the heap; `finalizer`:
 * its records have one. 0 or errno; *number is its number. */
int hw_record_heap_add(hw_record_heap *heap, const hw_record_pool *shape, bool finalizer, hw_space *space, uint32_t *number);

static inline hw_record_store *hw_record_store_of(const hw_record_heap *heap, uint32_t number) {
    return (hw_record_store *)heap->records.pools[number];
}

/* `count` blank records, one behind the other if they are more than one: 0, HW_RECORD_HEAP_FULL or errno. */
int hw_record_heap_make(hw_record_heap *heap, uint32_t number, uint32_t count, uint32_t *first);

/* A handle of a live record, as hw_records_handle, in a table that grows: 0 or errno. */
int hw_record_heap_handle(hw_record_heap *heap, uint64_t id, uint64_t owner, hw_record_handle *handle, bool *fresh);

/* A weak handle, or a run (whose owner is how many): 0 or errno. */
int hw_record_heap_root(hw_record_heap *heap, enum hw_record_handle_kind kind, uint64_t id, uint64_t owner, hw_record_handle *handle);

/* A block for `bytes` of entries of a record of that pool, with a count of 0: 0, HW_RECORD_HEAP_FULL or errno. It belongs
 * to nobody until it is stored in a record. Bytes 0: no block. */
int hw_record_heap_span(hw_record_heap *heap, uint32_t number, uint64_t bytes, hw_record_span *span);

/* Frees a block that is in no record any more; while a marker may be in it, when the cycle ends. */
void hw_record_heap_release(hw_record_heap *heap, hw_record_span span);

/* Room for the lists of a cycle that is about to begin. Never fails: see above. */
void hw_record_heap_prepare(hw_record_heap *heap);

/* What follows a cycle: frees what waited, and counts. */
void hw_record_heap_settle(hw_record_heap *heap);

/* Gives back memory of the lists of a cycle that is over, `most_bytes` at most: false when there is no more. A page costs
 * the kernel a quarter of a microsecond. */
bool hw_record_heap_tidy(hw_record_heap *heap, size_t most_bytes);

/* The stack has more room: for hw_records_collect. */
bool hw_record_heap_grow_stack(void *heap);

/* Moves the records of every pool that is not pinned together, and gives back what that leaves behind them. 0 or errno: then
 * nothing has moved. The phase is idle. */
typedef struct {
    uint64_t moved;
    uint32_t pinned; /* pools with holes that stay as they are, since somebody looks at them */
    size_t returned_bytes;
} hw_record_heap_compacted;
int hw_record_heap_compact(hw_record_heap *heap, hw_record_heap_compacted *result);

/* Gives back the memory behind the last record of every pool, and holes in the payload. 0 or errno; bytes. */
int hw_record_heap_trim(hw_record_heap *heap, size_t *returned_bytes);

#endif
