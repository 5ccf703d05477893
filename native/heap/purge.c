#include "heap/purge.h"

#include "heap/heap.h"
#include "os/clock.h"
#include "os/pages.h"

typedef struct {
    hw_space_run runs[HW_PURGE_RUNS];
    size_t count, bytes;
} step;

_Static_assert(HW_PURGE_STEP_BYTES >= HW_HUGE_PAGE_BYTES, "a step has room for a unit of any space");
_Static_assert(HW_PURGE_RUNS <= HW_PAGES_RANGES_MAX, "a step is one system call");

static size_t round_down(size_t n, size_t unit) { return n / unit * unit; }

static size_t round_up(size_t n, size_t unit) { return round_down(n + unit - 1, unit); }

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static hw_strategy_head *head(hw_heap *heap) { return heap->control; }

/* How much of a run the step has room for: all, or up to the end of a unit, so that the kernel need not split a huge page
 * only to be asked for the rest of it. 0: not even that. */
static size_t first_part(const hw_space *space, const step *next, hw_space_run run) {
    size_t room = HW_PURGE_STEP_BYTES - next->bytes;
    if (run.size_bytes <= room) return run.size_bytes;
    size_t end = round_down(run.offset_bytes + room, space->unit_bytes);
    return end > run.offset_bytes ? end - run.offset_bytes : 0;
}

enum { HOLES_PER_RUN = 1 << 16 }; /* half a millisecond; only freed blocks of bump can be more in a row */

/* A hole, and those right behind it: free slots and buddies are holes of their own, and smaller than a page. */
static hw_strategy_seen run_of_holes(const hw_heap *heap, hw_strategy_seen first) {
    for (int more = HOLES_PER_RUN; more > 0 && first.next != HW_STRATEGY_NONE; more--) {
        hw_strategy_seen behind = hw_strategy_see(heap->control, first.next);
        if (behind.live) break;
        first.size_bytes += behind.size_bytes;
        first.next = behind.next;
    }
    return first;
}

/* Adds what a hole can give back to the step; false: the step is full before the end of the hole. */
static bool collect(hw_heap *heap, hw_strategy_seen hole, step *next) {
    hw_purge *purge = &heap->purge;
    size_t grain = purge->grain_bytes, end = round_down(hole.offset_bytes + hole.size_bytes, grain);
    size_t from = round_up(hole.offset_bytes, grain);
    if (from < purge->reached_bytes) from = purge->reached_bytes;
    while (from < end) {
        hw_space_run run = hw_space_next_committed(heap->space, from, end);
        if (run.size_bytes == 0) break;
        size_t kept = least(round_up(purge->keep_bytes, grain), run.size_bytes);
        run.offset_bytes += kept;
        run.size_bytes -= kept;
        size_t part = first_part(heap->space, next, run);
        if (run.size_bytes != 0 && (part == 0 || next->count == HW_PURGE_RUNS)) return false;
        purge->keep_bytes -= least(purge->keep_bytes, kept);
        purge->reached_bytes = from = run.offset_bytes + part;
        if (part != 0) next->runs[next->count++] = (hw_space_run){run.offset_bytes, part};
        next->bytes += part;
    }
    return true;
}

void hw_purge_begin(hw_heap *heap, size_t keep_bytes, size_t grain_bytes) {
    hw_purge *purge = &heap->purge;
    if (purge->under_way) return;
    bool any = !heap->space->locked; /* of what is locked nothing can go: that round is over at once */
    keep_bytes = least(keep_bytes, heap->space->size_bytes); /* which can be rounded up */
    *purge = (hw_purge){any, grain_bytes, keep_bytes, 0, purge->rounds + 1, purge->total_bytes};
    head(heap)->cursor = any ? hw_strategy_first(heap->control) : HW_STRATEGY_NONE;
}

static int give_back(hw_heap *heap, step *next, size_t *returned_bytes) {
    size_t returned = 0;
    int error = next->count == 0 ? 0 : hw_space_decommit(heap->space, next->runs, next->count, &returned);
    heap->purge.total_bytes += returned;
    *returned_bytes += returned;
    *next = (step){.count = 0};
    return error;
}

int hw_purge_slice(hw_heap *heap, int64_t budget_ns, size_t *returned_bytes) {
    step next = {.count = 0};
    int error = 0;
    uint32_t number = head(heap)->cursor, passed = 0;
    int64_t start_ns = hw_clock_ns();
    *returned_bytes = 0;
    while (number != HW_STRATEGY_NONE && error == 0) {
        hw_strategy_seen seen = hw_strategy_see(heap->control, number);
        if (!seen.live) seen = run_of_holes(heap, seen);
        bool full = !seen.live && !collect(heap, seen, &next);
        if (!full) number = seen.next;
        if (!full && ++passed % HW_PURGE_BLOCKS_PER_LOOK != 0) continue;
        head(heap)->cursor = number;
        error = give_back(heap, &next, returned_bytes);
        if (error == 0 && number != HW_STRATEGY_NONE && hw_clock_ns() - start_ns >= budget_ns) return HW_PURGE_MORE;
    }
    if (error == 0) error = give_back(heap, &next, returned_bytes);
    head(heap)->cursor = HW_STRATEGY_NONE;
    heap->purge.under_way = false;
    return error;
}
