/* Space: a reserved range of addresses, of which some is committed. M = (A, S, P) where A = [base, base + size_bytes).
 *
 * Which pages are committed is one bit each. Memory is committed in whole units (pages, or huge pages) and given back in
 * pages, so that a hole gives back what lies in it even where a live block keeps the rest of a huge page. Bits are set when
 * a heap first hands a page out, and cleared when it is given back, so that committed bytes are exact however often that
 * happens.
 *
 * Invariants:
 *   S1  every page of [0, prefix_bytes) is committed
 *   S2  committed_bytes is the number of set bits times page_bytes, and at most size_bytes
 *   S3  a committed page has exactly the access `permissions`
 *   S4  no page at or after reach_bytes was ever committed: no search goes there
 */
#ifndef HW_HEAP_SPACE_H
#define HW_HEAP_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *base;
    size_t size_bytes; /* whole units */
    size_t alignment, page_bytes, unit_bytes;
    int permissions; /* enum hw_pages_access */
    bool huge;       /* the kernel took the advice */
    bool populated;  /* all of it was committed and brought into memory at once */
    bool locked;     /* and it stays there: nothing is given back */
    uint64_t *committed;
    size_t prefix_bytes, reach_bytes;
    size_t committed_bytes, peak_committed_bytes, total_committed_bytes;
} hw_space;

typedef struct { /* whole pages, as offsets */
    size_t offset_bytes, size_bytes;
} hw_space_run;

/* Reserves; commits nothing. The size is rounded up to whole units: pages, or huge pages if `huge`. Where the kernel has
 * no huge pages the space is the same without them. 0 or errno; on failure there is nothing to close. */
int hw_space_open(hw_space *space, size_t size_bytes, size_t alignment, bool huge, int permissions);

/* Ends the reservation: every address in it is invalid from now on. */
void hw_space_close(hw_space *space);

/* Makes [offset, offset + size) usable; commits somewhat more behind it, so that growing a heap by small blocks costs a
 * system call per 256 KiB. 0 or errno, and then nothing has changed. Call it through hw_space_ensure. */
int hw_space_commit(hw_space *space, size_t offset, size_t size_bytes);

/* Commits everything and brings it into memory; if `lock`, keeps it there for the life of the space. After that no use of the
 * space makes a system call or faults. 0 or errno; but for 0 the space is good for nothing but to be closed. */
int hw_space_populate(hw_space *space, bool lock);

/* The bytes of the committed pages that lie wholly in the range. */
size_t hw_space_committed_in(const hw_space *space, size_t offset, size_t size_bytes);

/* The first run of committed pages in [from, end), both whole pages; size 0 if there is none. */
hw_space_run hw_space_next_committed(const hw_space *space, size_t from, size_t end);

/* Gives back runs of committed pages of a space that is not locked, at most HW_PAGES_RANGES_MAX. 0, or the first errno; *returned_bytes is what was given
 * back in either case. */
int hw_space_decommit(hw_space *space, const hw_space_run *runs, size_t count, size_t *returned_bytes);

/* Writes zeros over the committed bytes of the range; the others will be zeros when they are committed. */
void hw_space_zero_committed(hw_space *space, size_t offset, size_t size_bytes);

/* What is committed gets exactly this access, and so does whatever is committed later. 0 or errno, and then the access is
 * as it was, so far as the kernel lets it be put back. */
int hw_space_protect(hw_space *space, int permissions);

/* Bytes in memory now. O(committed pages). */
int hw_space_resident(const hw_space *space, size_t *resident_bytes);

/* The fast path of hw_space_commit: one comparison. */
static inline int hw_space_ensure(hw_space *space, size_t offset, size_t size_bytes) {
    if (offset + size_bytes <= space->prefix_bytes) return 0; /* S1 */
    return hw_space_commit(space, offset, size_bytes);
}

#endif
