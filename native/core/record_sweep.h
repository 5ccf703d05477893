/* Sweeping: what follows when tracing is done. In this order, and each in slices:
 *
 *   weak       weak edges and weak handles to white records become none, in white records as well
 *   finalize   white records that have a finalizer which never ran are set aside, and become, with all that they refer to,
 *              black again. Their finalizers run after the cycle, once; whether they were resurrected by it, the next
 *              cycle finds out
 *   sweep      allocated &= marked, a word of 64 records at a time; only records that own payload are looked at one by one
 *
 * So a weak reference is none before the finalizer of what it referred to is called, and stays none.
 *
 * With generations a record that has survived `promote_after` collections is old. The ages of 64 young ones are two words,
 * and grow older by a few instructions. */
#ifndef HW_CORE_RECORD_SWEEP_H
#define HW_CORE_RECORD_SWEEP_H

#include "core/record_mark.h"

/* Goes on with a cycle in which nothing is grey, which the caller sees to: no marker is beside, and hw_records_mark has just
 * said HW_MARK_DONE. `work` counts words of planes, entries of the table, and records that are looked at. DONE: the cycle is
 * over, and the phase idle. MORE: there is more, and if the phase is HW_RECORDS_TRACE_AGAIN there may be grey records:
 * hw_records_mark first. Never FULL. With generations the mutator waits from the beginning of a cycle to its end. */
enum hw_mark_result hw_records_sweep(hw_records *records, uint64_t work);

/* The next record whose finalizer is to be called, or HW_RECORD_NO_ID: there is none, or it is not yet settled what else
 * stays with those that there are. The caller makes a handle of it before anything
 * else. */
uint64_t hw_records_next_finalizable(hw_records *records);

/* The whole of a cycle in one go, but for room: `grow` is called when the stack is full, and says whether it is larger now. */
void hw_records_collect(hw_records *records, bool minor, bool (*grow)(void *context), void *context);

#endif
