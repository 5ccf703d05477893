/* Random programs against the page heap and its slabs, in lock-step with a plain map of which page belongs to whom. After
 * every few steps every invariant is walked; the control region is moved elsewhere in the middle. Usage: [steps] [seed] */
#include "core/page_heap.h"
#include "core/slab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 6000u
#define BLOCKS 300

static uint64_t state;
static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)((state * UINT64_C(0x2545F4914F6CDD1D)) >> 33) % n;
}

static hw_page_heap *heap;
static hw_slabs slabs;
static int owner[PAGES];    /* -1 free, else the block */
static bool dirty[PAGES];   /* what the dirty bit of a free page should say */
static struct { uint32_t page, pages; } block[BLOCKS];
static struct { uint64_t offset; size_t bytes; } small[BLOCKS];

#define FAIL(...) (fprintf(stderr, __VA_ARGS__), fprintf(stderr, "\n"), exit(1))

static void check(long step) {
    uint32_t page;
    const char *broken = hw_page_heap_check(heap, &page);
    if (broken == NULL) broken = hw_slabs_check(&slabs, heap, &page);
    if (broken != NULL) FAIL("step %ld, page %u: %s", step, page, broken);
    for (uint32_t p = 0; p < heap->mapped; p++) {
        uint32_t span = hw_page_heap_span(heap, p);
        bool is_free = hw_page_at(heap, span)->state == HW_SPAN_FREE;
        if (hw_page_at(heap, span)->state == HW_SPAN_SLAB) continue;
        if (is_free != (owner[p] == -1)) FAIL("step %ld: page %u is %s", step, p, is_free ? "free" : "live");
        if (is_free && (hw_page_heap_count_dirty(heap, p, 1) == 1) != dirty[p] && owner[p] != -2)
            FAIL("step %ld: page %u has the wrong dirty bit", step, p);
    }
}

/* The shortest run of free pages that holds an aligned block, by looking at every page: the definition of best fit.
 * Returns 0 when there is none. */
static uint32_t shortest(uint32_t pages, uint32_t alignment) {
    uint32_t best = 0;
    for (uint32_t p = 0; p < heap->mapped;) {
        uint32_t span = hw_page_heap_span(heap, p), length = hw_page_at(heap, span)->length;
        uint32_t start = (span + alignment - 1) / alignment * alignment;
        if (hw_page_at(heap, span)->state == HW_SPAN_FREE && start + pages <= span + length)
            if (best == 0 || length < best) best = length;
        p = span + length;
    }
    return best;
}

int main(int argc, char **argv) {
    long steps = argc > 1 ? atol(argv[1]) : 60000;
    state = argc > 2 ? strtoull(argv[2], NULL, 0) : 88172645463325252u;
    size_t control = hw_page_heap_control_bytes(PAGES);
    heap = calloc(1, control);
    hw_page_heap_init(heap);
    hw_slabs_init(&slabs);
    memset(owner, -1, sizeof owner);
    long refused = 0, taken = 0, resized = 0;

    for (unsigned class = 0; class < HW_SLAB_CLASSES; class++) { /* the classes are what slab.h says */
        size_t bytes = hw_slab_class_bytes(class);
        if (hw_slab_class(bytes) != class || bytes % 128 != 0) FAIL("class %u", class);
        if (class > 0 && (hw_slab_class(hw_slab_class_bytes(class - 1) + 1) != class ||
                          8 * (bytes - hw_slab_class_bytes(class - 1) - 1) > bytes))
            FAIL("class %u is too coarse", class);
    }

    for (long step = 0; step < steps; step++) {
        uint32_t op = random_below(100), i = random_below(BLOCKS);
        if (op < 2 && heap->mapped + 600 <= PAGES) {
            uint32_t more = 1 + random_below(600);
            hw_page_heap_extend(heap, more);
        } else if (op < 45) { /* a large block */
            if (block[i].pages != 0) continue;
            uint32_t pages = 1 + random_below(random_below(4) ? 20 : 400), alignment = 1u << random_below(random_below(3) ? 1 : 8);
            bool roomy = random_below(10) == 0;
            uint32_t fit = shortest(pages, alignment);
            uint32_t page = hw_page_heap_allocate(heap, pages, alignment, HW_SPAN_LIVE, roomy);
            if ((page == HW_NO_PAGE) != (fit == 0)) FAIL("step %ld: %s", step, fit ? "refused though it fits" : "no fit");
            if (page == HW_NO_PAGE) {
                refused++;
                continue;
            }
            if (page % alignment) FAIL("step %ld: misaligned", step);
            for (uint32_t p = page; p < page + pages; p++) {
                if (p >= heap->mapped || owner[p] != -1) FAIL("step %ld: page %u handed out twice", step, p);
                owner[p] = (int)i;
            }
            block[i].page = page, block[i].pages = pages;
        } else if (op < 75) {
            if (block[i].pages == 0) continue;
            bool clean = random_below(4) == 0;
            for (uint32_t p = block[i].page; p < block[i].page + block[i].pages; p++) owner[p] = -1, dirty[p] = !clean;
            hw_page_heap_free(heap, block[i].page, clean);
            block[i].pages = 0;
        } else if (op < 80) {
            if (block[i].pages == 0) continue;
            uint32_t pages = 1 + random_below(60), end = block[i].page + block[i].pages;
            bool room = true;
            for (uint32_t p = end; p < block[i].page + pages; p++)
                if (p >= heap->mapped || owner[p] != -1 || hw_page_at(heap, hw_page_heap_span(heap, p))->state != HW_SPAN_FREE)
                    room = false;
            if (hw_page_heap_resize(heap, block[i].page, pages) != room) FAIL("step %ld: resize", step);
            if (!room) continue;
            resized++;
            for (uint32_t p = end; p < block[i].page + pages; p++) owner[p] = (int)i;
            for (uint32_t p = block[i].page + pages; p < end; p++) owner[p] = -1, dirty[p] = true;
            block[i].pages = pages;
        } else if (op < 84) {
            uint32_t start, pages = hw_page_heap_take_dirty(heap, 1 + random_below(100), 64, &start);
            if (pages == 0 && heap->dirty_pages != 0) FAIL("step %ld: dirty pages that nobody finds", step);
            if (pages == 0) continue;
            for (uint32_t p = start; p < start + pages; p++) {
                if (owner[p] != -1 || !dirty[p]) FAIL("step %ld: took a page that is not free and dirty", step);
                dirty[p] = false;
            }
            hw_page_heap_free(heap, start, true);
            taken++;
        } else if (op < 93) {
            if (small[i].bytes != 0) continue;
            size_t bytes = 1 + random_below(HW_SLAB_MAX_BYTES);
            uint64_t offset = hw_slab_allocate(&slabs, heap, bytes);
            if (offset == UINT64_MAX) continue;
            if (offset % 64) FAIL("step %ld: slot not aligned to 64", step);
            for (int k = 0; k < BLOCKS; k++)
                if (small[k].bytes && offset < small[k].offset + small[k].bytes && small[k].offset < offset + bytes)
                    FAIL("step %ld: slots overlap", step);
            uint32_t page = hw_page_heap_span(heap, (uint32_t)(offset / HW_PAGE_BYTES));
            for (uint32_t p = page; p < page + hw_page_at(heap, page)->length; p++) {
                if (owner[p] >= 0) FAIL("step %ld: slab over a block", step);
                dirty[p] = true; /* whenever the slab is given back, all of it counts as dirty */
            }
            small[i].offset = offset, small[i].bytes = bytes;
        } else if (op < 99) {
            if (small[i].bytes == 0) continue;
            uint32_t page = hw_page_heap_span(heap, (uint32_t)(small[i].offset / HW_PAGE_BYTES));
            int slot = hw_slab_slot(heap, page, small[i].offset);
            if (slot < 0 || hw_slab_slot(heap, page, small[i].offset + 64) >= 0) FAIL("step %ld: slot", step);
            hw_slab_free(&slabs, heap, page, slot);
            small[i].bytes = 0;
        } else if (op == 99 && random_below(4) == 0) {
            hw_slabs_trim(&slabs, heap);
            hw_page_heap *moved = calloc(1, control); /* position independence: go on in a copy */
            memcpy(moved, heap, control);
            memset(heap, 0x5a, HW_CONTROL_HEADER_BYTES);
            free(heap);
            heap = moved;
        }
        if (step % 16 == 0) check(step);
    }
    check(steps);
    printf("page heap: %ld steps, %ld refused, %ld runs taken, %ld resized, %u pages mapped\n", steps, refused, taken, resized,
           heap->mapped);
    free(heap);
    return 0;
}
