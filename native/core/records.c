#include "core/records.h"

#include "core/record_mark.h"

void hw_records_init(hw_records *records) { memset(records, 0, sizeof *records); }

uint32_t hw_records_add(hw_records *records, hw_record_pool *pool) {
    if (records->pools_count == HW_RECORD_POOLS_MAX) return HW_RECORD_NONE;
    pool->used = pool->live = pool->hole_word = 0;
    pool->payload_bytes = pool->total_made = pool->total_freed = 0;
    pool->uniform = pool->narrow_count == 0 ? -1 : pool->edges[0].pool;
    for (uint16_t i = 0; i < pool->edges_count; i++)
        if (pool->edges[i].kind != HW_EDGE_NARROW || pool->edges[i].pool != pool->edges[0].pool) pool->uniform = -1;
    records->pools[records->pools_count] = pool;
    return records->pools_count++;
}

/* ---- making --------------------------------------------------------------------------------------------------------- */

/* The lowest hole, or the end, or HW_RECORD_NONE. */
static uint32_t find_place(hw_record_pool *pool) {
    if (pool->live != pool->used) {
        uint32_t words = hw_record_words(pool);
        for (; pool->hole_word < words; pool->hole_word++) {
            uint64_t holes = ~pool->allocated[pool->hole_word];
            if (holes == 0) continue;
            uint32_t index = pool->hole_word * 64 + (uint32_t)__builtin_ctzll(holes);
            if (index < pool->used) return index;
            break;
        }
    }
    return pool->used < pool->capacity ? pool->used : HW_RECORD_NONE;
}

/* While marking a new record is black: it was not there at the snapshot, and its edges are what the mutator, who has
 * shaded it all, stores. While sweeping it is what keeps the record from being swept; behind the sweep there is nothing to
 * be kept from, and the planes stay clean (G3). */
static void settle(hw_records *records, uint32_t number, uint32_t index) {
    hw_record_pool *pool = records->pools[number];
    uint64_t bit = UINT64_C(1) << index % 64;
    pool->allocated[index / 64] |= bit;
    if (records->phase == HW_RECORDS_IDLE || hw_records_is_swept(records, number, index / 64)) return;
    /* relaxed: a marker learns of the record by an edge that was stored, with release, after this */
    __atomic_fetch_or(&pool->marked[index / 64], bit, __ATOMIC_RELAXED);
}

uint32_t hw_record_make(hw_records *records, uint32_t number) {
    hw_record_pool *pool = records->pools[number];
    uint32_t index = find_place(pool);
    if (index == HW_RECORD_NONE) return index;
    if (index == pool->used) pool->used++;
    memcpy(hw_record_at(pool, index), pool->blank, pool->stride_bytes);
    settle(records, number, index);
    pool->live++;
    pool->total_made++;
    return index;
}

uint32_t hw_record_make_run(hw_records *records, uint32_t number, uint32_t count) {
    hw_record_pool *pool = records->pools[number];
    uint32_t first = pool->used;
    if (pool->capacity - first < count) return HW_RECORD_NONE;
    for (uint32_t index = first; index < first + count; index++) {
        memcpy(hw_record_at(pool, index), pool->blank, pool->stride_bytes);
        settle(records, number, index);
    }
    pool->used += count;
    pool->live += count;
    pool->total_made += count;
    return first;
}

/* ---- edges ---------------------------------------------------------------------------------------------------------- */

void hw_record_remember(hw_records *records, uint64_t id) {
    hw_record_pool *pool = records->pools[hw_record_pool_of(id)];
    uint32_t index = hw_record_index_of(id);
    if (!hw_plane_has(pool->old, index) || hw_plane_has(pool->logged, index)) return;
    hw_record_list *list = &records->remembered;
    uint32_t count = atomic_load_explicit(&list->count, memory_order_relaxed);
    if (count == list->capacity) {
        records->remembered_overflowed = true;
        return;
    }
    pool->logged[index / 64] |= UINT64_C(1) << index % 64;
    list->entries[count] = id;
    atomic_store_explicit(&list->count, count + 1, memory_order_relaxed);
}

void hw_record_barrier(hw_records *records, uint64_t id, uint64_t before) {
    records->barrier_hits++;
    if ((records->barrier & HW_BARRIER_MARKING) && before != HW_RECORD_NO_ID) hw_record_shade(records, before);
    if (records->barrier & HW_BARRIER_GENERATIONS) hw_record_remember(records, id);
}

uint64_t hw_weak_target(hw_records *records, uint64_t target) {
    if (target == HW_RECORD_NO_ID) return target;
    switch (records->phase) {
    case HW_RECORDS_IDLE:
    case HW_RECORDS_SWEEP: return target; /* those to white records have been cleared */
    case HW_RECORDS_ROOTS:
    case HW_RECORDS_TRACE: hw_record_shade(records, target); /* the snapshot does not hold it */ return target;
    default: return hw_record_is_marked(records, target) ? target : HW_RECORD_NO_ID; /* it may not have been cleared yet */
    }
}

static void shade_entries(hw_records *records, const hw_record_edge *edge, hw_record_span span, uint32_t from) {
    if (!(records->barrier & HW_BARRIER_MARKING)) return;
    const uint32_t *entries = hw_span_entries(records, span);
    for (uint32_t i = from; i < span.count; i++) {
        uint64_t target = hw_edge_load(edge, &entries[i]);
        if (target != HW_RECORD_NO_ID) hw_record_shade(records, target);
    }
}

static void put_span(hw_records *records, uint64_t id, void *where, hw_record_span span) {
    uint64_t word;
    if (records->barrier != 0) hw_record_barrier(records, id, HW_RECORD_NO_ID);
    memcpy(&word, &span, sizeof word);
    /* release: with the entries, which were written before */
    __atomic_store_n((uint64_t *)where, word, __ATOMIC_RELEASE);
}

void hw_span_store(hw_records *records, uint64_t id, const hw_record_edge *edge, void *where, hw_record_span span) {
    shade_entries(records, edge, hw_span_load(where), 0);
    put_span(records, id, where, span);
}

void hw_span_set_count(hw_records *records, uint64_t id, const hw_record_edge *edge, void *where, uint32_t count) {
    hw_record_span span = hw_span_load(where);
    shade_entries(records, edge, span, count);
    span.count = count;
    put_span(records, id, where, span);
}

/* ---- roots ---------------------------------------------------------------------------------------------------------- */

bool hw_records_handle(hw_records *records, uint64_t id, uint64_t owner, hw_record_handle *handle, bool *fresh) {
    hw_record_handles *handles = &records->handles;
    uint32_t slot = hw_record_handles_find(handles, id);
    *fresh = slot == HW_HANDLE_NONE;
    if (*fresh) {
        if (hw_record_handles_no_entry(handles) || hw_record_handles_map_full(handles)) return false;
        slot = hw_record_handles_add(handles, HW_HANDLE_STRONG, id, owner);
        /* what a handle refers to is grey or black (G4): so the roots of the snapshot may be looked at bit by bit */
        if (records->barrier & HW_BARRIER_MARKING) hw_record_shade(records, id);
    }
    *handle = (hw_record_handle){slot, handles->entries[slot].generation};
    return true;
}

void hw_records_drop(hw_records *records, uint32_t slot) {
    const hw_record_handle_entry *entry = &records->handles.entries[slot];
    uint64_t roots = hw_record_handle_roots(entry);
    /* roots of the snapshot that were not looked at yet, perhaps */
    for (uint64_t i = 0; records->phase == HW_RECORDS_ROOTS && i < roots; i++) hw_record_shade(records, entry->id + i);
    hw_record_handles_remove(&records->handles, slot);
}
