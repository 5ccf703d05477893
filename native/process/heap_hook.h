/* The heap hook: under NumPy's arrays a heap of the program's choice. It lies in the structure of NumPy's default handler,
 * on top of whatever is there: the array hook (hook.h) or NumPy's own functions. That structure exists, and every array
 * goes through it, in every version of NumPy, also where the pooled allocator prefers the raw domain (NumPy >= 2.5): it is
 * called with the GIL held, which is the lock of the heaps, and the raw domain may be called without.
 *
 * A request of HW_POOLED_MIN_BYTES or more is served by the heap that serves (array_heap.h). What it has no room for, and
 * all that is smaller, goes on to what lies below. A block goes back to where its address says it came from. */
#ifndef HW_PROCESS_HEAP_HOOK_H
#define HW_PROCESS_HEAP_HOOK_H

#include "process/hook.h"

/* Whether a request that the heap has no room for goes on to what lies below, or fails. */
extern bool hw_heap_hook_falls_back;

/* What lies below; set before the hook is put in. */
extern hw_array_functions hw_heap_hook_below;

extern const hw_array_functions hw_heap_hook;

#endif
