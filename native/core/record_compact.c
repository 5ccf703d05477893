#include "core/record_compact.h"

size_t hw_records_compact_bytes(const hw_records *records) {
    size_t words = 0;
    for (uint32_t p = 0; p < records->pools_count; p++) words += hw_record_words(records->pools[p]);
    return words * sizeof(uint32_t);
}

/* ---- where a record goes --------------------------------------------------------------------------------------------- */

typedef struct {
    const hw_records *records;
    uint32_t *before[HW_RECORD_POOLS_MAX]; /* for each word of `allocated`, live records before it; NULL: the pool stays as it is */
} forwarding;

static inline uint32_t below(uint64_t word, uint32_t index) {
    return (uint32_t)__builtin_popcountll(word & ((UINT64_C(1) << index % 64) - 1));
}

static inline uint32_t forward(const forwarding *to, uint32_t p, uint32_t index) {
    if (to->before[p] == NULL || index == HW_RECORD_NONE) return index;
    return to->before[p][index / 64] + below(to->records->pools[p]->allocated[index / 64], index);
}

static inline uint64_t forward_id(const forwarding *to, uint64_t id) {
    if (id == HW_RECORD_NO_ID) return id;
    return hw_record_id(hw_record_pool_of(id), forward(to, hw_record_pool_of(id), hw_record_index_of(id)));
}

static void count_before(const hw_record_pool *pool, uint32_t *before) {
    uint32_t live = 0;
    for (uint32_t word = 0; word < hw_record_words(pool); word++) {
        before[word] = live;
        live += (uint32_t)__builtin_popcountll(pool->allocated[word]);
    }
}

/* Live records before the first hole: they stay. */
static uint32_t staying(const hw_record_pool *pool) {
    uint32_t word = 0;
    while (word < hw_record_words(pool) && pool->allocated[word] == UINT64_MAX) word++;
    return word == hw_record_words(pool) ? pool->used : word * 64 + (uint32_t)__builtin_ctzll(~pool->allocated[word]);
}

/* ---- records --------------------------------------------------------------------------------------------------------- */

static inline void rewrite_edge(const forwarding *to, const hw_record_edge *edge, void *where) {
    if (edge->kind == HW_EDGE_WIDE) *(uint64_t *)where = forward_id(to, *(const uint64_t *)where);
    else *(uint32_t *)where = forward(to, edge->pool, *(const uint32_t *)where);
}

static void rewrite_others(const forwarding *to, const hw_record_pool *pool, unsigned char *record) {
    for (uint16_t i = pool->narrow_count; i < pool->edges_count; i++) {
        const hw_record_edge *edge = &pool->edges[i];
        if (edge->kind != HW_EDGE_SPAN) {
            rewrite_edge(to, edge, record + edge->offset_bytes);
            continue;
        }
        hw_record_span span = hw_span_load(record + edge->offset_bytes);
        uint32_t *entries = span.count == 0 ? NULL : hw_span_entries(to->records, span);
        for (uint32_t k = 0; k < span.count; k++) entries[k] = forward(to, edge->pool, entries[k]);
    }
    for (uint16_t i = 0; i < pool->weak_count; i++) rewrite_edge(to, &pool->weak[i], record + pool->weak[i].offset_bytes);
}

static inline void rewrite_record(const forwarding *to, const hw_record_pool *pool, unsigned char *record) {
    uint32_t *narrow = (uint32_t *)(void *)(record + pool->narrow_offset_bytes);
    for (uint16_t i = 0; i < pool->narrow_count; i++) narrow[i] = forward(to, pool->edges[i].pool, narrow[i]);
    if (pool->edges_count != pool->narrow_count || pool->weak_count != 0) rewrite_others(to, pool, record);
}

/* Each live record of a pool to its place, and what it refers to rewritten; a run of them at a time. */
static void move_pool(const forwarding *to, const hw_record_pool *pool, bool moves) {
    uint32_t next = 0; /* place */
    for (uint32_t word = 0; word < hw_record_words(pool); word++) {
        for (uint64_t bits = pool->allocated[word]; bits != 0;) {
            uint32_t first = (uint32_t)__builtin_ctzll(bits), count = 64 - first;
            uint64_t rest = ~(bits >> first);
            if (rest != 0 && (uint32_t)__builtin_ctzll(rest) < count) count = (uint32_t)__builtin_ctzll(rest);
            bits = first + count == 64 ? 0 : bits >> (first + count) << (first + count);
            unsigned char *record = hw_record_at(pool, word * 64 + first), *place = moves ? hw_record_at(pool, next) : record;
            if (place != record) memmove(place, record, (size_t)count * pool->stride_bytes);
            next += count;
            for (; count != 0; count--, place += pool->stride_bytes) rewrite_record(to, pool, place);
        }
    }
}

/* ---- what else knows them -------------------------------------------------------------------------------------------- */

static void rewrite_roots(const forwarding *to, hw_records *records) {
    hw_record_handles *handles = &records->handles;
    for (uint32_t slot = 0; slot < handles->used; slot++) handles->entries[slot].id = forward_id(to, handles->entries[slot].id);
    hw_record_handles_remap(handles, handles->map, handles->map_capacity);
    for (uint32_t i = 0; i < records->remembered.count; i++)
        records->remembered.entries[i] = forward_id(to, records->remembered.entries[i]);
    for (uint32_t i = records->finalizable_taken; i < records->finalizable.count; i++)
        records->finalizable.entries[i] = forward_id(to, records->finalizable.entries[i]);
}

/* The bits of a plane move as the records do. */
static void move_plane(uint64_t *plane, const hw_record_pool *pool, const uint32_t *before) {
    for (uint32_t word = 0; plane != NULL && word < hw_record_words(pool); word++) {
        uint64_t bits = plane[word];
        plane[word] = 0; /* all that is set below lies at or before this word */
        for (; bits != 0; bits &= bits - 1) {
            uint32_t place = before[word] + below(pool->allocated[word], (uint32_t)__builtin_ctzll(bits));
            plane[place / 64] |= UINT64_C(1) << place % 64;
        }
    }
}

/* What lives is `live` records at the beginning. */
static void close_pool(const hw_records *records, hw_record_pool *pool, const uint32_t *before) {
    uint64_t *planes[] = {pool->old, pool->logged, pool->age[0], pool->age[1], pool->finalized};
    for (unsigned i = 0; i < sizeof planes / sizeof *planes; i++) move_plane(planes[i], pool, before);
    uint32_t whole = pool->live / 64, words = hw_record_words(pool);
    memset(pool->allocated, 0xFF, whole * sizeof(uint64_t));
    if (whole < words) {
        memset(pool->allocated + whole, 0, (words - whole) * sizeof(uint64_t));
        pool->allocated[whole] = (UINT64_C(1) << pool->live % 64) - 1;
    }
    if (records->poison)
        memset(hw_record_at(pool, pool->live), HW_RECORD_POISON, (size_t)(pool->used - pool->live) * pool->stride_bytes);
    pool->used = pool->live;
    pool->hole_word = whole;
}

hw_records_compacted hw_records_compact(hw_records *records, const bool *pinned, void *scratch) {
    assert(records->phase == HW_RECORDS_IDLE);
    hw_records_compacted result = {0, 0};
    forwarding to = {.records = records};
    uint32_t *before = scratch;
    for (uint32_t p = 0; p < records->pools_count; p++) {
        const hw_record_pool *pool = records->pools[p];
        if ((pinned != NULL && pinned[p]) || pool->live == pool->used) continue;
        count_before(pool, before);
        to.before[p] = before;
        before += hw_record_words(pool);
        result.moved += pool->live - staying(pool);
        result.freed_bytes += (uint64_t)(pool->used - pool->live) * pool->stride_bytes;
    }
    if (before == scratch) return result; /* there is no hole that may be closed */
    for (uint32_t p = 0; p < records->pools_count; p++) move_pool(&to, records->pools[p], to.before[p] != NULL);
    rewrite_roots(&to, records);
    for (uint32_t p = 0; p < records->pools_count; p++)
        if (to.before[p] != NULL) close_pool(records, records->pools[p], to.before[p]);
    return result;
}
