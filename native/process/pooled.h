/* The pooled allocator: a page heap and its slabs over one extent of memory, for the whole process, thread-safe.
 *
 *     1 KiB .. 32 KiB   slots of slabs (core/slab.h)
 *     above             spans of the page heap (core/page_heap.h); from 4 MiB on 2 MiB-aligned and on huge pages
 *
 * Every block is aligned to 64 bytes at least. What is freed stays resident for the next request as far as recent demand
 * justifies (retention.h). A block is recognised by its address alone, so blocks of other allocators can be told apart at
 * any time. Every function may be called from any thread; none calls the C library's malloc. */
#ifndef HW_PROCESS_POOLED_H
#define HW_PROCESS_POOLED_H

#include "os/extent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HW_POOLED_MIN_BYTES ((size_t)1024)       /* smaller requests are not for us */
#define HW_POOLED_HUGE_BYTES ((size_t)4 << 20)   /* from here on huge pages, as NumPy does */

extern hw_extent hw_pooled_extent;

/* Maps the first memory; again: serves again. Returns 0 or errno (ENOTSUP: the page size is not 4 KiB). */
int hw_pooled_start(void);

/* Serves no further block, if none lives: whether that is so. From then on until the next start no block of ours exists, not
 * even for a thread that asked a moment ago: whoever put our functions somewhere can take them out. */
bool hw_pooled_retire(void);

/* For chunks that small and middle blocks share: huge pages always, never, or (as it starts) where they are measured to be
 * cheaper than the small pages that they stand for (os/huge_probe.h). */
enum { HW_HUGE_AUTO, HW_HUGE_ALWAYS, HW_HUGE_NEVER };
void hw_pooled_use_huge_pages(int when);

/* Whether the address lies in our extent. False before hw_pooled_start. */
static inline bool hw_pooled_owns(const void *address) {
    /* it only grows, and whoever holds a block of ours got it after the growth that it needed */
    size_t committed_bytes = __atomic_load_n(&hw_pooled_extent.committed_bytes, __ATOMIC_RELAXED);
    return (uintptr_t)address - (uintptr_t)hw_pooled_extent.base < committed_bytes;
}

/* A block of at least HW_POOLED_MIN_BYTES, zeroed if asked; NULL when no more memory can be had, or retired. */
void *hw_pooled_allocate(size_t size_bytes, bool zeroed);

/* Frees a block of ours. An address that is not the start of a live block ends the process with a message, since going
 * on would corrupt the heap. */
void hw_pooled_free(void *address);

/* Changes the size of a block of ours, in place where the memory behind it is free. Returns NULL, with the block as it
 * was, when no more memory can be had. */
void *hw_pooled_reallocate(void *address, size_t size_bytes);

/* Bytes that were asked for. */
size_t hw_pooled_size(const void *address);

/* Gives retained memory back to the kernel until at most `keep_bytes` are retained. Returns how many bytes it gave. */
size_t hw_pooled_trim(size_t keep_bytes);

/* Walks every invariant of the heap. Returns NULL, or the one that does not hold and where. */
const char *hw_pooled_check(uint64_t *offset_bytes);

typedef struct {
    uint64_t requested_bytes, allocated_bytes, blocks; /* live */
    uint64_t committed_bytes, retained_bytes, longest_free_bytes, free_bytes;
} hw_pooled_figures;

void hw_pooled_read(hw_pooled_figures *figures);

/* For retention.c, which decides when; `why` says on which account the bytes are booked. */
enum { HW_RETURN_CAP, HW_RETURN_IDLE, HW_RETURN_ASKED };
size_t hw_pooled_give_back(size_t retained_target_bytes, bool slabs_too, int why);
uint64_t hw_pooled_live_pages(void);
uint64_t hw_pooled_events(void); /* changes whenever a block is allocated or freed */

void hw_pooled_lock(void);
/* Also waits until no other thread is giving memory back: what it holds would be nobody's in a forked child. */
void hw_pooled_lock_at_rest(void);
void hw_pooled_unlock(void);

#endif
