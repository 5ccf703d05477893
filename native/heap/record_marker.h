/* Marker: a thread that marks a record heap beside the mutator. It sees nothing but what core/record_mark.h lets it see, and is
 * never beside anything but stores, loads, making and handles: who wants to do more stops it first.
 *
 *   idle --start--> running --nothing grey--> done --stop--> idle
 *                      '------------ stop ------------------'
 *
 * Stopping takes as long as a piece of marking: some tens of microseconds. In a forked child there is no such thread:
 * around the fork all markers are stopped, so the child's heap is whole, and the child marks for itself. */
#ifndef HW_HEAP_RECORD_MARKER_H
#define HW_HEAP_RECORD_MARKER_H

#include <pthread.h>

#include "core/record_mark.h"

enum hw_marker_state { HW_MARKER_IDLE, HW_MARKER_RUNNING, HW_MARKER_DONE };

typedef struct hw_marker {
    hw_records *records;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    _Atomic uint8_t state; /* enum hw_marker_state; changed under the mutex */
    _Atomic bool asked_to_stop;
    bool there, leaving, interrupted; /* the thread; it is to end; a fork stopped it */
    int64_t marking_ns;               /* that it has spent, by the processor's clock */
    struct hw_marker *next;           /* all that have a thread: for fork */
} hw_marker;

void hw_marker_init(hw_marker *marker, hw_records *records);

/* Ends the thread. Not in a step of the heap. */
void hw_marker_end(hw_marker *marker);

/* The phase is HW_RECORDS_TRACE. False: no thread could be had, mark yourself. */
bool hw_marker_start(hw_marker *marker);

/* From here on no marker is beside; whether it ran is over: look with hw_records_mark. */
void hw_marker_stop(hw_marker *marker);

/* Around a fork (heap/fork_gate.h): all markers are stopped, and go on in the parent alone. */
void hw_markers_before_fork(void);
void hw_markers_after_fork(bool child);

/* acquire: with all that a marker that is done has marked */
static inline enum hw_marker_state hw_marker_state_of(const hw_marker *marker) {
    return (enum hw_marker_state)atomic_load_explicit(&marker->state, memory_order_acquire);
}

#endif
