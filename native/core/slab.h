/* Small blocks of the process's allocator: slabs of equal slots, cut from spans of a page heap. (core/slab_fit.h is the
 * strategy of heaps: over offsets, cut from blocks of a fit, and down to 16 bytes.)
 *
 * Requests of 1 KiB to 32 KiB go to one of 41 classes: 1024 bytes, then eight classes per doubling, so a slot exceeds its
 * request by at most 1/8 of it. Every class is a multiple of 128 bytes and every slab starts on a page, so every slot is
 * aligned to 64 bytes (a vector register and a cache line).
 *
 * A slab is 16 pages (classes to 4 KiB) or 64 pages (above), aligned to its own length so that its page entries are
 * contiguous, and holds 8 to 64 slots: one word of free bits. Its bookkeeping lies in the page entries between its first
 * and its last, which a span does not use, so the slots hold nothing but the user's bytes.
 *
 * The lowest free slot of a class's first partial slab is used first. One empty slab per class is kept; further ones go
 * back to the page heap at once. Allocate and free take a bounded number of steps.
 *
 * Invariants, walked by hw_slabs_check together with those of the page heap:
 *   S1  a slab with a free slot is on the partial list of its class, exactly once; a full slab is on none
 *   S2  bits beyond the last slot are never free
 *   S3  live_bytes = sum over live slots of their class's bytes; slab_pages = sum of the slabs' lengths
 *
 * Not thread-safe: the caller holds a lock. */
#ifndef HW_CORE_SLAB_H
#define HW_CORE_SLAB_H

#include "core/page_heap.h"
#include "core/size_class.h"

#define HW_SLAB_MIN_BYTES ((size_t)1024)
#define HW_SLAB_MAX_BYTES ((size_t)32768)
#define HW_SLAB_CLASSES 41
#define HW_SLAB_UNIT_BYTES 128u
#define HW_SLAB_UNITS_MIN 8u /* HW_SLAB_MIN_BYTES: smaller classes there are none */
#define HW_SLAB_SLOTS 64

typedef struct {
    uint64_t free;                 /* bit i: slot i is free */
    uint32_t class;
    uint32_t slots;
    uint16_t slack[HW_SLAB_SLOTS]; /* bytes of a live slot that were not asked for */
} hw_slab;

typedef struct {
    uint32_t partial[HW_SLAB_CLASSES]; /* first page of the first slab with a free slot */
    uint32_t slab_pages;
    uint64_t live_bytes;
} hw_slabs;

/* Class of a request of 1 .. HW_SLAB_MAX_BYTES bytes. */
static inline unsigned hw_slab_class(size_t size_bytes) {
    unsigned units = ((unsigned)size_bytes + HW_SLAB_UNIT_BYTES - 1) / HW_SLAB_UNIT_BYTES;
    return units <= HW_SLAB_UNITS_MIN ? 0 : hw_size_class(units) - (HW_SLAB_UNITS_MIN - 1);
}

static inline uint32_t hw_slab_class_bytes(unsigned class) {
    return hw_size_class_units(class + HW_SLAB_UNITS_MIN - 1) * HW_SLAB_UNIT_BYTES;
}

static inline uint32_t hw_slab_class_pages(unsigned class) { return hw_slab_class_bytes(class) <= 4096 ? 16 : 64; }

/* Bookkeeping of the slab whose span starts at `page`. */
static inline hw_slab *hw_slab_at(const hw_page_heap *heap, uint32_t page) {
    return (hw_slab *)(hw_page_at(heap, page) + 1);
}

void hw_slabs_init(hw_slabs *slabs);

/* A slot for `size_bytes` in 1 .. HW_SLAB_MAX_BYTES: its byte offset in the heap. Where the class has no free slot, a new
 * slab comes from the page heap. Returns UINT64_MAX when the page heap has no span for one. */
uint64_t hw_slab_allocate(hw_slabs *slabs, hw_page_heap *heap, size_t size_bytes);

/* The slot that starts at byte `offset` of the slab at `page`, or -1 when no live slot starts there. */
int hw_slab_slot(const hw_page_heap *heap, uint32_t page, uint64_t offset);

/* Frees a live slot. */
void hw_slab_free(hw_slabs *slabs, hw_page_heap *heap, uint32_t page, int slot);

/* Gives every empty slab back to the page heap. Returns how many pages. */
uint32_t hw_slabs_trim(hw_slabs *slabs, hw_page_heap *heap);

/* Walks S1..S3. Returns NULL or the invariant that does not hold. */
const char *hw_slabs_check(const hw_slabs *slabs, const hw_page_heap *heap, uint32_t *page);

#endif
