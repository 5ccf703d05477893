#include "heap/decay.h"

#include "heap/heap.h"
#include "os/clock.h"

static uint64_t greater(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Notes what was allocated since the last look, and returns the limit. */
static uint64_t look(hw_heap *heap, int64_t now_ns) {
    hw_decay *decay = &heap->decay;
    uint64_t peak = 0;
    int64_t ended = (now_ns - decay->epoch_start_ns) / decay->epoch_ns;
    if (ended > 0) decay->epoch_start_ns += ended * decay->epoch_ns;
    for (int64_t i = 0; i < ended && i <= HW_DECAY_EPOCHS; i++) {
        decay->epoch = (decay->epoch + 1) % (HW_DECAY_EPOCHS + 1);
        decay->peaks[decay->epoch] = 0;
    }
    decay->peaks[decay->epoch] = greater(decay->peaks[decay->epoch], hw_heap_restart_peak(heap));
    for (unsigned i = 0; i <= HW_DECAY_EPOCHS; i++) peak = greater(peak, decay->peaks[i]);
    return peak + (peak >> HW_DECAY_SLACK_SHIFT);
}

void hw_decay_set(hw_heap *heap, int64_t window_ns, int64_t now_ns) {
    hw_heap_restart_peak(heap);
    heap->decay = (hw_decay){.epoch_start_ns = now_ns, .due_ns = now_ns, .settled = {.limit = UINT64_MAX}}; /* never yet */
    if (window_ns >= 0) heap->decay.epoch_ns = window_ns / HW_DECAY_EPOCHS + 1;
}

static hw_decay_state state_of(const hw_heap *heap, uint64_t limit) {
    hw_strategy_totals t = hw_strategy_totals_of(heap->control);
    return (hw_decay_state){limit, t.allocated, t.total_allocated, t.freed_blocks};
}

static bool is_same(hw_decay_state a, hw_decay_state b) {
    return a.limit == b.limit && a.allocated == b.allocated && a.total_allocated == b.total_allocated &&
           a.freed_blocks == b.freed_blocks;
}

/* Begins a round if the law asks for one. What a round has to leave depends on how much of what is free shares its units
 * with live blocks; the round before has measured that. So a first round may leave too much, and a second one does not. */
static bool begin(hw_heap *heap, uint64_t limit) {
    hw_decay *decay = &heap->decay;
    hw_decay_state now = state_of(heap, limit);
    if (heap->space->committed_bytes <= limit || is_same(now, decay->settled)) return false;
    uint64_t taken = now.allocated + decay->shared_bytes;
    size_t unit = heap->space->unit_bytes;
    decay->keep_bytes = taken < limit ? (limit - taken) / unit * unit : 0;
    decay->begun = now;
    hw_purge_begin(heap, decay->keep_bytes, unit);
    decay->own_round = heap->purge.rounds;
    return true;
}

/* After a round of our own. */
static void settle(hw_heap *heap) {
    hw_decay *decay = &heap->decay;
    uint64_t committed = heap->space->committed_bytes;
    uint64_t taken = hw_strategy_totals_of(heap->control).allocated + decay->keep_bytes;
    decay->shared_bytes = committed > taken ? committed - taken : 0;
    if (decay->keep_bytes == 0) decay->settled = decay->begun;
}

int hw_decay_tick(hw_heap *heap, int64_t now_ns, int64_t budget_ns, size_t *returned_bytes) {
    hw_decay *decay = &heap->decay;
    *returned_bytes = 0;
    if (decay->epoch_ns == 0 || heap->space->locked) return 0;
    uint64_t limit = look(heap, now_ns);
    if (!heap->purge.under_way && !begin(heap, limit)) return 0;
    bool own = decay->own_round == heap->purge.rounds;
    int result = hw_purge_slice(heap, budget_ns, returned_bytes);
    if (result != 0) return result;
    if (own) settle(heap);
    return begin(heap, limit) ? HW_PURGE_MORE : 0;
}

int hw_decay_tick_in_passing(hw_heap *heap, int64_t budget_ns) {
    hw_decay *decay = &heap->decay;
    int64_t start_ns = hw_clock_ns();
    size_t returned_bytes;
    int result = hw_decay_tick(heap, start_ns, budget_ns, &returned_bytes);
    int64_t end_ns = hw_clock_ns();
    decay->due_ns = result == HW_PURGE_MORE ? end_ns + (HW_DECAY_SHARE - 1) * (end_ns - start_ns) : end_ns + decay->epoch_ns;
    return result;
}
