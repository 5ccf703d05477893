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
        } else if (act < 92) {
            size_t before = space.committed_bytes;
            hw_heap_trim(&heap, random_below(2) ? random_below(1 << 20) : 0, &returned);
            assert(space.committed_bytes + returned == before);
        } else if (act < 96) { /* a slice of a round that other steps go between */
            size_t before = space.committed_bytes;
            size_t grain = random_below(2) ? space.page_bytes : space.unit_bytes;
            hw_purge_begin(&heap, random_below(2) ? random_below(1 << 20) : 0, grain);
            int result = hw_purge_slice(&heap, 0, &returned);
            assert(space.committed_bytes + returned == before && heap.purge.under_way == (result == HW_PURGE_MORE));
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

enum { SPREAD = 4000, SPREAD_BYTES = 20000 };

/* Blocks of five pages, of which every other one is freed; then a round in slices of one step each. */
static void spread(hw_heap *heap, hw_space *space, hw_strategy_handle *handles) {
    assert(hw_space_open(space, 256 << 20, 1, false, HW_PAGES_READ | HW_PAGES_WRITE) == 0);
    assert(hw_heap_open(heap, space, HW_FIRST_FIT) == 0);
    for (int i = 0; i < SPREAD; i++) {
        assert(allocate(heap, SPREAD_BYTES, 1, &handles[i]) == 0);
        memset(space->base + handles[i].offset_bytes, i % 251, SPREAD_BYTES);
    }
    for (int i = 0; i < SPREAD; i += 2) assert(hw_heap_free_fused(heap, HW_FIRST_FIT, handles[i]) == 0);
}

static void check_spread(hw_space *space, const hw_strategy_handle *handles, int from) {
    for (int i = from; i < SPREAD; i += 2)
        for (int at = 0; at < SPREAD_BYTES; at += SPREAD_BYTES - 1)
            assert((unsigned char)space->base[handles[i].offset_bytes + at] == i % 251);
}

/* In slices it gives back what one trim gives back; a hole that grows round the place where the round stands changes nothing
 * about what the round has done, and nothing that a live block has. */
static void slices(void) {
    static hw_strategy_handle handles[SPREAD];
    hw_space space;
    hw_heap heap;
    size_t at_once, returned, total = 0;
    int result, steps = 0;
    spread(&heap, &space, handles);
    assert(hw_heap_trim(&heap, 0, &at_once) == 0 && at_once > (size_t)SPREAD / 2 * 3 * space.page_bytes);
    check_spread(&space, handles, 1);
    hw_heap_close(&heap);
    hw_space_close(&space);

    spread(&heap, &space, handles);
    hw_purge_begin(&heap, 0, space.page_bytes);
    while ((result = hw_purge_slice(&heap, 0, &returned)) == HW_PURGE_MORE) {
        total += returned, steps++;
        hw_strategy_seen here = hw_strategy_see(heap.control, hw_heap_head(&heap)->cursor);
        check_spread(&space, handles, 1);
        if (steps % 3) continue; /* else: the block at which it stands, and the one before, become one with the hole before */
        for (int i = 1; i < SPREAD; i += 2) {
            uint64_t offset = handles[i].offset_bytes;
            if (offset + 2 * SPREAD_BYTES < here.offset_bytes || offset > here.offset_bytes) continue;
            hw_heap_free_fused(&heap, HW_FIRST_FIT, handles[i]);
            assert(allocate(&heap, SPREAD_BYTES, 1, &handles[i]) == 0); /* first fit: far before, in a hole given back */
            memset(space.base + handles[i].offset_bytes, i % 251, SPREAD_BYTES);
        }
        check(&heap);
    }
    assert(result == 0 && steps > 20 && steps < SPREAD / 2 && total + returned <= at_once + (1 << 20));
    check_spread(&space, handles, 1);
    assert(heap.purge.total_bytes == total + returned);
    assert(hw_heap_trim(&heap, 0, &returned) == 0 && hw_heap_trim(&heap, 0, &returned) == 0 && returned == 0);
    check_spread(&space, handles, 1);
    hw_heap_close(&heap);
    hw_space_close(&space);
}

/* A hole gives back its part of a huge page that a live block lies in, too; on request it does not. */
static void parts_of_huge_pages(void) {
    hw_space space;
    hw_heap heap;
    hw_strategy_handle first, hole, last;
    size_t returned;
    assert(hw_space_open(&space, 4 << 20, 1, true, HW_PAGES_READ | HW_PAGES_WRITE) == 0);
    assert(hw_heap_open(&heap, &space, HW_FIRST_FIT) == 0);
    assert(allocate(&heap, 4096, 1, &first) == 0 && allocate(&heap, 1 << 20, 1, &hole) == 0 && allocate(&heap, 3 << 19, 1, &last) == 0);
    memset(space.base, 7, 4096 + (1 << 20) + (3 << 19));
    assert(space.committed_bytes == 4 << 20 && hw_heap_free_fused(&heap, HW_FIRST_FIT, hole) == 0);
    hw_purge_begin(&heap, 0, space.unit_bytes);
    assert(hw_purge_slice(&heap, INT64_MAX, &returned) == 0 && returned == 0);
    assert(hw_heap_trim(&heap, 4096, &returned) == 0);
    assert(returned == (1 << 20) - 4096 + (4 << 20) - 4096 - (1 << 20) - (3 << 19));
    assert(space.base[4095] == 7 && space.base[4096 + (1 << 20)] == 7 && space.base[4096 + 4096] == 0);
    check(&heap);
    assert(allocate(&heap, 1 << 20, 1, &hole) == 0 && space.committed_bytes == 4096 + (1 << 20) + (3 << 19));
    check(&heap);
    hw_heap_close(&heap);
    hw_space_close(&space);
}

/* Bytes in committed whole units of holes. */
static size_t could_go(const hw_heap *heap) {
    size_t unit = heap->space->unit_bytes, total = 0;
    for (uint32_t number = hw_strategy_first(heap->control); number != HW_STRATEGY_NONE;) {
        hw_strategy_seen seen = hw_strategy_see(heap->control, number);
        size_t from = (seen.offset_bytes + unit - 1) / unit * unit, to = (seen.offset_bytes + seen.size_bytes) / unit * unit;
        if (!seen.live && from < to) total += hw_space_committed_in(heap->space, from, to - from);
        number = seen.next;
    }
    return total;
}

enum { DECAY_TICKS = 400, DECAY_LIVE = 200 };

/* The law of decay, against peaks that this program keeps for itself, over a random program with pauses of every length. */
static void decay_keeps_its_law(uint64_t seed, bool huge) {
    static uint64_t peaks[100 * DECAY_TICKS]; /* by epoch */
    hw_space space;
    hw_heap heap;
    hw_strategy_handle live[DECAY_LIVE];
    size_t returned;
    uint32_t count = 0, strategy = seed % HW_STRATEGIES, went = 0;
    uint64_t peak = 0, greatest = 0;
    int64_t now = 1000000000, start = now, epoch_ns;
    memset(peaks, 0, sizeof peaks);
    state = seed * 2654435761u + 88172645463325252u;
    assert(hw_space_open(&space, (huge ? 512 : 64) << 20, 1, huge, HW_PAGES_READ | HW_PAGES_WRITE) == 0);
    assert(hw_heap_open(&heap, &space, strategy) == 0);
    hw_decay_set(&heap, 10000000, now);
    epoch_ns = heap.decay.epoch_ns;
    for (int tick = 0; tick < DECAY_TICKS; tick++) {
        bool growing = tick / 40 % 2 == 0;
        for (uint32_t step = random_below(20); step > 0; step--) {
            if (count < DECAY_LIVE && random_below(10) < (growing ? 7 : 2)) {
                uint64_t size = random_below(5) ? random_below(3000) : random_below(huge ? 9000000 : 500000);
                if (allocate(&heap, size, 1, &live[count]) == 0) count++;
            } else if (count > 0) {
                uint32_t i = random_below(count);
                assert(hw_heap_free_fused(&heap, strategy, live[i]) == 0);
                live[i] = live[--count];
            }
            uint64_t allocated = hw_heap_totals(&heap).allocated;
            if (allocated > peak) peak = allocated;
            if (allocated > greatest) greatest = allocated;
        }
        now += random_below(4) ? random_below(2 * epoch_ns) : random_below(30 * epoch_ns);
        uint64_t epoch = (now - start) / epoch_ns, recent = 0;
        if (peak > peaks[epoch]) peaks[epoch] = peak;
        peak = hw_heap_totals(&heap).allocated;
        int result, slices = 0;
        while ((result = hw_decay_tick(&heap, now, random_below(2) ? 0 : 1000000, &returned)) == HW_PURGE_MORE) {
            assert(++slices < 1000);
            if (slices == 1 && random_below(2)) break; /* what is freed from here on may lie behind the round's place */
        }
        assert(result == 0 || result == HW_PURGE_MORE);
        went += slices > 0;
        for (uint64_t i = 0; i <= HW_DECAY_EPOCHS && i <= epoch; i++)
            if (peaks[epoch - i] > recent) recent = peaks[epoch - i];
        check(&heap);
        if (result == HW_PURGE_MORE) continue;
        assert(space.committed_bytes <= recent + recent / 16 || could_go(&heap) == 0); /* the law */
        assert(hw_decay_tick(&heap, now, INT64_MAX, &returned) == 0 && returned == 0); /* and it stays settled */
        check(&heap);
    }
    assert(went > 20);
    while (count > 0) assert(hw_heap_free_fused(&heap, strategy, live[--count]) == 0);
    while (hw_decay_tick(&heap, now, INT64_MAX, &returned) == HW_PURGE_MORE) continue; /* finds the peak that was */
    now += (HW_DECAY_EPOCHS + 1) * epoch_ns;
    while (hw_decay_tick(&heap, now, INT64_MAX, &returned) == HW_PURGE_MORE) continue;
    assert(space.committed_bytes == 0 && hw_heap_totals(&heap).peak_allocated == greatest); /* not a restarted peak */
    hw_heap_close(&heap);
    hw_space_close(&space);
}

/* What recent demand needed is kept, whatever the phase at which it is looked at: no page of a loop goes. */
static void decay_leaves_a_loop_alone(void) {
    hw_space space;
    hw_heap heap;
    hw_strategy_handle block;
    size_t returned, total = 0;
    assert(hw_space_open(&space, 64 << 20, 1, false, HW_PAGES_READ | HW_PAGES_WRITE) == 0);
    assert(hw_heap_open(&heap, &space, HW_BEST_FIT) == 0);
    hw_decay_set(&heap, 1000, 0);
    for (int64_t now = 0; now < 100000; now += 300) {
        assert(allocate(&heap, 10 << 20, 1, &block) == 0 && hw_heap_free_fused(&heap, HW_BEST_FIT, block) == 0);
        assert(hw_decay_tick(&heap, now, INT64_MAX, &returned) == 0);
        total += returned;
    }
    assert(total == 0 && space.committed_bytes >= 10 << 20);
    /* Afterwards it is kept for the window, and not for two epochs more; in whichever epoch it ends. */
    for (int64_t now = 200000, end; now < 240000; now = end) {
        assert(allocate(&heap, 10 << 20, 1, &block) == 0 && hw_heap_free_fused(&heap, HW_BEST_FIT, block) == 0);
        for (end = now + 1300; now <= end; now += 10) {
            int result = hw_decay_tick(&heap, now, INT64_MAX, &returned);
            assert(now > end - 300 || (result == 0 && returned == 0));
        }
        assert(space.committed_bytes == 0);
    }
    hw_decay_set(&heap, -1, 0);
    assert(hw_decay_tick(&heap, INT64_MAX, INT64_MAX, &returned) == 0 && returned == 0 && !hw_decay_is_due(&heap.decay, INT64_MAX));
    hw_heap_close(&heap);
    hw_space_close(&space);
}

/* One block comes and one goes, and the sums are what they were; but now a page is free that was not. */
static void decay_sees_what_the_sums_do_not(void) {
    enum { HALVES = 100 };
    hw_space space;
    hw_heap heap;
    hw_strategy_handle halves[HALVES], moved;
    size_t returned, total = 0;
    assert(hw_space_open(&space, 1 << 20, 1, false, HW_PAGES_READ | HW_PAGES_WRITE) == 0);
    assert(hw_heap_open(&heap, &space, HW_FIRST_FIT) == 0);
    for (int i = 0; i < HALVES; i++) assert(allocate(&heap, 2048, 4096, &halves[i]) == 0); /* the first half of each page */
    hw_decay_set(&heap, 0, 0);
    for (int64_t now = 100; now < 200; now += 50)
        while (hw_decay_tick(&heap, now, INT64_MAX, &returned) == HW_PURGE_MORE) continue;
    assert(could_go(&heap) == 0 && space.committed_bytes == HALVES * 4096);
    assert(hw_heap_free_fused(&heap, HW_FIRST_FIT, halves[50]) == 0 && allocate(&heap, 2048, 1, &moved) == 0);
    assert(moved.offset_bytes == 2048 && could_go(&heap) == 4096);
    for (int64_t now = 200; now < 300; now += 50)
        for (int result = HW_PURGE_MORE; result == HW_PURGE_MORE; total += returned)
            result = hw_decay_tick(&heap, now, INT64_MAX, &returned);
    assert(total == 4096 && could_go(&heap) == 0);
    hw_heap_close(&heap);
    hw_space_close(&space);
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
    slices();
    parts_of_huge_pages();
    for (uint64_t program = 1; program <= 2 * HW_STRATEGIES; program++) decay_keeps_its_law(program, program > HW_STRATEGIES);
    decay_leaves_a_loop_alone();
    decay_sees_what_the_sums_do_not();
    for (long n = 1; random_program(n % HW_STRATEGIES, 7, n % 3 == 0, 200, n); n++) continue;
    do {
        for (int strategy = HW_FIRST_FIT; strategy < HW_STRATEGIES; strategy++, seed++)
            random_program(strategy, seed, seed % 5 == 0, 600, 0);
    } while (time(NULL) < end);
    puts("heap: ok");
    return 0;
}
