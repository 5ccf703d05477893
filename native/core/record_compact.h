/* Compaction: the living records of every pool move together to its beginning, in the order that they are in, and everything
 * that refers to them is rewritten: edges, weak edges, spans, handles, runs, what is remembered, what waits to be finalized.
 *
 * Where a record goes is computed, not stored: how many before its word of the plane `allocated` are live, which is counted
 * once, and how many are in that word before it. So nothing of a record is used for forwarding, and each record is read and
 * written once. Source: Kermany and Petrank, The Compressor: Concurrent, Incremental, and Parallel Compaction, PLDI 2006.
 *
 * A pool that is pinned, since somebody looks at its memory, keeps its records where they are; what they refer to elsewhere is
 * rewritten in them all the same. */
#ifndef HW_CORE_RECORD_COMPACT_H
#define HW_CORE_RECORD_COMPACT_H

#include "core/records.h"

typedef struct {
    uint64_t moved;       /* records that are somewhere else now */
    uint64_t freed_bytes; /* by which the pools end earlier, all together */
} hw_records_compacted;

/* Bytes of memory, aligned to 4, that hw_records_compact works in: 4 for 64 records. */
size_t hw_records_compact_bytes(const hw_records *records);

/* Between cycles only. `pinned`: for each pool, whether it is; or NULL. O(records + edges + entries of the table). */
hw_records_compacted hw_records_compact(hw_records *records, const bool *pinned, void *scratch);

#endif
