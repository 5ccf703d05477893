/* The record of one process under `heapwright run`: counters in a small file that is mapped shared, so that whoever
 * started the process can read them at any moment and after any end of it: os._exit, a signal, a crash.
 *
 * One field list, in this order, is the whole format: every field is one little-endian signed 64-bit integer. Python
 * reads it through _native.RECORD_FIELDS, so the list is written once. Change it -> raise HW_RECORD_VERSION. */
#ifndef HW_PROCESS_RECORD_H
#define HW_PROCESS_RECORD_H

#include <stdint.h>

#define HW_RECORD_MAGIC INT64_C(0x3130444345524857) /* "WHRECD01" */
#define HW_RECORD_VERSION 1
#define HW_RECORD_SIZE_CLASSES 48 /* class k counts requests of 2^k .. 2^(k+1)-1 bytes */

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
    /* the arrays' memory, exact */                                                                                  \
    X(requested_bytes)   /* live, as asked for; blocks left to the C library count with their usable size */         \
    X(peak_requested_bytes)                                                                                          \
    X(total_requested_bytes)                                                                                         \
    X(allocated_bytes)   /* live, rounded up to what the block really takes */                                       \
    X(peak_allocated_bytes)                                                                                          \
    X(blocks)            /* live */                                                                                  \
    X(peak_blocks)                                                                                                   \
    X(total_blocks)                                                                                                  \
    X(failed_blocks)     /* requests answered with no memory */                                                      \
    /* our page heap */                                                                                              \
    X(heap_base)         /* first address; 0 where there is no page heap */                                          \
    X(heap_mapped_bytes) /* committed: [heap_base, heap_base + heap_mapped_bytes) */                                 \
    X(heap_live_bytes)   /* of the allocated bytes, those in the page heap */                                        \
    X(retained_bytes)    /* free and resident, kept for the next request */                                          \
    X(peak_retained_bytes)                                                                                           \
    X(reused_bytes)      /* total served from pages that were resident: faults that did not happen */                \
    X(fresh_bytes)       /* total served from pages that the kernel has yet to back */                               \
    X(returned_cap_bytes)  /* total given back because retained memory passed what recent demand justifies */        \
    X(returned_idle_bytes) /* total given back because nothing had asked for it for a while */                       \
    X(returned_asked_bytes) /* total given back because trim() was called */                                         \
    X(spilled_bytes)     /* total passed on to the C library because the page heap could not grow */                 \
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

typedef struct {
#define HW_FIELD(name) int64_t name;
    HW_RECORD_FIELDS(HW_FIELD)
#undef HW_FIELD
    int64_t size_class_count[HW_RECORD_SIZE_CLASSES];
    int64_t size_class_bytes[HW_RECORD_SIZE_CLASSES];
} hw_record;

/* Never NULL: until a file is opened the counters go to private memory. */
extern hw_record *hw_process_record;

/* Carries the counters over to <directory>/<pid>.record; a forked child opens one of its own there.
 * Returns 0, or errno. */
int hw_record_open(const char *directory);

#endif
