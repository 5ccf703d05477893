#include "core/page_heap.h"

#include <assert.h>

_Static_assert(sizeof(hw_page_entry) == 32, "slab.h counts on the size of an entry");
_Static_assert(sizeof(hw_page_heap) <= HW_CONTROL_HEADER_BYTES, "the header must hold the heap");

#define AT(page) hw_page_at(heap, page)

/* ---- bits ---- */

static inline uint64_t bit(uint32_t page) { return UINT64_C(1) << (page & 63); }
static inline uint32_t word_start(uint32_t page) { return page & ~UINT32_C(63); }

/* The bits of the word that holds `page` which stand for pages in [page, end). */
static inline uint64_t word_mask(uint32_t page, uint32_t end) {
    uint64_t mask = ~UINT64_C(0) << (page & 63);
    if (end <= (page | 63)) mask &= ~UINT64_C(0) >> (63 - ((end - 1) & 63));
    return mask;
}

static void mark(hw_page_heap *heap, uint32_t start, uint32_t pages, bool dirty) {
    uint32_t end = start + pages;
    for (uint32_t page = start; page < end; page = word_start(page) + 64) {
        if (dirty)
            *hw_dirty_word(heap, page) |= word_mask(page, end);
        else
            *hw_dirty_word(heap, page) &= ~word_mask(page, end);
    }
}

uint32_t hw_page_heap_count_dirty(const hw_page_heap *heap, uint32_t start, uint32_t pages) {
    uint32_t end = start + pages, count = 0;
    for (uint32_t page = start; page < end; page = word_start(page) + 64)
        count += (uint32_t)__builtin_popcountll(*hw_dirty_word(heap, page) & word_mask(page, end));
    return count;
}

uint32_t hw_page_heap_dirty_run(const hw_page_heap *heap, uint32_t *start, uint32_t end) {
    uint32_t page = *start;
    uint64_t bits = 0;
    for (; page < end; page = word_start(page) + 64)
        if ((bits = *hw_dirty_word(heap, page) & word_mask(page, end)) != 0) break;
    if (page >= end) return 0;
    uint32_t first = *start = word_start(page) + (uint32_t)__builtin_ctzll(bits);
    for (page = first; page < end; page = word_start(page) + 64)
        if ((bits = ~*hw_dirty_word(heap, page) & word_mask(page, end)) != 0)
            return word_start(page) + (uint32_t)__builtin_ctzll(bits) - first;
    return end - first;
}

/* The last run of dirty pages in [start, end), cut to its last `limit` pages. The caller knows that there is one. */
static uint32_t last_dirty_run(const hw_page_heap *heap, uint32_t start, uint32_t end, uint32_t limit, uint32_t *run) {
    uint32_t page = word_start(end - 1);
    uint64_t bits;
    while ((bits = *hw_dirty_word(heap, page) & word_mask(page < start ? start : page, end)) == 0) {
        assert(page > start);
        page -= 64;
    }
    uint32_t stop = page + 64 - (uint32_t)__builtin_clzll(bits); /* one past the run */
    uint32_t lowest = stop - start > limit ? stop - limit : start, first = stop - 1;
    while (first > lowest && (*hw_dirty_word(heap, first - 1) & bit(first - 1))) {
        bool whole_word = (first & 63) == 0 && first - lowest >= 64 && *hw_dirty_word(heap, first - 64) == ~UINT64_C(0);
        first -= whole_word ? 64 : 1;
    }
    *run = first;
    return stop - first;
}

uint32_t hw_page_heap_span(const hw_page_heap *heap, uint32_t page) {
    uint64_t bits = *hw_head_word(heap, page) & (~UINT64_C(0) >> (63 - (page & 63)));
    while (bits == 0) {
        assert(page >= 64); /* P2: page 0 is a head */
        page = word_start(page) - 1;
        bits = *hw_head_word(heap, page);
    }
    return word_start(page) + 63 - (uint32_t)__builtin_clzll(bits);
}

/* ---- bins and ages ---- */

static inline unsigned bin_of(uint32_t pages) {
    if (pages < HW_EXACT_BINS) return pages;
    unsigned log = 31 - (unsigned)__builtin_clz(pages); /* at least 6 */
    return HW_EXACT_BINS + (log - 6) * 8 + ((pages >> (log - 3)) & 7);
}

static void bin_insert(hw_page_heap *heap, uint32_t page) {
    unsigned bin = bin_of(AT(page)->length);
    uint32_t first = heap->bin_first[bin];
    AT(page)->bin_next = first;
    AT(page)->bin_previous = HW_NO_PAGE;
    if (first != HW_NO_PAGE) AT(first)->bin_previous = page;
    heap->bin_first[bin] = page;
    heap->bin_bits[bin / 64] |= UINT64_C(1) << (bin % 64);
}

static void bin_remove(hw_page_heap *heap, uint32_t page) {
    const hw_page_entry *entry = AT(page);
    if (entry->bin_next != HW_NO_PAGE) AT(entry->bin_next)->bin_previous = entry->bin_previous;
    if (entry->bin_previous != HW_NO_PAGE) {
        AT(entry->bin_previous)->bin_next = entry->bin_next;
        return;
    }
    unsigned bin = bin_of(entry->length);
    heap->bin_first[bin] = entry->bin_next;
    if (entry->bin_next == HW_NO_PAGE) heap->bin_bits[bin / 64] &= ~(UINT64_C(1) << (bin % 64));
}

/* The first bin from `bin` on that is not empty, or HW_BINS. */
static unsigned bin_from(const hw_page_heap *heap, unsigned bin) {
    for (unsigned word = bin / 64; word < sizeof heap->bin_bits / sizeof *heap->bin_bits; word++) {
        uint64_t bits = heap->bin_bits[word];
        if (word == bin / 64) bits &= ~UINT64_C(0) << (bin % 64);
        if (bits != 0) return word * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return HW_BINS;
}

static unsigned last_bin(const hw_page_heap *heap) {
    for (unsigned word = sizeof heap->bin_bits / sizeof *heap->bin_bits; word-- > 0;)
        if (heap->bin_bits[word] != 0) return word * 64 + 63 - (unsigned)__builtin_clzll(heap->bin_bits[word]);
    return HW_BINS;
}

/* Puts `page` on the age list just before `successor` (HW_NO_PAGE: at the end, as the newest). */
static void age_insert(hw_page_heap *heap, uint32_t page, uint32_t successor) {
    uint32_t predecessor = successor == HW_NO_PAGE ? heap->newest : AT(successor)->age_previous;
    AT(page)->age_next = successor;
    AT(page)->age_previous = predecessor;
    if (predecessor != HW_NO_PAGE)
        AT(predecessor)->age_next = page;
    else
        heap->oldest = page;
    if (successor != HW_NO_PAGE)
        AT(successor)->age_previous = page;
    else
        heap->newest = page;
}

static void age_remove(hw_page_heap *heap, uint32_t page) {
    uint32_t next = AT(page)->age_next, previous = AT(page)->age_previous;
    if (previous != HW_NO_PAGE)
        AT(previous)->age_next = next;
    else
        heap->oldest = next;
    if (next != HW_NO_PAGE)
        AT(next)->age_previous = previous;
    else
        heap->newest = previous;
}

/* ---- spans ---- */

static void write_span(hw_page_heap *heap, uint32_t page, uint32_t pages, uint32_t state) {
    AT(page)->length = AT(page + pages - 1)->length = pages;
    AT(page)->state = AT(page + pages - 1)->state = state;
    *hw_head_word(heap, page) |= bit(page);
}

/* Makes [page, page + pages) a free span, at `successor`'s place in age. It must not touch another free span. */
static void add_free(hw_page_heap *heap, uint32_t page, uint32_t pages, uint32_t dirty, uint32_t successor) {
    write_span(heap, page, pages, HW_SPAN_FREE);
    AT(page)->dirty = dirty;
    bin_insert(heap, page);
    if (dirty != 0) age_insert(heap, page, successor);
    heap->free_pages += pages;
    heap->dirty_pages += dirty;
}

/* Takes a free span off its lists; sets *successor to the one that follows it in age, if it has an age. */
static void remove_free(hw_page_heap *heap, uint32_t page, uint32_t *successor) {
    bin_remove(heap, page);
    heap->free_pages -= AT(page)->length;
    heap->dirty_pages -= AT(page)->dirty;
    if (AT(page)->dirty == 0) return;
    *successor = AT(page)->age_next;
    age_remove(heap, page);
}

/* Adds a run that is free now, merged with its neighbours. A clean run leaves the age of its neighbours as it was; a
 * dirty one makes the whole span the newest. */
static void coalesce(hw_page_heap *heap, uint32_t page, uint32_t pages, bool clean) {
    uint32_t dirty = clean ? 0 : pages, successor = HW_NO_PAGE, after = page + pages;
    *hw_head_word(heap, page) &= ~bit(page);
    if (after < heap->mapped && AT(after)->state == HW_SPAN_FREE) {
        dirty += AT(after)->dirty;
        pages += AT(after)->length;
        remove_free(heap, after, &successor);
        *hw_head_word(heap, after) &= ~bit(after);
    }
    if (page > 0 && AT(page - 1)->state == HW_SPAN_FREE) {
        uint32_t before = page - AT(page - 1)->length;
        /* `successor` may be the very span that goes now; then its own successor takes its place */
        if (successor == before) successor = AT(before)->age_next;
        dirty += AT(before)->dirty;
        pages += AT(before)->length;
        remove_free(heap, before, &successor);
        page = before;
    }
    add_free(heap, page, pages, dirty, clean ? successor : HW_NO_PAGE);
}

/* Cuts [page, page + pages) out of the free span `span` and makes it a span in `state`. */
static void carve(hw_page_heap *heap, uint32_t span, uint32_t page, uint32_t pages, uint32_t state) {
    uint32_t length = AT(span)->length, dirty = AT(span)->dirty, successor = HW_NO_PAGE;
    remove_free(heap, span, &successor);
    uint32_t front = page - span, back = length - front - pages;
    /* count the dirty bits of the pieces that are cheapest to count */
    uint32_t front_dirty = 0, back_dirty = 0;
    if (dirty == length) {
        front_dirty = front;
        back_dirty = back;
    } else if (dirty != 0) {
        if (front != 0) front_dirty = hw_page_heap_count_dirty(heap, span, front);
        if (back != 0)
            back_dirty = back < pages ? hw_page_heap_count_dirty(heap, page + pages, back)
                                      : dirty - front_dirty - hw_page_heap_count_dirty(heap, page, pages);
    }
    if (back != 0) {
        add_free(heap, page + pages, back, back_dirty, successor);
        if (back_dirty != 0) successor = page + pages;
    }
    if (front != 0) add_free(heap, span, front, front_dirty, successor);
    write_span(heap, page, pages, state);
    AT(page)->slack = 0;
    heap->live_pages += pages;
}

void hw_page_heap_init(hw_page_heap *heap) {
    heap->mapped = heap->live_pages = heap->free_pages = heap->dirty_pages = 0;
    heap->oldest = heap->newest = HW_NO_PAGE;
    for (unsigned i = 0; i < sizeof heap->bin_bits / sizeof *heap->bin_bits; i++) heap->bin_bits[i] = 0;
    for (unsigned bin = 0; bin < HW_BINS; bin++) heap->bin_first[bin] = HW_NO_PAGE;
}

void hw_page_heap_extend(hw_page_heap *heap, uint32_t pages) {
    assert(pages > 0 && pages < HW_NO_PAGE - heap->mapped);
    uint32_t page = heap->mapped;
    heap->mapped += pages;
    coalesce(heap, page, pages, true);
}

/* Where in the free span a block can start, or HW_NO_PAGE. */
static inline uint32_t place(const hw_page_heap *heap, uint32_t span, uint32_t pages, uint32_t alignment) {
    uint32_t start = (span + alignment - 1) & ~(alignment - 1);
    uint32_t skipped = start - span, length = AT(span)->length;
    return skipped < length && length - skipped >= pages ? start : HW_NO_PAGE;
}

/* The best span of a bin: the shortest that fits (the longest if `roomy`), lowest address among equals. */
static uint32_t best_in_bin(const hw_page_heap *heap, unsigned bin, uint32_t pages, uint32_t alignment, bool roomy) {
    uint32_t best = HW_NO_PAGE;
    unsigned depth = 0;
    for (uint32_t span = heap->bin_first[bin]; span != HW_NO_PAGE && depth < HW_BIN_SEARCH;
         span = AT(span)->bin_next, depth++) {
        if (place(heap, span, pages, alignment) == HW_NO_PAGE) continue;
        if (best != HW_NO_PAGE) {
            uint32_t length = AT(span)->length, held = AT(best)->length;
            if (length == held ? span > best : (length > held) != roomy) continue;
        }
        best = span;
    }
    return best;
}

uint32_t hw_page_heap_find(const hw_page_heap *heap, uint32_t pages, uint32_t alignment, bool roomy) {
    assert(pages > 0 && alignment > 0 && (alignment & (alignment - 1)) == 0);
    uint32_t span = HW_NO_PAGE;
    if (roomy) {
        unsigned bin = last_bin(heap);
        if (bin < HW_BINS) span = best_in_bin(heap, bin, pages, alignment, true);
    }
    for (unsigned bin = bin_from(heap, bin_of(pages)); span == HW_NO_PAGE && bin < HW_BINS; bin = bin_from(heap, bin + 1))
        span = best_in_bin(heap, bin, pages, alignment, false);
    return span;
}

uint32_t hw_page_heap_allocate(hw_page_heap *heap, uint32_t pages, uint32_t alignment, uint32_t state, bool roomy) {
    uint32_t span = hw_page_heap_find(heap, pages, alignment, roomy);
    if (span == HW_NO_PAGE) return HW_NO_PAGE;
    uint32_t page = place(heap, span, pages, alignment);
    carve(heap, span, page, pages, state);
    return page;
}

void hw_page_heap_free(hw_page_heap *heap, uint32_t page, bool clean) {
    uint32_t pages = AT(page)->length;
    assert(hw_page_is_head(heap, page) && AT(page)->state != HW_SPAN_FREE);
    mark(heap, page, pages, !clean);
    heap->live_pages -= pages;
    coalesce(heap, page, pages, clean);
}

bool hw_page_heap_resize(hw_page_heap *heap, uint32_t page, uint32_t pages) {
    uint32_t held = AT(page)->length, end = page + held;
    assert(pages > 0 && AT(page)->state == HW_SPAN_LIVE);
    if (pages == held) return true;
    if (pages > held) {
        uint32_t more = pages - held;
        if (end >= heap->mapped || AT(end)->state != HW_SPAN_FREE || AT(end)->length < more) return false;
        uint32_t slack = AT(page)->slack;
        carve(heap, end, end, more, HW_SPAN_LIVE);
        *hw_head_word(heap, end) &= ~bit(end);
        write_span(heap, page, pages, HW_SPAN_LIVE);
        AT(page)->slack = slack;
        return true;
    }
    uint32_t less = held - pages;
    write_span(heap, page, pages, HW_SPAN_LIVE);
    write_span(heap, page + pages, less, HW_SPAN_LIVE);
    hw_page_heap_free(heap, page + pages, false);
    return true;
}

static inline bool unit_is_dirty(const hw_page_heap *heap, uint32_t start, uint32_t unit) {
    for (uint32_t page = start; page < start + unit; page += 64)
        if (*hw_dirty_word(heap, page) != ~UINT64_C(0)) return false;
    return true;
}

/* The last dirty units of a span, at most `limit` pages of them but at least one unit. */
static uint32_t last_dirty_units(const hw_page_heap *heap, uint32_t span, uint32_t limit, uint32_t unit, uint32_t *start) {
    uint32_t first = (span + unit - 1) & ~(unit - 1), end = (span + AT(span)->length) & ~(unit - 1);
    while (end > first && !unit_is_dirty(heap, end - unit, unit)) end -= unit;
    if (end <= first) return 0;
    uint32_t page = end - unit;
    while (page > first && end - page + unit <= limit && unit_is_dirty(heap, page - unit, unit)) page -= unit;
    *start = page;
    return end - page;
}

uint32_t hw_page_heap_take_dirty(hw_page_heap *heap, uint32_t limit, uint32_t unit, uint32_t *start) {
    assert(limit > 0 && unit >= 64 && (unit & (unit - 1)) == 0);
    if (heap->oldest == HW_NO_PAGE) return 0;
    uint32_t span = heap->oldest, pages = 0;
    for (unsigned depth = 0; span != HW_NO_PAGE && depth < HW_UNIT_SEARCH; span = AT(span)->age_next, depth++)
        if (AT(span)->dirty >= unit && (pages = last_dirty_units(heap, span, limit, unit, start)) != 0) break;
    if (pages == 0) {
        span = heap->oldest;
        pages = last_dirty_run(heap, span, span + AT(span)->length, limit, start);
    }
    carve(heap, span, *start, pages, HW_SPAN_LIVE);
    return pages;
}

uint32_t hw_page_heap_longest(const hw_page_heap *heap) {
    unsigned bin = last_bin(heap);
    uint32_t longest = 0;
    if (bin < HW_BINS)
        for (uint32_t span = heap->bin_first[bin]; span != HW_NO_PAGE; span = AT(span)->bin_next)
            if (AT(span)->length > longest) longest = AT(span)->length;
    return longest;
}

const char *hw_page_heap_check(const hw_page_heap *heap, uint32_t *page) {
    uint32_t live = 0, free_pages = 0, dirty = 0, free_spans = 0, aged_spans = 0, binned = 0, aged = 0;
    bool previous_free = false;
    for (uint32_t span = 0, length; span < heap->mapped; span += length) {
        *page = span;
        length = AT(span)->length;
        uint32_t state = AT(span)->state;
        if (length == 0 || length > heap->mapped - span) return "P1: the span leaves the heap";
        if (state < HW_SPAN_FREE || state > HW_SPAN_SLAB) return "P1: no such state";
        if (!hw_page_is_head(heap, span)) return "P2: a span starts without a head bit";
        if (length > 1 && hw_page_heap_span(heap, span + length - 1) != span) return "P2: a head bit inside a span";
        if (AT(span + length - 1)->length != length || AT(span + length - 1)->state != state)
            return "P3: first and last entry differ";
        if (state != HW_SPAN_FREE) {
            live += length;
            previous_free = false;
            continue;
        }
        if (previous_free) return "P4: two free neighbours";
        previous_free = true;
        uint32_t count = hw_page_heap_count_dirty(heap, span, length);
        if (count != AT(span)->dirty) return "P6: wrong number of dirty pages";
        free_pages += length;
        dirty += count;
        free_spans++;
        aged_spans += count != 0;
    }
    for (unsigned bin = 0; bin < HW_BINS; bin++) {
        uint32_t previous = HW_NO_PAGE;
        bool has_bit = heap->bin_bits[bin / 64] >> (bin % 64) & 1;
        if (has_bit != (heap->bin_first[bin] != HW_NO_PAGE)) return "P5: bin bit and bin disagree";
        for (uint32_t span = heap->bin_first[bin]; span != HW_NO_PAGE; previous = span, span = AT(span)->bin_next) {
            *page = span;
            if (span >= heap->mapped || !hw_page_is_head(heap, span) || AT(span)->state != HW_SPAN_FREE)
                return "P5: a bin holds what is not a free span";
            if (bin_of(AT(span)->length) != bin || AT(span)->bin_previous != previous) return "P5: in the wrong bin";
            if (++binned > free_spans) return "P5: a bin goes round in circles";
        }
    }
    if (binned != free_spans) return "P5: a free span is in no bin";
    uint32_t previous = HW_NO_PAGE;
    for (uint32_t span = heap->oldest; span != HW_NO_PAGE; previous = span, span = AT(span)->age_next) {
        *page = span;
        if (span >= heap->mapped || !hw_page_is_head(heap, span) || AT(span)->state != HW_SPAN_FREE || AT(span)->dirty == 0)
            return "P6: the age list holds what is not free and dirty";
        if (AT(span)->age_previous != previous || ++aged > aged_spans) return "P6: broken age list";
    }
    if (aged != aged_spans || heap->newest != previous) return "P6: a dirty span has no age";
    *page = 0;
    if (live != heap->live_pages || free_pages != heap->free_pages || live + free_pages != heap->mapped)
        return "P7: pages do not add up";
    if (dirty != heap->dirty_pages) return "P7: dirty pages do not add up";
    return NULL;
}
