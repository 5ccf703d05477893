#include "core/slab.h"

#include <assert.h>

/* The bookkeeping must fit between the first and the last entry of the smallest slab. */
_Static_assert(sizeof(hw_slab) <= 14 * sizeof(hw_page_entry), "a slab's bookkeeping overflows its page entries");
_Static_assert(HW_TERRITORY_PAGES % 64 == 0, "an aligned slab must not cross a territory");

static void list_insert(hw_slabs *slabs, hw_page_heap *heap, unsigned class, uint32_t page) {
    uint32_t first = slabs->partial[class];
    hw_page_at(heap, page)->bin_next = first;
    hw_page_at(heap, page)->bin_previous = HW_NO_PAGE;
    if (first != HW_NO_PAGE) hw_page_at(heap, first)->bin_previous = page;
    slabs->partial[class] = page;
}

static void list_remove(hw_slabs *slabs, hw_page_heap *heap, unsigned class, uint32_t page) {
    uint32_t next = hw_page_at(heap, page)->bin_next, previous = hw_page_at(heap, page)->bin_previous;
    if (next != HW_NO_PAGE) hw_page_at(heap, next)->bin_previous = previous;
    if (previous != HW_NO_PAGE)
        hw_page_at(heap, previous)->bin_next = next;
    else
        slabs->partial[class] = next;
}

static inline uint64_t all_slots(uint32_t slots) { return ~UINT64_C(0) >> (64 - slots); }

void hw_slabs_init(hw_slabs *slabs) {
    for (unsigned class = 0; class < HW_SLAB_CLASSES; class++) slabs->partial[class] = HW_NO_PAGE;
    slabs->slab_pages = 0;
    slabs->live_bytes = 0;
}

uint64_t hw_slab_allocate(hw_slabs *slabs, hw_page_heap *heap, size_t size_bytes) {
    assert(size_bytes > 0 && size_bytes <= HW_SLAB_MAX_BYTES);
    unsigned class = hw_slab_class(size_bytes);
    uint32_t bytes = hw_slab_class_bytes(class), page = slabs->partial[class];
    if (page == HW_NO_PAGE) {
        uint32_t pages = hw_slab_class_pages(class);
        page = hw_page_heap_allocate(heap, pages, pages, HW_SPAN_SLAB, false);
        if (page == HW_NO_PAGE) return UINT64_MAX;
        hw_slab *fresh = hw_slab_at(heap, page);
        fresh->class = class;
        fresh->slots = (uint32_t)(pages * HW_PAGE_BYTES / bytes);
        fresh->free = all_slots(fresh->slots);
        slabs->slab_pages += pages;
        list_insert(slabs, heap, class, page);
    }
    hw_slab *slab = hw_slab_at(heap, page);
    unsigned slot = (unsigned)__builtin_ctzll(slab->free);
    slab->free &= slab->free - 1;
    slab->slack[slot] = (uint16_t)(bytes - size_bytes);
    if (slab->free == 0) list_remove(slabs, heap, class, page);
    slabs->live_bytes += bytes;
    return (uint64_t)page * HW_PAGE_BYTES + (uint64_t)slot * bytes;
}

int hw_slab_slot(const hw_page_heap *heap, uint32_t page, uint64_t offset) {
    const hw_slab *slab = hw_slab_at(heap, page);
    uint32_t bytes = hw_slab_class_bytes(slab->class), inside = (uint32_t)(offset - (uint64_t)page * HW_PAGE_BYTES);
    uint32_t slot = inside / bytes;
    return slot < slab->slots && slot * bytes == inside && !(slab->free >> slot & 1) ? (int)slot : -1;
}

static void give_back(hw_slabs *slabs, hw_page_heap *heap, uint32_t page) {
    list_remove(slabs, heap, hw_slab_at(heap, page)->class, page);
    slabs->slab_pages -= hw_page_at(heap, page)->length;
    hw_page_heap_free(heap, page, false);
}

void hw_slab_free(hw_slabs *slabs, hw_page_heap *heap, uint32_t page, int slot) {
    hw_slab *slab = hw_slab_at(heap, page);
    bool was_full = slab->free == 0;
    assert(!(slab->free >> slot & 1));
    slab->free |= UINT64_C(1) << slot;
    slabs->live_bytes -= hw_slab_class_bytes(slab->class);
    if (was_full) list_insert(slabs, heap, slab->class, page);
    if (slab->free != all_slots(slab->slots)) return;
    bool alone = hw_page_at(heap, page)->bin_next == HW_NO_PAGE && hw_page_at(heap, page)->bin_previous == HW_NO_PAGE;
    if (!alone) give_back(slabs, heap, page);
}

uint32_t hw_slabs_trim(hw_slabs *slabs, hw_page_heap *heap) {
    uint32_t before = slabs->slab_pages;
    for (unsigned class = 0; class < HW_SLAB_CLASSES; class++)
        for (uint32_t page = slabs->partial[class], next; page != HW_NO_PAGE; page = next) {
            next = hw_page_at(heap, page)->bin_next;
            if (hw_slab_at(heap, page)->free == all_slots(hw_slab_at(heap, page)->slots)) give_back(slabs, heap, page);
        }
    return before - slabs->slab_pages;
}

const char *hw_slabs_check(const hw_slabs *slabs, const hw_page_heap *heap, uint32_t *page) {
    uint32_t pages = 0, with_free = 0, listed = 0;
    uint64_t live_bytes = 0;
    for (uint32_t span = 0; span < heap->mapped; span += hw_page_at(heap, span)->length) {
        if (hw_page_at(heap, span)->state != HW_SPAN_SLAB) continue;
        *page = span;
        const hw_slab *slab = hw_slab_at(heap, span);
        if (slab->class >= HW_SLAB_CLASSES || slab->slots == 0 || slab->slots > HW_SLAB_SLOTS) return "S2: no such class";
        if (slab->free & ~all_slots(slab->slots)) return "S2: a slot beyond the last is free";
        uint32_t live = slab->slots - (uint32_t)__builtin_popcountll(slab->free);
        live_bytes += (uint64_t)live * hw_slab_class_bytes(slab->class);
        pages += hw_page_at(heap, span)->length;
        with_free += slab->free != 0;
    }
    for (unsigned class = 0; class < HW_SLAB_CLASSES; class++) {
        uint32_t previous = HW_NO_PAGE;
        for (uint32_t slab = slabs->partial[class]; slab != HW_NO_PAGE;
             previous = slab, slab = hw_page_at(heap, slab)->bin_next) {
            *page = slab;
            if (slab >= heap->mapped || !hw_page_is_head(heap, slab) || hw_page_at(heap, slab)->state != HW_SPAN_SLAB)
                return "S1: a partial list holds what is not a slab";
            if (hw_slab_at(heap, slab)->class != class || hw_slab_at(heap, slab)->free == 0)
                return "S1: a slab on the wrong list";
            if (hw_page_at(heap, slab)->bin_previous != previous || ++listed > with_free) return "S1: broken partial list";
        }
    }
    *page = 0;
    if (listed != with_free) return "S1: a slab with free slots is on no list";
    if (pages != slabs->slab_pages || live_bytes != slabs->live_bytes) return "S3: slabs do not add up";
    return NULL;
}
