/* An extent: memory that grows at its end and never moves, so that an address is base + offset for ever.
 *
 * It reserves nothing in advance. A process that reserves a terabyte cannot later set itself a limit on address space
 * (RLIMIT_AS), nor run where the kernel counts every commitment (vm.overcommit_memory = 2). Instead the base lies in a
 * stretch of the address space that the kernel does not use by itself, and each growth maps the next bytes exactly
 * there, refusing (MAP_FIXED_NOREPLACE) if anything has come to lie in the way. */
#ifndef HW_OS_EXTENT_H
#define HW_OS_EXTENT_H

#include <stddef.h>

#define HW_EXTENT_ALIGNMENT ((size_t)2 << 20)

typedef struct {
    char *base;             /* a multiple of HW_EXTENT_ALIGNMENT; NULL until opened */
    size_t committed_bytes; /* readable and writable: [base, base + committed_bytes) */
    size_t limit_bytes;     /* committed_bytes never exceeds it */
} hw_extent;

/* Finds a base with room to grow to `limit_bytes` and commits the first `size_bytes` (a multiple of the page size).
 * Returns 0 or errno. */
int hw_extent_open(hw_extent *extent, size_t size_bytes, size_t limit_bytes);

/* Commits `size_bytes` more, which read as zeros. Returns 0 or errno, and then nothing has changed. */
int hw_extent_grow(hw_extent *extent, size_t size_bytes);

/* Unmaps all of it: *extent is as before it was opened. Only where nobody holds an address in it. */
void hw_extent_close(hw_extent *extent);

#endif
