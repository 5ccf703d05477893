/* What the kernel and the C library say of this process. No function here allocates. */
#ifndef HW_OS_PROCESS_FIGURES_H
#define HW_OS_PROCESS_FIGURES_H

#include <malloc.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t resident_bytes, peak_resident_bytes, cpu_ns, minor_faults, major_faults;
} hw_process_figures;

typedef struct {
    int64_t arena_bytes;  /* from the break and from the heaps of other arenas */
    int64_t mapped_bytes; /* large blocks with a mapping of their own */
    int64_t live_bytes;   /* in use within the arenas */
    int64_t free_bytes;   /* free within the arenas */
} hw_libc_figures;

int64_t hw_monotonic_ns(void);
int64_t hw_process_cpu_ns(void);
int64_t hw_thread_cpu_ns(void);

/* Physical memory, or the limit of the control group where that is less. */
int64_t hw_memory_limit_bytes(void);

void hw_process_figures_read(hw_process_figures *figures);

/* False where the C library cannot say (not glibc 2.33 or later). Takes the C library's locks; its cost grows with the
 * number of free chunks. */
int hw_libc_figures_read(hw_libc_figures *figures);

/* Bytes that a live block of the C library's malloc can hold. */
static inline size_t hw_libc_usable_bytes(void *address) { return malloc_usable_size(address); }

/* Gives the free pages of the C library's heap back. Returns whether there was something. */
int hw_libc_trim(void);

/* Makes the C library keep freed memory up to these sizes instead of its moving thresholds. */
void hw_libc_retain(int mmap_threshold_bytes, int trim_threshold_bytes);

#endif
