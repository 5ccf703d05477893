/* Array heaps: random programs over three heaps of which any, or none, serves, as NumPy would drive them through the heap
 * hook; contents, tables and who is kept are checked against plain bookkeeping after each step. */
#undef NDEBUG
#include "os/pages.h"
#include "process/array_heap.h"
#include "process/heap_hook.h"
#include "process/record.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAPS = 3, LIVE_MAX = 200, STEPS = 20000, SPACE_BYTES = 2 << 20 };

typedef struct {
    hw_array_heap arrays; /* first: the callbacks get its address */
    hw_space space;
    hw_heap heap;
    bool kept;
    int entered;
} owned;

typedef struct {
    unsigned char *address;
    size_t size_bytes;
    unsigned char fill;
} held;

static owned heaps[HEAPS];
static held live[LIVE_MAX];
static int count;
static uint64_t state = 88172645463325252u;

static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 16) % n);
}

static void enter(hw_array_heap *arrays) { ((owned *)arrays)->entered++; }

static void left(hw_array_heap *arrays) {
    owned *heap = (owned *)arrays;
    assert(heap->kept);
    heap->kept = false;
}

static void *below_malloc(void *ctx, size_t size) { return malloc(size); }
static void *below_calloc(void *ctx, size_t nelem, size_t elsize) { return calloc(nelem, elsize); }
static void *below_realloc(void *ctx, void *address, size_t size) { return realloc(address, size); }
static void below_free(void *ctx, void *address, size_t size) { free(address); }

static void serve(owned *heap) {
    bool newly;
    assert(hw_array_heap_serve(heap ? &heap->arrays : NULL, &newly) == 0);
    if (newly) {
        assert(!heap->kept);
        heap->kept = true;
    }
}

static void check(void) {
    int64_t all_blocks = 0, all_bytes = 0;
    for (int i = 0; i < HEAPS; i++) {
        uint64_t where;
        owned *heap = &heaps[i];
        size_t blocks = 0;
        int64_t bytes = 0;
        for (int j = 0; j < count; j++)
            if (hw_array_heap_of(live[j].address) == &heap->arrays) blocks++, bytes += (int64_t)live[j].size_bytes;
        all_blocks += (int64_t)blocks, all_bytes += bytes;
        assert(hw_heap_check(&heap->heap, &where) == NULL);
        assert(heap->arrays.blocks == blocks && hw_strategy_totals_of(heap->heap.control).blocks == blocks);
        assert(heap->kept == (blocks != 0 || hw_array_heap_serving == &heap->arrays)); /* A1 */
        if (heap->kept) assert(heap->arrays.table.count == blocks && hw_address_table_check(&heap->arrays.table)); /* A2 */
        int places = 0; /* A3 */
        for (int place = 0; place < HW_RECORD_HEAPS; place++) {
            const hw_record_heap *written = &hw_process_record->heaps[place];
            if (written->size_bytes == 0 || written->base != (int64_t)(uintptr_t)heap->space.base) continue;
            assert(heap->arrays.place == place && written->array_bytes == bytes && written->size_bytes == SPACE_BYTES);
            places++;
        }
        assert(places == heap->kept);
    }
    assert(hw_process_record->array_heaps_blocks == all_blocks && hw_process_record->array_heaps_bytes == all_bytes);
}

static size_t random_size(void) { return random_below(4) == 0 ? random_below(400000) + 1 : random_below(3000) + 1; }

static void check_fill(const held *block, size_t size) {
    for (size_t i = 0; i < size; i++) assert(block->address[i] == block->fill);
}

static void allocate(void) {
    held *block = &live[count];
    bool zeroed = random_below(2);
    size_t size = random_size();
    hw_array_heap *serving = hw_array_heap_serving;
    *block = (held){zeroed ? hw_heap_hook.calloc(NULL, 1, size) : hw_heap_hook.malloc(NULL, size), size, 0};
    if (block->address == NULL) {
        assert(!hw_heap_hook_falls_back && serving != NULL && size >= 1024);
        return;
    }
    hw_array_heap *from = hw_array_heap_of(block->address);
    assert(from == NULL || (from == serving && size >= 1024 && (uintptr_t)block->address % HW_ARRAY_ALIGNMENT == 0));
    if (zeroed) check_fill(block, size);
    block->fill = (unsigned char)random_below(256);
    memset(block->address, block->fill, size);
    count++;
}

static void resize(held *block) {
    size_t size = random_size(), kept = size < block->size_bytes ? size : block->size_bytes;
    unsigned char *moved = hw_heap_hook.realloc(NULL, block->address, size);
    if (moved == NULL) {
        assert(!hw_heap_hook_falls_back);
        check_fill(block, block->size_bytes);
        return;
    }
    *block = (held){moved, size, block->fill};
    check_fill(block, kept);
    memset(moved, block->fill, size);
}

static void release(int which) {
    check_fill(&live[which], live[which].size_bytes);
    hw_heap_hook.free(NULL, live[which].address, live[which].size_bytes);
    live[which] = live[--count];
}

static void step(int number) {
    uint32_t what = random_below(100);
    size_t returned_bytes;
    if (what < 2) serve(random_below(4) == 0 ? NULL : &heaps[random_below(HEAPS)]);
    else if (what < 3) hw_heap_hook_falls_back = random_below(2);
    else if (what < 5) assert(hw_heap_trim(&heaps[random_below(HEAPS)].heap, random_below(1 << 20), &returned_bytes) == 0);
    else if (what < 45 && count < LIVE_MAX) allocate();
    else if (what < 60 && count > 0) resize(&live[random_below((uint32_t)count)]);
    else if (count > 0) release((int)random_below((uint32_t)count));
    if (number % 16 == 0) check();
}

int main(void) {
    hw_heap_hook_below = (hw_array_functions){NULL, below_malloc, below_calloc, below_realloc, below_free};
    for (int i = 0; i < HEAPS; i++) {
        owned *heap = &heaps[i];
        assert(hw_space_open(&heap->space, SPACE_BYTES, 4096, false, HW_PAGES_READ | HW_PAGES_WRITE) == 0);
        assert(hw_heap_open(&heap->heap, &heap->space, (enum hw_strategy)i) == 0);
        heap->arrays = (hw_array_heap){.heap = &heap->heap, .enter = enter, .left = left};
    }
    for (int number = 0; number < STEPS; number++) step(number);
    while (count > 0) release(0);
    serve(NULL);
    check();
    for (int i = 0; i < HEAPS; i++) {
        assert(!heaps[i].kept && heaps[i].entered > 100);
        hw_heap_close(&heaps[i].heap);
        hw_space_close(&heaps[i].space);
    }
    puts("array heaps: ok");
    return 0;
}
