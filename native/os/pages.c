#include "os/pages.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440 /* the same on every architecture */
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
enum { SELF = -10001 }; /* PIDFD_SELF_THREAD_GROUP: no descriptor that a program could close or a child inherit */

_Static_assert(sizeof(hw_pages_range) == sizeof(struct iovec) && offsetof(hw_pages_range, size_bytes) ==
                   offsetof(struct iovec, iov_len), "ranges are passed to the kernel as they are");

static atomic_long calls_before_failure; /* 0: injection is off */

bool hw_pages_injected(void) {
    long left = atomic_load_explicit(&calls_before_failure, memory_order_relaxed);
    while (left > 0)
        if (atomic_compare_exchange_weak(&calls_before_failure, &left, left - 1)) return left == 1;
    return false;
}

static bool is_range(const void *base, size_t size_bytes) {
    size_t mask = hw_pages_size() - 1;
    return base != NULL && size_bytes != 0 && (((uintptr_t)base | size_bytes) & mask) == 0;
}

static int advise(void *base, size_t size_bytes, int advice) {
    if (!is_range(base, size_bytes)) return EINVAL;
    if (hw_pages_injected()) return ENOMEM;
    while (madvise(base, size_bytes, advice) != 0)
        if (errno != EAGAIN) return errno; /* EAGAIN: a kernel resource is short for a moment */
    return 0;
}

size_t hw_pages_size(void) {
    static atomic_size_t page_bytes;
    size_t known = atomic_load_explicit(&page_bytes, memory_order_relaxed);
    if (known == 0) {
        known = (size_t)sysconf(_SC_PAGESIZE);
        atomic_store_explicit(&page_bytes, known, memory_order_relaxed);
    }
    return known;
}

int hw_pages_reserve(size_t size_bytes, size_t alignment, void **base) {
    size_t page = hw_pages_size();
    if (size_bytes == 0 || size_bytes % page != 0 || (alignment & (alignment - 1)) != 0) return EINVAL;
    if (alignment < page) alignment = page;
    size_t slack = alignment > page ? alignment : 0;
    if (size_bytes > SIZE_MAX - slack) return ENOMEM;
    if (hw_pages_injected()) return ENOMEM;
    char *start = mmap(NULL, size_bytes + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return errno;
    size_t front = (size_t)(-(uintptr_t)start) & (alignment - 1);
    size_t back = slack - (slack ? front : 0);
    /* Cutting the ends off a mapping that nobody else knows: munmap can only fail by splitting (ENOMEM at the limit on
     * mappings), and an end never splits. */
    if (slack != 0 && front != 0) munmap(start, front);
    if (slack != 0 && back != 0) munmap(start + front + size_bytes, back);
    *base = slack ? start + front : start;
    return 0;
}

int hw_pages_commit(void *base, size_t size_bytes) {
    return hw_pages_protect(base, size_bytes, HW_PAGES_READ | HW_PAGES_WRITE);
}

int hw_pages_decommit(void *base, size_t size_bytes) { return advise(base, size_bytes, MADV_DONTNEED); }

/* Whether the kernel takes many ranges at once; what it said the first time holds. */
static bool decommit_at_once(const hw_pages_range *ranges, size_t count, size_t *returned_bytes) {
    static atomic_bool refused;
    if (count < 2 || atomic_load_explicit(&refused, memory_order_relaxed)) return false;
    long done = syscall(SYS_process_madvise, SELF, ranges, count, MADV_DONTNEED, 0);
    if (done >= 0) {
        *returned_bytes = (size_t)done;
        return true;
    }
    /* ENOSYS, EBADF, EINVAL, EPERM: an older kernel, or a filter. Anything else is about these ranges: one by one tells. */
    if (errno == ENOSYS || errno == EBADF || errno == EINVAL || errno == EPERM)
        atomic_store_explicit(&refused, true, memory_order_relaxed);
    return false;
}

int hw_pages_decommit_many(const hw_pages_range *ranges, size_t count, size_t *returned_bytes) {
    *returned_bytes = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_range(ranges[i].base, ranges[i].size_bytes)) return EINVAL;
    if (count > HW_PAGES_RANGES_MAX) return EINVAL;
    if (hw_pages_injected()) return ENOMEM;
    decommit_at_once(ranges, count, returned_bytes);
    size_t end = 0; /* of the ranges so far: what the kernel left out, by itself */
    for (size_t i = 0; i < count; i++) {
        end += ranges[i].size_bytes;
        if (end <= *returned_bytes) continue;
        size_t rest = end - *returned_bytes;
        int error = advise((char *)ranges[i].base + (ranges[i].size_bytes - rest), rest, MADV_DONTNEED);
        if (error != 0) return error;
        *returned_bytes = end;
    }
    return 0;
}

int hw_pages_populate(void *base, size_t size_bytes) {
    int error = advise(base, size_bytes, MADV_POPULATE_WRITE);
    if (error != EINVAL || !is_range(base, size_bytes)) return error;
    for (size_t at = 0; at < size_bytes; at += hw_pages_size()) { /* Linux before 5.14 */
        volatile char *byte = (char *)base + at;
        *byte = *byte;
    }
    return 0;
}

int hw_pages_lock(void *base, size_t size_bytes) {
    if (!is_range(base, size_bytes)) return EINVAL;
    if (hw_pages_injected()) return ENOMEM;
    if (mlock(base, size_bytes) != 0) return errno;
    return hw_pages_populate(base, size_bytes); /* mlock has done that, but under sanitizers, where it does nothing */
}

int hw_pages_protect(void *base, size_t size_bytes, int access) {
    if (!is_range(base, size_bytes)) return EINVAL;
    if (hw_pages_injected()) return ENOMEM;
    int protection = (access & HW_PAGES_READ ? PROT_READ : 0) | (access & HW_PAGES_WRITE ? PROT_WRITE : 0) |
                     (access & HW_PAGES_EXECUTE ? PROT_EXEC : 0);
    return mprotect(base, size_bytes, protection) == 0 ? 0 : errno;
}

int hw_pages_advise_huge(void *base, size_t size_bytes, bool huge) {
    return advise(base, size_bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

int hw_pages_resident(const void *base, size_t size_bytes, size_t *resident_bytes) {
    unsigned char in_core[4096]; /* one answer per page: 16 MiB at a time, on the stack */
    size_t page = hw_pages_size(), resident = 0;
    if (!is_range(base, size_bytes)) return EINVAL;
    if (hw_pages_injected()) return ENOMEM;
    for (size_t done = 0, step; done < size_bytes; done += step) {
        step = size_bytes - done < sizeof in_core * page ? size_bytes - done : sizeof in_core * page;
        if (mincore((char *)base + done, step, in_core) != 0) return errno;
        for (size_t i = 0; i < step / page; i++) resident += in_core[i] & 1u;
    }
    *resident_bytes = resident * page;
    return 0;
}

int hw_pages_release(void *base, size_t size_bytes) {
    if (!is_range(base, size_bytes)) return EINVAL;
    return munmap(base, size_bytes) == 0 ? 0 : errno;
}

long hw_pages_fail_nth(long n) { return atomic_exchange(&calls_before_failure, n); }
