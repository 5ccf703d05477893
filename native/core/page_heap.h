/* A coalescing page heap: runs of pages ("spans") handed out by best fit, merged again when they come back.
 *
 * It computes on page numbers and makes no system call. The bytes that the numbers stand for may lie anywhere; the heap's
 * own data lie in a control region without a pointer in it, so the region may be moved or mapped elsewhere.
 *
 * Why one heap of spans and not a cache by size class: programs free 30 MB and then ask for 31. A cache keeps the 30 and
 * fetches 31 more (measured on scikit-image: +64 % peak against +3 % for coalescing spans).
 *
 * Two things are known of every free page: whether it is dirty (the kernel has backed it with memory, so reusing it
 * costs no fault and giving it back is worth a system call) or clean (it has no memory and reads as zero), one bit each.
 * Dirty and clean neighbours merge into one span all the same, since the caller wants the length first of all.
 *
 *     span       free, live, or slab (a live span that slab.h cuts into slots)
 *     mapped     pages [0, mapped) exist; the caller adds pages at the end with hw_page_heap_extend
 *     bin        list of the free spans of one length class: exact below 64 pages, then 8 classes per doubling
 *     age list   the free spans with dirty pages, least recently freed first: the order in which to give memory back
 *
 * Costs: allocate, free and resize are O(1) in the number of spans, except that a bin's list is searched for the tightest
 * fit, at most HW_BIN_SEARCH spans deep; setting and counting dirty bits takes one step per 64 pages of the block.
 *
 * Invariants, walked by hw_page_heap_check:
 *   P1  spans tile [0, mapped): each starts where the one before it ends
 *   P2  the head bit of a page is set exactly where a span starts
 *   P3  first and last entry of a span agree on length and state
 *   P4  no two neighbours are free (coalescing is complete)
 *   P5  a free span is in exactly the bin of its length, once; bin_bits has a bit for each bin that is not empty
 *   P6  a free span's `dirty` is the number of its dirty bits; it is on the age list if and only if that is not 0
 *   P7  live_pages + free_pages = mapped; dirty_pages = sum of `dirty` over the free spans
 *
 * Not thread-safe: the caller holds a lock. */
#ifndef HW_CORE_PAGE_HEAP_H
#define HW_CORE_PAGE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HW_PAGE_SHIFT 12
#define HW_PAGE_BYTES ((size_t)1 << HW_PAGE_SHIFT)
#define HW_NO_PAGE UINT32_MAX

/* Control data come in pieces, one per territory of 2^18 pages (1 GiB), so that they grow with the heap. */
#define HW_TERRITORY_SHIFT 18
#define HW_TERRITORY_PAGES ((uint32_t)1 << HW_TERRITORY_SHIFT)

#define HW_EXACT_BINS 64
#define HW_BINS (HW_EXACT_BINS + 26 * 8)
#define HW_BIN_SEARCH 32
#define HW_UNIT_SEARCH 32

enum { HW_SPAN_FREE = 1, HW_SPAN_LIVE = 2, HW_SPAN_SLAB = 3 };

/* One per page, with meaning at the first and last page of a span only (a slab keeps its slots' bookkeeping in the
 * entries between them; see slab.h). */
typedef struct {
    uint32_t length;                 /* pages; at the first and the last page */
    uint32_t state;                  /* HW_SPAN_*; at the first and the last page */
    uint32_t dirty;                  /* free: dirty pages in the span */
    uint32_t slack;                  /* live: bytes of the span that were not asked for */
    uint32_t bin_next, bin_previous; /* free: in its bin; slab: in the list of its class */
    uint32_t age_next, age_previous; /* free and dirty: on the age list, next = more recently freed */
} hw_page_entry;

typedef struct {
    uint32_t mapped, live_pages, free_pages, dirty_pages; /* pages */
    uint32_t oldest, newest;                              /* ends of the age list */
    uint64_t bin_bits[(HW_BINS + 63) / 64];
    uint32_t bin_first[HW_BINS];
} hw_page_heap;

#define HW_CONTROL_HEADER_BYTES ((size_t)8192)
#define HW_TERRITORY_BITMAP_BYTES ((size_t)HW_TERRITORY_PAGES / 8)
#define HW_TERRITORY_BYTES (2 * HW_TERRITORY_BITMAP_BYTES + HW_TERRITORY_PAGES * sizeof(hw_page_entry))

/* Bytes of zeroed control region that a heap of `pages` pages needs, from its start. */
static inline size_t hw_page_heap_control_bytes(uint64_t pages) {
    uint64_t territories = (pages + HW_TERRITORY_PAGES - 1) >> HW_TERRITORY_SHIFT;
    return HW_CONTROL_HEADER_BYTES + (size_t)territories * HW_TERRITORY_BYTES;
}

static inline char *hw_territory(const hw_page_heap *heap, uint32_t page) {
    return (char *)heap + HW_CONTROL_HEADER_BYTES + (size_t)(page >> HW_TERRITORY_SHIFT) * HW_TERRITORY_BYTES;
}

static inline uint64_t *hw_dirty_word(const hw_page_heap *heap, uint32_t page) {
    return (uint64_t *)hw_territory(heap, page) + (page & (HW_TERRITORY_PAGES - 1)) / 64;
}

static inline uint64_t *hw_head_word(const hw_page_heap *heap, uint32_t page) {
    return (uint64_t *)(hw_territory(heap, page) + HW_TERRITORY_BITMAP_BYTES) + (page & (HW_TERRITORY_PAGES - 1)) / 64;
}

static inline hw_page_entry *hw_page_at(const hw_page_heap *heap, uint32_t page) {
    return (hw_page_entry *)(hw_territory(heap, page) + 2 * HW_TERRITORY_BITMAP_BYTES) +
           (page & (HW_TERRITORY_PAGES - 1));
}

static inline bool hw_page_is_head(const hw_page_heap *heap, uint32_t page) {
    return (*hw_head_word(heap, page) >> (page & 63)) & 1;
}

/* Makes an empty heap in a zeroed control region of at least hw_page_heap_control_bytes(0). */
void hw_page_heap_init(hw_page_heap *heap);

/* Adds `pages` clean pages at the end. The control region must cover them. */
void hw_page_heap_extend(hw_page_heap *heap, uint32_t pages);

/* The free span that hw_page_heap_allocate would cut the block from, or HW_NO_PAGE. */
uint32_t hw_page_heap_find(const hw_page_heap *heap, uint32_t pages, uint32_t alignment, bool roomy);

/* Hands out `pages` > 0 pages starting at a multiple of `alignment` pages (a power of two), as a span in `state`
 * (HW_SPAN_LIVE or HW_SPAN_SLAB), from the shortest free span that holds them, lowest address first among equals.
 * `roomy` asks for the longest one instead, so that the block can grow where it is.
 * Returns the first page, or HW_NO_PAGE when no free span fits. The dirty bits of the block stay as they were, so that
 * hw_page_heap_dirty_run tells which of its pages need clearing. */
uint32_t hw_page_heap_allocate(hw_page_heap *heap, uint32_t pages, uint32_t alignment, uint32_t state, bool roomy);

/* Takes back the span that starts at `page`. `clean` says that the kernel holds no memory for it any more. */
void hw_page_heap_free(hw_page_heap *heap, uint32_t page, bool clean);

/* Changes the length of the live span at `page` where it lies. Returns false, with nothing changed, when the pages behind
 * it are not free. Shrinking always works. */
bool hw_page_heap_resize(hw_page_heap *heap, uint32_t page, uint32_t pages);

/* First page of the span that holds `page`: one step per 64 pages between the two. */
uint32_t hw_page_heap_span(const hw_page_heap *heap, uint32_t page);

/* First run of dirty pages in [*start, end): sets *start and returns its length, 0 when there is none. */
uint32_t hw_page_heap_dirty_run(const hw_page_heap *heap, uint32_t *start, uint32_t end);

/* How many of the pages [start, start + pages) are dirty. */
uint32_t hw_page_heap_count_dirty(const hw_page_heap *heap, uint32_t start, uint32_t pages);

/* Takes dirty pages out of the free spans, as a live span, so that the caller can give their memory back without the lock
 * and then free them as clean. At least one and about `limit` pages, least recently freed first:
 *   whole units, i.e. aligned groups of `unit` pages (a power of two, at least 64) that are dirty throughout, from the first
 *   HW_UNIT_SEARCH spans of the age list; such a group may be one huge page, which it would be a loss to break;
 *   else the last run of the oldest span. Last, because allocation fills spans from the front: what lies at the end is cold.
 * Returns how many and sets *start; 0 when no free page is dirty. */
uint32_t hw_page_heap_take_dirty(hw_page_heap *heap, uint32_t limit, uint32_t unit, uint32_t *start);

/* Pages in the longest free span. */
uint32_t hw_page_heap_longest(const hw_page_heap *heap);

/* Walks P1..P7. Returns NULL, or the name of the invariant that does not hold and, in *page, where. */
const char *hw_page_heap_check(const hw_page_heap *heap, uint32_t *page);

#endif
