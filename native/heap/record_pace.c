#include "heap/record_pace.h"

#include "os/clock.h"

enum { SLICE_RECORDS = 256, SLICE_WORDS = 1024, TIDY_BYTES = 256 << 10, LOOK_MIN_BYTES = 4 << 10, LOOK_MAX_BYTES = 1 << 20 };
enum { WORK_NS = 128 }; /* what a unit of work is taken to cost, to see how often to look */

static void note_pause(hw_record_collector *self, enum hw_pause_kind kind, int64_t began_ns) {
    hw_pauses_note(&self->pauses, kind, began_ns, self->heap.used_bytes);
}

static uint64_t live_records(const hw_record_collector *self) {
    uint64_t live = 0;
    for (uint32_t p = 0; p < self->heap.records.pools_count; p++) live += self->heap.records.pools[p]->live;
    return live;
}

/* ---- when ----------------------------------------------------------------------------------------------------------- */

/* In use beyond L. */
static uint64_t grown(const hw_record_collector *self) {
    return self->heap.used_bytes > self->base_bytes ? self->heap.used_bytes - self->base_bytes : 0;
}

/* C, what may be made while a cycle in slices, or beside, is under way. */
static uint64_t cycle_bytes(const hw_record_collector *self) {
    uint64_t most = self->base_bytes > self->policy.minimum_bytes ? self->base_bytes : self->policy.minimum_bytes;
    return (self->allowance_bytes < most ? self->allowance_bytes : most) / 4;
}

/* What may be made until something is due: in use grows by no more than is made. */
static uint64_t until_due(const hw_record_collector *self) {
    const hw_record_policy *policy = &self->policy;
    uint64_t allowance = self->allowance_bytes, room = allowance > grown(self) ? allowance - grown(self) : 0, made, pause;
    if (policy->every != 0) return 0;
    if (!policy->automatic) return UINT64_MAX / 2;
    switch (policy->collector) {
    case HW_COLLECT_WHOLE: return room;
    case HW_COLLECT_GENERATIONS:
        made = self->heap.made_bytes - self->minor_made_bytes;
        pause = policy->nursery_bytes > made ? policy->nursery_bytes - made : 0;
        break;
    default:
        if (self->tidying) pause = LOOK_MIN_BYTES;
        else if (self->heap.records.phase == HW_RECORDS_IDLE) pause = room > cycle_bytes(self) ? room - cycle_bytes(self) : 0;
        else {
            double share = (double)policy->budget_ns / ((double)self->work_total * WORK_NS + 1); /* of the work, in one slice */
            double bytes = (double)cycle_bytes(self) * share;
            pause = bytes > LOOK_MAX_BYTES ? LOOK_MAX_BYTES : bytes < LOOK_MIN_BYTES ? LOOK_MIN_BYTES : (uint64_t)bytes;
        }
    }
    return pause < room ? pause : room;
}

static void look_later(hw_record_collector *self) { self->look_at_bytes = self->heap.made_bytes + until_due(self); }

/* Compacts where holes are more than the policy lets be. Without memory for it they stay. */
static void compact_if_due(hw_record_collector *self) {
    uint64_t holes = 0, places = 0;
    hw_record_heap_compacted result;
    for (uint32_t p = 0; p < self->heap.records.pools_count; p++) {
        const hw_record_store *store = hw_record_store_of(&self->heap, p);
        if (store->pins != 0) continue;
        holes += (uint64_t)(store->pool.used - store->pool.live) * store->pool.stride_bytes;
        places += (uint64_t)store->pool.used * store->pool.stride_bytes;
    }
    if (holes == 0 || (double)holes <= self->policy.compact_above * (double)places) return;
    if (hw_record_heap_compact(&self->heap, &result) == 0) self->compactions++;
}

/* After a whole cycle, L and T are new. */
static void settle(hw_record_collector *self, bool minor) {
    hw_record_heap *heap = &self->heap;
    hw_record_heap_settle(heap);
    self->freed_records = 0; /* ever: what was made meanwhile hides nothing of it */
    for (uint32_t p = 0; p < heap->records.pools_count; p++) self->freed_records += heap->records.pools[p]->total_freed;
    self->minor_made_bytes = heap->made_bytes;
    if (minor) {
        self->minor_cycles++;
        return;
    }
    self->whole_cycles++;
    double allowance = self->policy.growth * (double)heap->used_bytes;
    self->base_bytes = heap->used_bytes;
    self->allowance_bytes = allowance > 0x1p62 ? (uint64_t)1 << 62 : (uint64_t)allowance;
    if (self->allowance_bytes < self->policy.minimum_bytes) self->allowance_bytes = self->policy.minimum_bytes;
    compact_if_due(self);
}

static void begin(hw_record_collector *self, bool minor) {
    hw_record_heap_prepare(&self->heap);
    self->begun_made_bytes = self->heap.made_bytes;
    self->work_done = 0;
    self->marked_beside = false;
    self->work_total = live_records(self) + self->heap.records.handles.used;
    for (uint32_t p = 0; p < self->heap.records.pools_count; p++) self->work_total += self->heap.records.pools[p]->used / 16;
    hw_records_begin(&self->heap.records, minor);
}

/* ---- a slice -------------------------------------------------------------------------------------------------------- */

/* A piece of the cycle under way; true when that has ended. No marker is beside. */
static bool work_on(hw_record_collector *self) {
    hw_records *records = &self->heap.records;
    enum hw_mark_result result;
    switch (records->phase) {
    case HW_RECORDS_ROOTS:
        hw_records_mark_roots(records, SLICE_RECORDS);
        self->work_done += SLICE_RECORDS;
        return false;
    case HW_RECORDS_TRACE:
    case HW_RECORDS_TRACE_AGAIN:
        result = hw_records_mark(records, SLICE_RECORDS, false);
        self->work_done += SLICE_RECORDS;
        if (result == HW_MARK_FULL && !hw_record_heap_grow_stack(&self->heap)) hw_records_mark_without_room(records);
        if (result != HW_MARK_DONE) return false;
        /* fall through */
    default:
        self->work_done += SLICE_WORDS / 16;
        if (hw_records_sweep(records, SLICE_WORDS) != HW_MARK_DONE) return false;
        settle(self, false);
        return true;
    }
}

void hw_record_finish(hw_record_collector *self) {
    if (self->heap.records.phase == HW_RECORDS_IDLE) return;
    hw_marker_stop(&self->marker);
    while (!work_on(self));
    self->tidying = true;
    look_later(self);
}

void hw_record_collect(hw_record_collector *self, bool minor) {
    int64_t before = hw_clock_ns();
    hw_record_finish(self);
    minor = minor && self->heap.records.promote_after != 0 && !self->heap.records.remembered_overflowed;
    begin(self, minor);
    hw_records *records = &self->heap.records;
    hw_records_mark_roots(records, UINT64_MAX);
    do {
        while (hw_records_mark(records, UINT64_MAX, false) == HW_MARK_FULL)
            if (!hw_record_heap_grow_stack(&self->heap)) hw_records_mark_without_room(records);
    } while (hw_records_sweep(records, UINT64_MAX) != HW_MARK_DONE);
    settle(self, minor);
    while (hw_record_heap_tidy(&self->heap, SIZE_MAX));
    look_later(self);
    note_pause(self, minor ? HW_PAUSE_MINOR : HW_PAUSE_WHOLE, before);
}

int hw_record_compact(hw_record_collector *self, hw_record_heap_compacted *result) {
    int64_t before = hw_clock_ns();
    hw_record_finish(self);
    int error = hw_record_heap_compact(&self->heap, result);
    note_pause(self, HW_PAUSE_COMPACT, before);
    return error;
}

/* Whether it is for the program itself to work on the cycle: not while a marker does. */
static bool is_our_turn(hw_record_collector *self) {
    hw_records *records = &self->heap.records;
    if (self->policy.collector != HW_COLLECT_BESIDE || records->phase != HW_RECORDS_TRACE) return true;
    if (hw_marker_state_of(&self->marker) == HW_MARKER_RUNNING) return false;
    if (hw_marker_state_of(&self->marker) == HW_MARKER_DONE) {
        hw_marker_stop(&self->marker);
        uint32_t shaded = atomic_load_explicit(&records->log.count, memory_order_relaxed) - records->log_taken;
        if (shaded <= SLICE_RECORDS) return true; /* the rest, and the end, which wants the program to stand still */
    } else if (self->marked_beside) {
        return true; /* stopped, by who wants to end the cycle, or by a fork */
    }
    self->marked_beside = true;
    return !hw_marker_start(&self->marker);
}

/* A piece of work that is the program's, if it is its turn; true when the cycle has ended. */
static bool slice(hw_record_collector *self, int64_t budget_ns, uint64_t enough) {
    if (!is_our_turn(self)) return false;
    int64_t before = hw_clock_ns();
    bool ended = false;
    while (!ended && is_our_turn(self)) {
        ended = work_on(self);
        if (self->work_done >= enough || hw_clock_ns() - before >= budget_ns) break;
    }
    self->tidying |= ended;
    note_pause(self, HW_PAUSE_SLICE, before);
    return ended;
}

bool hw_record_step(hw_record_collector *self, int64_t budget_ns) {
    if (self->heap.records.promote_after != 0) {
        hw_record_collect(self, false); /* with generations a cycle is done in one go */
        return true;
    }
    if (self->heap.records.phase == HW_RECORDS_IDLE) begin(self, false);
    bool ended = slice(self, budget_ns, UINT64_MAX);
    look_later(self);
    return ended;
}

void hw_record_pace(hw_record_collector *self) {
    const hw_record_policy *policy = &self->policy;
    hw_record_heap *heap = &self->heap;
    assert(!policy->automatic || heap->used_bytes <= self->base_bytes + self->allowance_bytes + heap->largest_request_bytes); /* P1 */
    if (policy->every != 0 && ++self->requests % policy->every != 0) return;
    bool spent = grown(self) >= self->allowance_bytes;
    switch (policy->collector) {
    case HW_COLLECT_WHOLE:
        if (spent || policy->every != 0) hw_record_collect(self, false);
        break;
    case HW_COLLECT_GENERATIONS:
        hw_record_collect(self, !spent && self->requests % 4 != 3); /* under stress one in four is of the whole */
        break;
    default:
        if (heap->records.phase != HW_RECORDS_IDLE && spent) {
            self->hurried++;
            int64_t before = hw_clock_ns();
            hw_record_finish(self);
            note_pause(self, HW_PAUSE_HURRIED, before);
        } else if (heap->records.phase == HW_RECORDS_IDLE && grown(self) + cycle_bytes(self) < self->allowance_bytes && policy->every == 0) {
            self->tidying = self->tidying && hw_record_heap_tidy(heap, TIDY_BYTES);
        } else {
            if (heap->records.phase == HW_RECORDS_IDLE) begin(self, false);
            double due = (double)(heap->made_bytes - self->begun_made_bytes) / ((double)cycle_bytes(self) + 1);
            slice(self, policy->every != 0 ? 0 : policy->budget_ns, (uint64_t)(due * (double)self->work_total) + 1);
        }
    }
    look_later(self);
}

/* ---- opening, closing ----------------------------------------------------------------------------------------------- */

int hw_record_collector_open(hw_record_collector *self, uint64_t capacity_bytes, uint8_t promote_after, hw_record_policy policy) {
    memset(self, 0, sizeof *self);
    int error = hw_record_heap_open(&self->heap, capacity_bytes, promote_after);
    if (error != 0) return error;
    hw_marker_init(&self->marker, &self->heap.records);
    self->policy = policy;
    self->allowance_bytes = policy.minimum_bytes;
    look_later(self);
    return 0;
}

void hw_record_collector_close(hw_record_collector *self) {
    hw_marker_end(&self->marker);
    hw_record_heap_close(&self->heap);
}
