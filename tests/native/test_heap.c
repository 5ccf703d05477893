/* Heap over space: random programs in which blocks are written to, memory is given back, access changes, and the n-th
 * system call fails, for every n; all invariants walked after each step. */
#undef NDEBUG
#include "heap/heap.h"
#include "os/pages.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIVE_MAX = 300 };
static uint64_t state;

typedef struct {
    hw_strategy_handle handle;
    uint64_t size_bytes;
    unsigned char fill;
} held;

static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 16) % n);
}

static unsigned char *bytes_of(hw_heap *heap, const held *block) {
    return (unsigned char *)heap->space->base + block->handle.offset_bytes;
}

static void check(hw_heap *heap) {
    uint64_t where;
    const char *broken = hw_heap_check(heap, &where);
    if (broken != NULL) fprintf(stderr, "%s at offset %llu\n", broken, (unsigned long long)where), abort();
    assert(heap->space->prefix_bytes <= heap->space->committed_bytes); /* S1 */
    assert(hw_space_committed_in(heap->space, 0, heap->space->size_bytes) == heap->space->committed_bytes); /* S2 */
    size_t resident = 0;
    if (hw_space_resident(heap->space, &resident) == 0) assert(resident <= heap->space->committed_bytes);
}

static int allocate(hw_heap *heap, uint64_t size, uint64_t alignment, hw_strategy_handle *handle) {
    return hw_heap_allocate_fused(heap, hw_heap_strategy(heap), size, alignment, handle);
}

static void check_fill(hw_heap *heap, const held *block, uint64_t size) {
    for (uint64_t i = 0; i < size; i++) assert(bytes_of(heap, block)[i] == block->fill);
}

/* Returns false if the n-th system call was never reached. */
static bool random_program(enum hw_strategy strategy, uint64_t seed, bool huge, uint32_t steps, long fail_nth) {
    hw_space space;
    hw_heap heap;
    held live[LIVE_MAX];
    uint32_t count = 0;
    state = seed * 2654435761u + 88172645463325252u;
    hw_pages_fail_nth(fail_nth);
    size_t size_bytes = (size_t)(1 + random_below(8)) << 20;
    if (hw_space_open(&space, size_bytes, 1 << 13, huge, HW_PAGES_READ | HW_PAGES_WRITE) != 0) return true;
    if (hw_heap_open(&heap, &space, strategy) != 0) return hw_space_close(&space), true;
    for (uint32_t step = 0; step < steps; step++) {
        uint32_t act = random_below(100);
        uint64_t size = random_below(6) ? random_below(2000) : random_below(300000);
        size_t returned;
        if (act < 50 && count < LIVE_MAX) {
            held block = {.size_bytes = size, .fill = (unsigned char)random_below(256)};
            int result = allocate(&heap, size, (uint64_t)1 << random_below(14), &block.handle);
            assert(result == 0 || result == HW_HEAP_FULL || (fail_nth && result == ENOMEM));
            if (result == 0) memset(bytes_of(&heap, &block), block.fill, size), live[count++] = block;
        } else if (act < 80 && count > 0) {
            uint32_t i = random_below(count);
            check_fill(&heap, &live[i], live[i].size_bytes);
            assert(hw_heap_free_fused(&heap, strategy, live[i].handle) == 0);
            live[i] = live[--count];
        } else if (act < 90 && count > 0) {
            held *block = &live[random_below(count)];
            if (hw_heap_resize(&heap, block->handle, size) == 0) {
                check_fill(&heap, block, size < block->size_bytes ? size : block->size_bytes);
                block->size_bytes = size;
                memset(bytes_of(&heap, block), block->fill, size);
            }
        } else if (act < 96) {
            size_t before = space.committed_bytes;
            hw_heap_trim(&heap, random_below(2) ? random_below(1 << 20) : 0, &returned);
            assert(space.committed_bytes + returned == before);
        } else if (hw_space_protect(&space, HW_PAGES_READ) == 0) {
            while (hw_space_protect(&space, HW_PAGES_READ | HW_PAGES_WRITE) != 0) continue;
        }
        check(&heap);
    }
    bool reached = hw_pages_fail_nth(0) == 0;
    while (count > 0) {
        count--;
        check_fill(&heap, &live[count], live[count].size_bytes);
        assert(hw_heap_free_fused(&heap, strategy, live[count].handle) == 0);
    }
    size_t returned, resident = 1;
    assert(hw_heap_trim(&heap, 0, &returned) == 0 && space.committed_bytes == 0);
    assert(hw_space_resident(&space, &resident) == 0 && resident == 0);
    check(&heap);
    hw_heap_close(&heap);
    hw_space_close(&space);
    return reached;
}

static void bad_alignment(void) {
    hw_space space;
    hw_heap heap;
    hw_strategy_handle handle;
    assert(hw_space_open(&space, 100, 1 << 16, false, HW_PAGES_READ) == 0 && (uintptr_t)space.base % (1 << 16) == 0);
    assert(space.size_bytes == hw_pages_size());
    assert(hw_heap_open(&heap, &space, HW_BEST_FIT) == 0);
    assert(allocate(&heap, 1, 1 << 17, &handle) == HW_HEAP_BAD_ALIGNMENT);
    assert(allocate(&heap, 1, 3, &handle) == HW_HEAP_BAD_ALIGNMENT);
    assert(allocate(&heap, 1, 1 << 16, &handle) == 0 && handle.offset_bytes == 0);
    assert(hw_heap_resize(&heap, (hw_strategy_handle){16, handle.number}, 1) == HW_HEAP_NOT_LIVE);
    hw_heap_close(&heap);
    hw_space_close(&space);
    assert(hw_space_open(&space, SIZE_MAX, 1, false, HW_PAGES_READ) == ENOMEM);
}

int main(void) {
    const char *fuzz = getenv("HEAPWRIGHT_FUZZ_SECONDS");
    time_t end = time(NULL) + (fuzz ? atoi(fuzz) : 0);
    uint64_t seed = 1;
    bad_alignment();
    for (long n = 1; random_program(n % 4, 7, n % 3 == 0, 200, n); n++) continue;
    do {
        for (int strategy = HW_FIRST_FIT; strategy <= HW_NEXT_FIT; strategy++, seed++)
            random_program(strategy, seed, seed % 5 == 0, 600, 0);
    } while (time(NULL) < end);
    puts("heap: ok");
    return 0;
}
