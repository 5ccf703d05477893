/* Pages: the system calls under every host space. No policy: what is reserved, committed and given back, and when, is
 * the caller's affair.
 *
 * The four states of a page and the calls that move it (reserved >= committed >= resident, counted in bytes):
 *
 *      (nothing) --reserve--> reserved --commit--> committed --first touch--> resident
 *                                                      ^------- decommit ---------'
 *      any of them --release--> (nothing)
 *
 * Every function returns 0 or an errno value, and has had no effect if it fails (except decommit, which may have
 * given back a part). Ranges are page-aligned: `base` a multiple of the page size, `size_bytes` too and not 0; a
 * range that is not gives EINVAL. All are safe from any thread and in a forked child. */
#ifndef HW_OS_PAGES_H
#define HW_OS_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#define HW_HUGE_PAGE_BYTES ((size_t)2 << 20) /* x86-64 and arm64 with 4 KiB pages; only advice depends on it */

enum hw_pages_access { HW_PAGES_READ = 1, HW_PAGES_WRITE = 2, HW_PAGES_EXECUTE = 4 };

/* Bytes in a page: a power of two, the same for the life of the process. */
size_t hw_pages_size(void);

/* Address space without memory: no access, nothing charged (MAP_NORESERVE). `alignment` is a power of two, raised to the
 * page size if it is less; more than a page is had by reserving `size_bytes + alignment` and giving both ends back. */
int hw_pages_reserve(size_t size_bytes, size_t alignment, void **base);

/* Makes the range readable and writable; untouched pages read as zeros. On pages that were committed before it changes
 * nothing (nor do their contents). ENOMEM: the kernel's commit limit or its limit on mappings. */
int hw_pages_commit(void *base, size_t size_bytes);

/* Gives the memory back (MADV_DONTNEED): resident bytes fall at once; the range stays accessible and reads as zeros.
 * The range is not made inaccessible, because each such hole would split a mapping, and a process may have 65,530. */
int hw_pages_decommit(void *base, size_t size_bytes);

typedef struct {
    void *base;
    size_t size_bytes;
} hw_pages_range;

#define HW_PAGES_RANGES_MAX 1024 /* of one call: UIO_MAXIOV */

/* The same for many ranges, in order, in one system call where the kernel has process_madvise for one's own process
 * (PIDFD_SELF, in recent ones; else one by one): a quarter of the time for runs of eight pages, a third for runs of 28,
 * since entering the kernel and flushing translations costs more than a short run. *returned_bytes: how much was given
 * back, whether or not there was an error. MADV_FREE was measured too: it is no faster than MADV_DONTNEED, and resident
 * bytes do not fall until memory is short. */
int hw_pages_decommit_many(const hw_pages_range *ranges, size_t count, size_t *returned_bytes);

/* Brings every page of a readable and writable range into memory, as a write to each would, without changing a byte. ENOMEM:
 * there is not enough; what came before it stays. */
int hw_pages_populate(void *base, size_t size_bytes);

/* The same, and none of it leaves memory again until the range is released (mlock). A forked child has its pages unlocked.
 * ENOMEM, EPERM or EAGAIN: more than RLIMIT_MEMLOCK allows who has no CAP_IPC_LOCK, or not enough memory. What is locked
 * cannot be given back: decommit says EINVAL. */
int hw_pages_lock(void *base, size_t size_bytes);

/* Access is exactly `access`, a union of enum hw_pages_access; 0 = none at all. */
int hw_pages_protect(void *base, size_t size_bytes, int access);

/* true: ask for huge pages (MADV_HUGEPAGE); false: forbid them (MADV_NOHUGEPAGE). Only ever for ranges that the caller
 * reserved: advice on borrowed memory outlives the loan. EINVAL where the kernel was built without them. */
int hw_pages_advise_huge(void *base, size_t size_bytes, bool huge);

/* Bytes of the range that are in memory now (mincore): whole pages. O(pages); no allocation. */
int hw_pages_resident(const void *base, size_t size_bytes, size_t *resident_bytes);

/* Ends the reservation, or a page-aligned part of it. */
int hw_pages_release(void *base, size_t size_bytes);

/* Fault injection, for tests: the n-th call from now (1 = the next one) of reserve, commit, decommit, populate,
 * lock, protect, advise_huge or resident fails with ENOMEM and has no effect; release never fails. 0 = none. Returns how many calls
 * were still to go. It costs one load per system call, so it is always compiled in: what is tested is what ships. */
long hw_pages_fail_nth(long n);

/* True when this call is the one to fail; for the other files of os/ that get memory from the kernel. */
bool hw_pages_injected(void);

#endif
