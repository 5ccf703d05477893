#include "core/record_sweep.h"

/* Sees to a word of planes; returns how many records it looked at one by one. */
typedef uint64_t (*visit_word)(hw_records *records, hw_record_pool *pool, uint32_t word);

/* Calls visit for every word of every pool that is wanted, from the cursor on; false when the work is used up. */
static bool each_word(hw_records *records, visit_word visit, bool (*wanted)(const hw_record_pool *pool), uint64_t *work) {
    for (; records->cursor_pool < records->pools_count; records->cursor_pool++, records->cursor = 0) {
        hw_record_pool *pool = records->pools[records->cursor_pool];
        if (wanted != NULL && !wanted(pool)) continue;
        for (uint32_t words = hw_record_words(pool); records->cursor < words; records->cursor++) {
            if (*work == 0) return false;
            uint64_t done = 1 + visit(records, pool, records->cursor);
            *work = done < *work ? *work - done : 0;
        }
    }
    records->cursor_pool = records->cursor = 0;
    return true;
}

/* ---- weak ----------------------------------------------------------------------------------------------------------- */

static bool has_weak(const hw_record_pool *pool) { return pool->weak_count != 0; }

static uint64_t clear_weak(hw_records *records, hw_record_pool *pool, uint32_t word) {
    /* of white records too: what is set aside to be finalized, and what that keeps, may refer to each other. And of old ones in a
     * minor cycle, as nothing remembers which of their weak edges are to young records: to look is cheaper than to note it */
    uint64_t bits = pool->allocated[word], looked = 0;
    for (; bits != 0; bits &= bits - 1, looked++) {
        unsigned char *record = hw_record_at(pool, word * 64 + (uint32_t)__builtin_ctzll(bits));
        for (uint16_t i = 0; i < pool->weak_count; i++) {
            const hw_record_edge *edge = &pool->weak[i];
            void *where = record + edge->offset_bytes;
            uint64_t target = hw_edge_load(edge, where);
            if (target == HW_RECORD_NO_ID || hw_record_is_marked(records, target)) continue;
            if (edge->kind == HW_EDGE_WIDE) *(uint64_t *)where = HW_RECORD_NO_ID;
            else *(uint32_t *)where = HW_RECORD_NONE;
        }
    }
    return looked;
}

/* From the cursor on; false when the work is used up. */
static bool clear_weak_handles(hw_records *records, uint64_t *work) {
    hw_record_handles *handles = &records->handles;
    for (; handles->weak_count != 0 && records->cursor < handles->used; records->cursor++) {
        if (*work == 0) return false;
        --*work;
        hw_record_handle_entry *entry = &handles->entries[records->cursor];
        if (entry->kind == HW_HANDLE_WEAK && entry->id != HW_RECORD_NO_ID && !hw_record_is_marked(records, entry->id))
            entry->id = HW_RECORD_NO_ID;
    }
    records->cursor = 0;
    return true;
}

/* ---- finalize ------------------------------------------------------------------------------------------------------- */

static bool has_finalizer(const hw_record_pool *pool) { return pool->finalized != NULL; }

/* A record that is set aside is grey, but what it refers to stays white until all pools have been looked at: so of two that
 * refer to each other both are set aside, in the order of their places. */
static uint64_t set_aside(hw_records *records, hw_record_pool *pool, uint32_t word) {
    uint64_t bits = pool->allocated[word] & ~pool->marked[word] & ~pool->finalized[word], looked = 0;
    hw_record_list *list = &records->finalizable;
    for (; bits != 0; bits &= bits - 1, looked++) {
        uint32_t count = atomic_load_explicit(&list->count, memory_order_relaxed), bit = (uint32_t)__builtin_ctzll(bits);
        uint64_t id = hw_record_id(records->cursor_pool, word * 64 + bit);
        hw_record_shade(records, id);
        if (count == list->capacity) continue; /* no room: it is kept, and its turn comes in a later cycle */
        list->entries[count] = id;
        atomic_store_explicit(&list->count, count + 1, memory_order_relaxed);
        pool->finalized[word] |= UINT64_C(1) << bit;
    }
    return looked;
}

/* Those that were fetched make room for more. */
static void close_finalizable(hw_records *records) {
    hw_record_list *list = &records->finalizable;
    uint32_t waiting = atomic_load_explicit(&list->count, memory_order_relaxed) - records->finalizable_taken;
    memmove(list->entries, list->entries + records->finalizable_taken, waiting * sizeof *list->entries);
    atomic_store_explicit(&list->count, waiting, memory_order_relaxed);
    records->finalizable_taken = 0;
}

uint64_t hw_records_next_finalizable(hw_records *records) {
    hw_record_list *list = &records->finalizable;
    uint32_t count = atomic_load_explicit(&list->count, memory_order_relaxed);
    /* while they are being set aside, what they refer to is white, and their weak edges may still be cleared */
    bool settled = records->phase <= HW_RECORDS_TRACE || records->phase == HW_RECORDS_SWEEP;
    if (count == 0 || !settled) return HW_RECORD_NO_ID;
    uint64_t id = list->entries[records->finalizable_taken++];
    if (records->finalizable_taken == count) close_finalizable(records);
    /* between being taken and being held by a handle it must not be missed by a cycle that has looked at the roots */
    if (records->barrier & HW_BARRIER_MARKING) hw_record_shade(records, id);
    return id;
}

/* ---- sweep ---------------------------------------------------------------------------------------------------------- */

static void release_spans(hw_records *records, const hw_record_pool *pool, const unsigned char *record) {
    for (uint16_t i = pool->edges_count - pool->spans_count; i < pool->edges_count; i++) {
        hw_record_span span = hw_span_load(record + pool->edges[i].offset_bytes);
        if (span.block != 0) records->release_payload(records->context, span);
    }
    for (uint16_t i = 0; i < pool->payloads_count; i++) {
        hw_record_span span = hw_span_load(record + pool->payloads[i]);
        if (span.block != 0) records->release_payload(records->context, span);
    }
}

/* The young that survived grow older; those that are old enough are returned. Age is a number of two bits, of 64 records at
 * a time: equal to promote_after - 1 in both, or one more. */
static uint64_t grow_older(const hw_records *records, hw_record_pool *pool, uint32_t word) {
    uint64_t young = pool->allocated[word] & ~pool->old[word], low = pool->age[0][word], high = pool->age[1][word];
    unsigned last = records->promote_after - 1u;
    uint64_t promoted = young & ~(low ^ (last & 1 ? UINT64_MAX : 0)) & ~(high ^ (last & 2 ? UINT64_MAX : 0));
    uint64_t rest = young & ~promoted;
    pool->age[0][word] = ~low & rest;
    pool->age[1][word] = (high ^ low) & rest;
    pool->old[word] = (pool->old[word] & pool->allocated[word]) | promoted;
    return promoted;
}

static uint64_t sweep(hw_records *records, hw_record_pool *pool, uint32_t word) {
    uint64_t marked = pool->marked[word], dead = pool->allocated[word] & ~marked, looked = 0;
    assert((marked & ~pool->allocated[word]) == 0); /* nothing is marked that is not there */
    pool->allocated[word] &= marked;
    pool->marked[word] = 0;
    if (dead != 0) {
        uint32_t count = (uint32_t)__builtin_popcountll(dead);
        pool->live -= count;
        pool->total_freed += count;
        if (word < pool->hole_word) pool->hole_word = word;
        bool owning = pool->spans_count + pool->payloads_count != 0;
        for (uint64_t bits = dead; (owning || records->poison) && bits != 0; bits &= bits - 1, looked++) {
            unsigned char *record = hw_record_at(pool, word * 64 + (uint32_t)__builtin_ctzll(bits));
            if (owning) release_spans(records, pool, record);
            if (records->poison) memset(record, HW_RECORD_POISON, pool->stride_bytes);
        }
        if (pool->finalized != NULL) pool->finalized[word] &= marked;
    }
    /* the plane holds what was promoted until hw_records_sweep has seen which of it refers to the young */
    if (pool->old != NULL) pool->marked[word] = grow_older(records, pool, word);
    return looked;
}

/* ---- what the old remember ------------------------------------------------------------------------------------------- */

static bool is_young(const hw_records *records, uint64_t id) {
    return id != HW_RECORD_NO_ID && !hw_plane_has(records->pools[hw_record_pool_of(id)]->old, hw_record_index_of(id));
}

typedef struct {
    const hw_records *records;
    bool young;
} young_search;

static void look_if_young(void *search, uint16_t edge, uint32_t entry, uint64_t target) {
    ((young_search *)search)->young |= is_young(((young_search *)search)->records, target);
}

static bool refers_to_young(const hw_records *records, uint64_t id) {
    young_search search = {records, false};
    hw_record_each_edge(records, id, look_if_young, &search);
    return search.young;
}

/* After a sweep: drops from the list what is gone or refers to nothing young any more, and adds what was promoted and does.
 * Where a record is old as soon as it has survived there is nothing young now. */
static void rebuild_remembered(hw_records *records) {
    hw_record_list *list = &records->remembered;
    uint32_t count = atomic_load_explicit(&list->count, memory_order_relaxed), kept = 0;
    bool all = records->remembered_overflowed, none_young = records->promote_after == 1;
    records->remembered_overflowed = false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id = list->entries[i];
        hw_record_pool *pool = records->pools[hw_record_pool_of(id)];
        uint32_t index = hw_record_index_of(id);
        if (!none_young && hw_plane_has(pool->allocated, index) && refers_to_young(records, id)) list->entries[kept++] = id;
        else pool->logged[index / 64] &= ~(UINT64_C(1) << index % 64);
    }
    atomic_store_explicit(&list->count, kept, memory_order_relaxed);
    for (uint32_t p = 0; p < records->pools_count; p++) {
        hw_record_pool *pool = records->pools[p];
        for (uint32_t word = 0; word < hw_record_words(pool); word++) {
            uint64_t bits = (all ? pool->old[word] : pool->marked[word]) & ~pool->logged[word];
            pool->marked[word] = 0;
            for (; !none_young && bits != 0; bits &= bits - 1) {
                uint64_t id = hw_record_id(p, word * 64 + (uint32_t)__builtin_ctzll(bits));
                if (refers_to_young(records, id)) hw_record_remember(records, id);
            }
        }
    }
}

/* ---- the order of it ------------------------------------------------------------------------------------------------- */

static bool nothing_is_grey(const hw_records *records) {
    return records->stack_count == 0 && records->log_taken == records->log.count && !records->overflowed && !records->looking;
}

enum hw_mark_result hw_records_sweep(hw_records *records, uint64_t work) {
    switch (records->phase) {
    case HW_RECORDS_TRACE:
        assert(nothing_is_grey(records));
        if (records->finalizable_taken != 0) close_finalizable(records);
        records->phase = HW_RECORDS_WEAK_HANDLES;
        /* fall through */
    case HW_RECORDS_WEAK_HANDLES:
        if (!clear_weak_handles(records, &work)) return HW_MARK_MORE;
        records->phase = HW_RECORDS_WEAK;
        /* fall through */
    case HW_RECORDS_WEAK:
        if (!each_word(records, clear_weak, has_weak, &work)) return HW_MARK_MORE;
        records->phase = HW_RECORDS_FINALIZE;
        /* fall through */
    case HW_RECORDS_FINALIZE:
        if (!each_word(records, set_aside, has_finalizer, &work)) return HW_MARK_MORE;
        records->phase = HW_RECORDS_TRACE_AGAIN;
        if (!nothing_is_grey(records)) return HW_MARK_MORE; /* what was set aside: to be marked first */
        /* fall through */
    case HW_RECORDS_TRACE_AGAIN:
        assert(nothing_is_grey(records));
        records->barrier &= (uint8_t)~HW_BARRIER_MARKING;
        records->phase = HW_RECORDS_SWEEP;
        /* fall through */
    case HW_RECORDS_SWEEP:
        if (!each_word(records, sweep, NULL, &work)) return HW_MARK_MORE;
        if (records->promote_after != 0) rebuild_remembered(records);
        records->phase = HW_RECORDS_IDLE;
        records->minor = false;
        records->without_room = false;
        records->log_taken = 0;
        atomic_store_explicit(&records->log.count, 0, memory_order_relaxed);
        return HW_MARK_DONE;
    default: assert(!"nothing to sweep"); return HW_MARK_DONE;
    }
}

void hw_records_collect(hw_records *records, bool minor, bool (*grow)(void *context), void *context) {
    hw_records_begin(records, minor);
    hw_records_mark_roots(records, UINT64_MAX);
    do {
        while (hw_records_mark(records, UINT64_MAX, false) == HW_MARK_FULL)
            if (!grow(context)) hw_records_mark_without_room(records);
    } while (hw_records_sweep(records, UINT64_MAX) != HW_MARK_DONE);
}
