/* Checking: whether the invariants of core/records.h hold, by walking everything; and which records are reachable, found
 * again without any of the marker's code, stack, log or planes. For tests, for stress modes that ask after every operation,
 * and for somebody who does not believe it.
 *
 * Between two calls into the heap, in any phase, no marker beside. Everything is O(records + edges), without recursion.
 *
 * Source of the second trace: Go's runtime, gccheckmark=1, which marks again and compares. */
#ifndef HW_CORE_RECORD_CHECK_H
#define HW_CORE_RECORD_CHECK_H

#include "core/records.h"

/* Bytes of memory, aligned to 8, that the functions below work in: 2 bits a record, and 8 bytes a live one. */
size_t hw_records_check_bytes(const hw_records *records);

/* NULL, or the first of G1 to G7 that does not hold, in words, and in `where` the id of a record for which it does not (for
 * G7, and for what is said of handles: the slot). */
const char *hw_records_check(const hw_records *records, void *scratch, uint64_t *where);

/* How many allocated records are reachable from no handle, and from none that waits to be finalized: dead, and not found to be
 * yet. `where`: the lowest of them. After two cycles without a mutation in between it is 0. hw_records_check has said NULL. */
uint64_t hw_records_unreachable(const hw_records *records, void *scratch, uint64_t *where);

#endif
