#include "core/record_mark.h"

/* ---- grey ----------------------------------------------------------------------------------------------------------- */

#define PART_SHIFT 48
#define ID_MASK ((UINT64_C(1) << PART_SHIFT) - 1)

/* Sets the bit of a record and says whether it was white. `beside` is a constant where this is called: a locked
 * instruction costs five times a plain one. */
static inline bool whiten_no_more(uint64_t *marked, uint32_t index, bool beside) {
    uint64_t *word = &marked[index / 64], bit = UINT64_C(1) << index % 64;
    /* relaxed: that the bit is set says nothing of the record, it only picks one of those who want to scan it */
    uint64_t before = __atomic_load_n(word, __ATOMIC_RELAXED);
    if (before & bit) return false;
    if (beside) return !(__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit);
    *word = before | bit;
    return true;
}

static inline void push(hw_records *records, uint64_t entry) {
    if (__builtin_expect(records->stack_count < records->stack_capacity, 1)) records->stack[records->stack_count++] = entry;
    else atomic_store_explicit(&records->overflowed, true, memory_order_relaxed);
}

void hw_record_shade(hw_records *records, uint64_t id) {
    if (!whiten_no_more(records->pools[hw_record_pool_of(id)]->marked, hw_record_index_of(id), true)) return;
    hw_record_list *log = &records->log;
    uint32_t count = atomic_load_explicit(&log->count, memory_order_relaxed);
    if (count == log->capacity) {
        atomic_store_explicit(&records->overflowed, true, memory_order_relaxed);
        return;
    }
    log->entries[count] = id;
    atomic_store_explicit(&log->count, count + 1, memory_order_release); /* with the entry */
}

/* ---- beginning ------------------------------------------------------------------------------------------------------ */

static void shade_edge(void *context, uint16_t edge, uint32_t entry, uint64_t target) {
    hw_record_shade(context, target);
}

void hw_records_begin(hw_records *records, bool minor) {
    assert(records->phase == HW_RECORDS_IDLE && records->stack_count == 0);
    records->phase = HW_RECORDS_ROOTS;
    records->minor = minor;
    records->barrier |= HW_BARRIER_MARKING;
    records->cursor = records->cursor_pool = records->cursor_in_run = 0;
    records->scanned = 0;
    records->log_taken = 0;
    records->looking = false;
    atomic_store_explicit(&records->log.count, 0, memory_order_relaxed);
    atomic_store_explicit(&records->overflowed, false, memory_order_relaxed);
    if (!minor) return;
    assert(records->promote_after != 0 && !records->remembered_overflowed);
    for (uint32_t p = 0; p < records->pools_count; p++) {
        hw_record_pool *pool = records->pools[p];
        memcpy(pool->marked, pool->old, hw_record_words(pool) * sizeof *pool->old);
    }
    uint32_t count = atomic_load_explicit(&records->remembered.count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) hw_record_each_edge(records, records->remembered.entries[i], shade_edge, records);
}

enum hw_mark_result hw_records_mark_roots(hw_records *records, uint64_t work) {
    assert(records->phase == HW_RECORDS_ROOTS);
    const hw_record_handles *handles = &records->handles;
    for (; records->cursor < handles->used; records->cursor++, records->cursor_in_run = 0) {
        const hw_record_handle_entry *entry = &handles->entries[records->cursor];
        for (uint64_t roots = hw_record_handle_roots(entry);; records->cursor_in_run++) {
            if (work-- == 0) return HW_MARK_MORE;
            if (records->cursor_in_run >= roots) break; /* more, if the entry was a run that was dropped meanwhile */
            hw_record_shade(records, entry->id + records->cursor_in_run);
        }
    }
    uint32_t waiting = atomic_load_explicit(&records->finalizable.count, memory_order_relaxed);
    for (; records->cursor_in_run < waiting; records->cursor_in_run++) { /* those that were taken meanwhile are shaded */
        if (work-- == 0) return HW_MARK_MORE;
        if (records->cursor_in_run >= records->finalizable_taken)
            hw_record_shade(records, records->finalizable.entries[records->cursor_in_run]);
    }
    records->phase = HW_RECORDS_TRACE;
    records->cursor = records->cursor_pool = records->cursor_in_run = 0;
    return HW_MARK_DONE;
}

/* ---- scanning ------------------------------------------------------------------------------------------------------- */

static inline void visit(hw_records *records, uint64_t target, bool beside) {
    if (target == HW_RECORD_NO_ID) return;
    if (whiten_no_more(records->pools[hw_record_pool_of(target)]->marked, hw_record_index_of(target), beside))
        push(records, target);
}

/* acquire: with what the mutator had filled in when it stored the edge */
static inline uint32_t load_narrow(const void *where) { return __atomic_load_n((const uint32_t *)where, __ATOMIC_ACQUIRE); }

/* One part of every span of a record; what is left is pushed as another part, if there is room. Returns the entries that it
 * looked at. */
static uint64_t scan_spans(hw_records *records, uint64_t entry, bool beside) {
    const hw_record_pool *pool = records->pools[hw_record_pool_of(entry)];
    const unsigned char *record = hw_record_at(pool, hw_record_index_of(entry));
    uint64_t looked = 0;
    for (uint64_t part = entry >> PART_SHIFT;; part++) {
        uint64_t from = part * HW_RECORD_SPAN_PART;
        bool more = false;
        for (uint16_t i = pool->edges_count - pool->spans_count; i < pool->edges_count; i++) {
            const hw_record_edge *edge = &pool->edges[i];
            hw_record_span span = hw_span_load(record + edge->offset_bytes);
            uint64_t to = part == HW_RECORD_SPAN_PARTS ? UINT64_MAX : from + HW_RECORD_SPAN_PART;
            if (to > span.count) to = span.count;
            if (from >= to) continue;
            const uint32_t *entries = hw_span_entries(records, span);
            for (uint64_t k = from; k < to; k++) visit(records, hw_record_wide(edge->pool, load_narrow(&entries[k])), beside);
            looked += to - from;
            more |= to < span.count;
        }
        if (!more) return looked;
        if (records->stack_count == records->stack_capacity) continue; /* a part that is lost would be found, and lost, again */
        push(records, (entry & ID_MASK) | (part + 1) << PART_SHIFT);
        return looked;
    }
}

static inline uint64_t scan(hw_records *records, uint64_t entry, bool beside) {
    const hw_record_pool *pool = records->pools[hw_record_pool_of(entry)];
    const unsigned char *record = hw_record_at(pool, hw_record_index_of(entry)), *narrow = record + pool->narrow_offset_bytes;
    if (__builtin_expect(pool->uniform >= 0, 1)) {
        uint64_t *marked = records->pools[pool->uniform]->marked, high = (uint64_t)pool->uniform << 32;
        for (uint16_t i = 0; i < pool->narrow_count; i++) {
            uint32_t target = load_narrow(narrow + 4 * i);
            if (target != HW_RECORD_NONE && whiten_no_more(marked, target, beside)) push(records, high | target);
        }
        return 1;
    }
    if (entry >> PART_SHIFT == 0) {
        for (uint16_t i = 0; i < pool->narrow_count; i++)
            visit(records, hw_record_wide(pool->edges[i].pool, load_narrow(narrow + 4 * i)), beside);
        for (uint16_t i = pool->narrow_count; i < pool->edges_count - pool->spans_count; i++)
            visit(records, __atomic_load_n((const uint64_t *)(const void *)(record + pool->edges[i].offset_bytes), __ATOMIC_ACQUIRE),
                  beside);
    }
    return pool->spans_count == 0 ? 1 : 1 + scan_spans(records, entry, beside) / 16;
}

/* Entries that scanning one record can push. */
static inline uint32_t most_pushed(const hw_record_pool *pool) {
    return pool->edges_count + 1 + pool->spans_count * HW_RECORD_SPAN_PART;
}

enum { TAKEN_AT_ONCE = 1024 };

/* Some of it: a run of millions that is a root is in it, and copying that would be a slice of milliseconds by itself. */
static void take_log(hw_records *records) {
    /* acquire: with the entries */
    uint32_t count = atomic_load_explicit(&records->log.count, memory_order_acquire);
    if (count - records->log_taken > TAKEN_AT_ONCE) count = records->log_taken + TAKEN_AT_ONCE;
    while (records->log_taken < count && records->stack_count < records->stack_capacity)
        records->stack[records->stack_count++] = records->log.entries[records->log_taken++];
}

/* Scans what is marked once more, for what was marked without room: words of planes, until something is pushed or the work
 * is used up. False: the round is over. */
static bool look_through(hw_records *records, uint64_t *work) {
    for (; records->cursor_pool < records->pools_count; records->cursor_pool++, records->cursor = 0) {
        const hw_record_pool *pool = records->pools[records->cursor_pool];
        while (records->cursor < hw_record_words(pool)) {
            uint64_t bits = pool->marked[records->cursor];
            for (; bits != 0; bits &= bits - 1)
                scan(records, hw_record_id(records->cursor_pool, records->cursor * 64 + (uint32_t)__builtin_ctzll(bits)), false);
            records->cursor++;
            if (*work != 0) --*work;
            if (records->stack_count != 0 || *work == 0) return true;
        }
    }
    records->cursor_pool = records->cursor = 0;
    return false;
}

enum { AHEAD = 16 };

static inline enum hw_mark_result mark(hw_records *records, uint64_t *work, bool beside) {
    uint64_t ring[AHEAD]; /* asked for, not looked at yet */
    unsigned next = 0, waiting = 0;
    enum hw_mark_result result = HW_MARK_DONE;
    uint64_t scanned = 0;
    for (;;) {
        if (records->stack_count == 0 && waiting == 0) {
            take_log(records);
            if (records->stack_count == 0) break;
        }
        uint64_t entry;
        if (records->stack_count != 0 && waiting < AHEAD) {
            entry = records->stack[--records->stack_count];
            __builtin_prefetch(hw_record_at(records->pools[hw_record_pool_of(entry)], hw_record_index_of(entry)));
            ring[(next + waiting++) % AHEAD] = entry;
            continue;
        }
        entry = ring[next];
        const hw_record_pool *pool = records->pools[hw_record_pool_of(entry)];
        if (records->stack_capacity - records->stack_count < most_pushed(pool) + AHEAD && !records->without_room) {
            result = HW_MARK_FULL;
            break;
        }
        if (scanned >= *work) {
            result = HW_MARK_MORE;
            break;
        }
        next = (next + 1) % AHEAD;
        waiting--;
        scanned += scan(records, entry, beside);
    }
    for (; waiting != 0; waiting--, next = (next + 1) % AHEAD) push(records, ring[next]);
    records->scanned += scanned;
    *work -= scanned < *work ? scanned : *work;
    return result;
}

enum hw_mark_result hw_records_mark(hw_records *records, uint64_t work, bool beside) {
    assert(records->phase == HW_RECORDS_TRACE || records->phase == HW_RECORDS_TRACE_AGAIN);
    assert(work != 0 && records->stack_capacity != 0);
    if (beside) return mark(records, &work, true); /* if that overflowed, who ends the cycle sees to it */
    for (;;) {
        enum hw_mark_result result = mark(records, &work, false);
        if (result != HW_MARK_DONE) return result;
        if (!records->looking && !atomic_exchange_explicit(&records->overflowed, false, memory_order_relaxed)) return HW_MARK_DONE;
        if (work == 0) return records->looking = true, HW_MARK_MORE;
        records->looking = look_through(records, &work);
    }
}

void hw_records_mark_without_room(hw_records *records) { records->without_room = true; }
