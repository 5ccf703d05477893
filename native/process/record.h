/* The record of one process under `heapwright run`: counters in a small file that is mapped shared, so that whoever
 * started the process can read them at any moment and after any end of it: os._exit, a signal, a crash.
 *
 * One field list, in this order, is the whole format: every field is one little-endian signed 64-bit integer. Python
 * reads it through _native.RECORD_FIELDS, so the list is written once. Change it -> raise HW_RECORD_VERSION. */
#ifndef HW_PROCESS_RECORD_H
#define HW_PROCESS_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define HW_RECORD_MAGIC INT64_C(0x3130444345524857) /* "WHRECD01" */
#define HW_RECORD_VERSION 2
#define HW_RECORD_SIZE_CLASSES 48 /* class k counts requests of 2^k .. 2^(k+1)-1 bytes */
#define HW_RECORD_HEAPS 8         /* of which the places are written down; arrays in more are counted, but not placed */

#define HW_RECORD_FIELDS(X)                                                                                          \
    X(magic)                                                                                                         \
    X(version)                                                                                                       \
    X(pid)                                                                                                           \
    X(parent_pid)                                                                                                    \
    X(start_ns)          /* CLOCK_MONOTONIC when the record was opened */                                            \
    X(tick_ns)           /* CLOCK_MONOTONIC when the process figures below were last taken */                        \
    X(finished)          /* 1 once the interpreter said that it is leaving in order */                               \
    X(allocator)         /* 0 system (observe only), 1 pooled */                                                     \
    X(hook)              /* 0 none yet, 1 NumPy's default handler, 2 the raw domain */                               \
    /* blocks in our page heap, exact */                                                                             \
    X(heap_requested_bytes) /* live, as asked for */                                                                 \
    X(heap_allocated_bytes) /* live, rounded up to what a block really takes */                                      \
    X(heap_blocks)                                                                                                   \
    /* blocks passed on to the allocator that was there before: small ones, and every one when only observing */     \
    X(forwarded_bytes)      /* live, with their usable size */                                                       \
    X(forwarded_blocks)                                                                                              \
    X(failed_blocks)        /* requests that nobody could serve */                                                   \
    X(spilled_bytes)        /* total forwarded because the page heap could not grow */                               \
    /* arrays in heaps of the program's own */                                                                       \
    X(array_heaps_bytes)    /* live, as asked for */                                                                 \
    X(array_heaps_blocks)                                                                                            \
    /* all three together */                                                                                         \
    X(peak_bytes)           /* largest heap_allocated_bytes + forwarded_bytes + array_heaps_bytes */                 \
    X(peak_requested_bytes) /* largest heap_requested_bytes */                                                       \
    /* the page heap's memory */                                                                                     \
    X(heap_base)            /* first address; 0 where there is no page heap */                                       \
    X(heap_committed_bytes) /* [heap_base, heap_base + heap_committed_bytes) */                                      \
    X(retained_bytes)       /* free and resident, kept for the next request */                                       \
    X(peak_retained_bytes)                                                                                           \
    X(reused_bytes)         /* total served from resident pages: page faults that did not happen */                  \
    X(fresh_bytes)          /* total served from pages that the kernel had yet to back */                            \
    X(returned_cap_bytes)   /* total given back because more was retained than recent demand justifies */            \
    X(returned_idle_bytes)  /* total given back because nothing had asked for it for a while */                      \
    X(returned_asked_bytes) /* total given back because trim() was called */                                         \
    /* the C library's heap (mallinfo2), when last looked at */                                                      \
    X(libc_ns)                                                                                                       \
    X(libc_arena_bytes)  /* from the break and from heaps */                                                         \
    X(libc_mapped_bytes) /* large blocks that have a mapping of their own */                                         \
    X(libc_live_bytes)                                                                                               \
    X(libc_free_bytes)                                                                                               \
    X(libc_trims)                                                                                                    \
    X(libc_trimmed_bytes)                                                                                            \
    /* the process, when last looked at */                                                                           \
    X(resident_bytes)                                                                                                \
    X(peak_resident_bytes)                                                                                           \
    X(cpu_ns)                                                                                                        \
    X(minor_faults)                                                                                                  \
    X(major_faults)

/* A heap that has arrays in it: where its space lies, and what arrays have of it. All zero: a free place. */
typedef struct {
    int64_t base, size_bytes, array_bytes;
} hw_record_heap;

typedef struct {
#define HW_FIELD(name) int64_t name;
    HW_RECORD_FIELDS(HW_FIELD)
#undef HW_FIELD
    int64_t size_class_count[HW_RECORD_SIZE_CLASSES];
    int64_t size_class_bytes[HW_RECORD_SIZE_CLASSES];
    hw_record_heap heaps[HW_RECORD_HEAPS];
} hw_record;

/* Never NULL: until a file is opened the counters go to private memory. */
extern hw_record *hw_process_record;

static inline unsigned hw_record_size_class(size_t size_bytes) {
    unsigned log = size_bytes == 0 ? 0 : 63 - (unsigned)__builtin_clzll(size_bytes);
    return log < HW_RECORD_SIZE_CLASSES ? log : HW_RECORD_SIZE_CLASSES - 1;
}

/* Notes the live bytes of arrays, wherever they lie, if they are more than ever. */
static inline void hw_record_note_peak(hw_record *record) {
    int64_t live = record->heap_allocated_bytes + record->forwarded_bytes + record->array_heaps_bytes;
    if (live > record->peak_bytes) record->peak_bytes = live;
}

/* Counts a request by its size. */
static inline void hw_record_note_size(hw_record *record, size_t size_bytes) {
    unsigned class = hw_record_size_class(size_bytes);
    record->size_class_count[class]++;
    record->size_class_bytes[class] += (int64_t)size_bytes;
}

/* Writes down where a heap of the program's own lies: its place in `heaps`, or -1 where all are taken. */
int hw_record_place_heap(const void *base, size_t size_bytes);
void hw_record_clear_heap(int place);

/* Carries the counters over to <directory>/<pid>.record. Returns 0 or errno; the counters go on in either case. */
int hw_record_open(const char *directory);

/* Before a fork, with every counter at rest: what is live now is what will be live in the child. */
void hw_record_before_fork(void);

/* In a forked child: opens a record of its own in the same directory. Blocks that were live at the fork are live in the
 * child too, so gauges carry over; totals and peaks start again. The process's figures are taken once. */
void hw_record_forked(void);

/* Takes the process's figures (resident, CPU, faults) into the record: a few microseconds, no allocation. */
void hw_record_tick(void);

#endif
