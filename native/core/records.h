/* Records: typed values off anybody's heap, found by number, that refer to each other by number and are kept by being
 * reachable. Here: where they are, how they are made, read and written, and which of them are roots. How the dead are
 * found is core/record_mark.h and core/record_sweep.h, how the living move together is core/record_compact.h.
 *
 *   pool    all records of one type, side by side, without headers. What a collector has to know of a record is one bit
 *           each in planes beside the records: 3 bits, and 3 more where there are generations.
 *   record  an index in its pool (HW_RECORD_NONE: none), or an id, which says the pool too
 *   edge    a field that refers to records. The type lists them, so tracing is exact. The collector's picture of
 *           liveness depends on every edge being written by the functions here, which are the write barrier.
 *   handle  a root: an entry of a table, and a generation that tells whether it still is what somebody noted. There are
 *           no other roots: no stack is searched, so records may move.
 *
 * The memory of pools, planes, lists and of the table is the caller's, reserved once and grown at its end: nothing here
 * moves while it is in use, so a marker on another thread reads all of it without a lock.
 *
 * Threads: one mutator at a time (under Python's GIL: whoever has the GIL). Beside it, during HW_RECORDS_TRACE and if
 * the cycle was begun so, one marker, which reads edges, sets bits in `marked` and takes from `log`; every access that
 * it can meet is atomic, and each says its order.
 *
 * Invariants, walked by hw_records_check (core/record_check.h):
 *   G1  live = set bits of `allocated`, all below `used`; used <= capacity; live + holes = used
 *   G2  an edge of an allocated record is none, or an allocated record of its pool; and the same of live handles. While
 *       sweeping, what is not marked and was not swept yet counts as freed
 *   G3  between cycles `marked` is empty, and so are the stack and the log
 *   G4  while marking, what can be reached is marked, or found from a grey record through white ones; grey is what is in
 *       the stack or the log, and all that is marked where `overflowed` or `looking` say so. (That edges of black records
 *       are marked is not so: who stores one shades what was there before.) While sweeping, G2 says it.
 *   G5  `old`, the age planes and `finalized` are subsets of `allocated`; an age is 0 where `old` is set
 *   G6  an old record with an edge to a young one (not a weak one) is in `remembered`, once, and its bit in `logged` says so
 *   G7  the table's map finds exactly the strong handles, by what they refer to, and there is at most one for each record
 */
#ifndef HW_CORE_RECORDS_H
#define HW_CORE_RECORDS_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/record_handles.h"

#define HW_RECORD_NONE UINT32_MAX
#define HW_RECORD_NO_ID UINT64_MAX
#define HW_RECORD_POOLS_MAX 256
#define HW_RECORD_CAPACITY_MAX (UINT32_MAX - 63) /* of a pool, in records: whole words of 64 bits */
#define HW_RECORD_EDGES_MAX 1024
#define HW_RECORD_BYTES_MAX (32u << 10)

/* ---- what a record is ----------------------------------------------------------------------------------------------- */

/* Variable-size content of a record, which it owns alone: count entries after the header of a block in the payload
 * memory. In a field it is one 64-bit word, so that a reader never sees half of a change. */
typedef struct {
    uint32_t block; /* in units of HW_RECORD_PAYLOAD_UNIT from the payload's base; 0: there is none */
    uint32_t count; /* bytes, or references */
} hw_record_span;

#define HW_RECORD_PAYLOAD_UNIT 16u

typedef struct {             /* in front of the entries, which are aligned as it is */
    uint32_t number;         /* whoever gave the block knows it by this */
    uint32_t capacity_bytes; /* for entries */
    uint32_t next;           /* of the blocks that wait to be freed */
    uint32_t pool;           /* of its owner */
} hw_record_payload;

_Static_assert(sizeof(hw_record_payload) == HW_RECORD_PAYLOAD_UNIT, "entries are aligned to a unit");

enum hw_record_edge_kind {
    HW_EDGE_NARROW, /* uint32_t, an index into `pool` */
    HW_EDGE_WIDE,   /* uint64_t, an id */
    HW_EDGE_SPAN,   /* hw_record_span of uint32_t, indices into `pool` */
};

typedef struct {
    uint16_t offset_bytes; /* in the record */
    uint8_t kind;
    uint8_t pool; /* of what it refers to; of a wide one not said */
} hw_record_edge;

typedef struct {
    unsigned char *records;
    uint32_t stride_bytes;
    uint32_t capacity;  /* records that there is memory for, and in the planes */
    uint32_t used;      /* no record at or after it was made since the pool was last compacted */
    uint32_t live;
    uint32_t hole_word; /* no word of `allocated` before this one has a hole below `used` */
    uint64_t *allocated, *marked;
    uint64_t *old, *logged, *age[2]; /* with generations; else NULL */
    uint64_t *finalized;             /* of a type with a finalizer; else NULL: it has run, or is about to */
    const hw_record_edge *edges;     /* strong ones: first the narrow, one behind the other in the record, then the rest */
    const hw_record_edge *weak;      /* narrow or wide; they keep nothing alive */
    const uint16_t *payloads;        /* offsets of spans without references */
    uint16_t edges_count, narrow_count, spans_count, weak_count, payloads_count;
    uint16_t narrow_offset_bytes;
    int16_t uniform; /* the pool that all edges refer to, if all are narrow and it is one; else -1 */
    const unsigned char *blank; /* a record with every field zero, and every edge none */
    uint64_t payload_bytes;     /* owned by its records */
    uint64_t total_made, total_freed;
} hw_record_pool;

/* ---- all of them ---------------------------------------------------------------------------------------------------- */

enum hw_records_phase {
    HW_RECORDS_IDLE,
    HW_RECORDS_ROOTS,    /* handles are being shaded */
    HW_RECORDS_TRACE,    /* grey records are being scanned */
    HW_RECORDS_WEAK_HANDLES, /* those of white records are being cleared */
    HW_RECORDS_WEAK,     /* and weak edges to them */
    HW_RECORDS_FINALIZE, /* white records with a finalizer are being set aside */
    HW_RECORDS_TRACE_AGAIN, /* and traced from */
    HW_RECORDS_SWEEP,
};

enum { HW_BARRIER_MARKING = 1, HW_BARRIER_GENERATIONS = 2 };

typedef struct { /* of ids; room for every record there is, or else `overflowed` */
    uint64_t *entries;
    _Atomic uint32_t count; /* one writer: the mutator */
    uint32_t capacity;
} hw_record_list;

typedef struct {
    hw_record_pool *pools[HW_RECORD_POOLS_MAX];
    uint32_t pools_count;
    unsigned char *payload; /* base of the payload memory */
    hw_record_handles handles;
    uint8_t barrier; /* what a store has to do besides storing; 0 between cycles, without generations */

    /* of a cycle */
    enum hw_records_phase phase;
    bool minor;
    uint64_t *stack; /* grey records: ids, with a part of their spans in the top 16 bits */
    uint32_t stack_count, stack_capacity;
    bool without_room;           /* the stack cannot grow */
    bool looking;                /* the pools are being looked through for what is marked and was not scanned */
    hw_record_list log;          /* grey records too: what the mutator shaded */
    uint32_t log_taken;          /* of its entries, by the marker */
    _Atomic bool overflowed;     /* something marked is in neither: the pools have to be looked through */
    uint32_t cursor_pool, cursor, cursor_in_run; /* how far the phase is */
    uint64_t barrier_hits;        /* stores that met a barrier, ever */
    hw_record_list finalizable;   /* set aside by this and earlier cycles, not all fetched yet: roots */
    uint32_t finalizable_taken;
    uint64_t scanned;             /* records, in this cycle */

    /* generations */
    hw_record_list remembered;
    bool remembered_overflowed; /* the next collection is major */
    uint8_t promote_after;      /* collections that a young record survives before it is old: 1 to 4; 0: no generations */

    bool poison; /* freed records are filled with HW_RECORD_POISON */
    void (*release_payload)(void *context, hw_record_span span); /* of a freed record */
    void *context;
} hw_records;

#define HW_RECORD_POISON 0xDB

static inline uint64_t hw_record_id(uint32_t pool, uint32_t index) { return (uint64_t)pool << 32 | index; }
static inline uint32_t hw_record_pool_of(uint64_t id) { return (uint32_t)(id >> 32) & 0xFFFF; }
static inline uint32_t hw_record_index_of(uint64_t id) { return (uint32_t)id; }

static inline unsigned char *hw_record_at(const hw_record_pool *pool, uint32_t index) {
    return pool->records + (size_t)index * pool->stride_bytes;
}

/* Words of the planes that say anything. */
static inline uint32_t hw_record_words(const hw_record_pool *pool) { return (pool->used + 63) / 64; }

static inline bool hw_plane_has(const uint64_t *plane, uint32_t index) { return plane[index / 64] >> index % 64 & 1; }

static inline bool hw_record_is_live(const hw_records *records, uint64_t id) {
    const hw_record_pool *pool = hw_record_pool_of(id) < records->pools_count ? records->pools[hw_record_pool_of(id)] : NULL;
    return pool != NULL && hw_record_index_of(id) < pool->used && hw_plane_has(pool->allocated, hw_record_index_of(id));
}

/* Nothing in it. The caller fills in the memory: stack, lists, table; then adds pools. */
void hw_records_init(hw_records *records);

/* A pool that is filled in but for its counters, which become 0, and has edges to pools that are there when a cycle
 * begins; returns its number, or HW_RECORD_NONE when there are HW_RECORD_POOLS_MAX. */
uint32_t hw_records_add(hw_records *records, hw_record_pool *pool);

/* ---- making --------------------------------------------------------------------------------------------------------- */

/* A blank record that nothing refers to: make a handle of it, or store it, before anything else that may collect.
 * HW_RECORD_NONE: the pool is at its capacity. O(1) amortised over a cycle. */
uint32_t hw_record_make(hw_records *records, uint32_t pool);

/* `count` blank records one behind the other, at the pool's end: the first, or HW_RECORD_NONE. O(count). */
uint32_t hw_record_make_run(hw_records *records, uint32_t pool, uint32_t count);

/* ---- edges ---------------------------------------------------------------------------------------------------------- */

/* An old record that is stored to; nothing if it is young, or remembered already. */
void hw_record_remember(hw_records *records, uint64_t id);

/* The slow half of the barrier. `before` is what the edge of the record `id` referred to, or HW_RECORD_NO_ID. */
void hw_record_barrier(hw_records *records, uint64_t id, uint64_t before);


static inline uint64_t hw_record_wide(uint32_t pool, uint32_t index) {
    return index == HW_RECORD_NONE ? HW_RECORD_NO_ID : hw_record_id(pool, index);
}

/* What an edge refers to, as an id. `where` is the edge's place: in a record, or in a span. relaxed: the mutator is the
 * one who writes it. */
static inline uint64_t hw_edge_load(const hw_record_edge *edge, const void *where) {
    if (edge->kind == HW_EDGE_WIDE) return __atomic_load_n((const uint64_t *)where, __ATOMIC_RELAXED);
    return hw_record_wide(edge->pool, __atomic_load_n((const uint32_t *)where, __ATOMIC_RELAXED));
}

/* Makes an edge of the record `id` refer to `target`, an id of a live record or none. A weak one is nobody's business: it is
 * not in the snapshot, and a minor collection looks at those of old records, too. */
static inline void hw_edge_store(hw_records *records, uint64_t id, const hw_record_edge *edge, bool weak, void *where,
                                 uint64_t target) {
    if (__builtin_expect(records->barrier != 0, 0) && !weak) hw_record_barrier(records, id, hw_edge_load(edge, where));
    /* release: a marker that reads the new value sees the record that it refers to filled in, and marked */
    if (edge->kind == HW_EDGE_WIDE) __atomic_store_n((uint64_t *)where, target, __ATOMIC_RELEASE);
    else __atomic_store_n((uint32_t *)where, hw_record_index_of(target), __ATOMIC_RELEASE);
}

/* What a weak edge, or a weak handle, that says `target` refers to: none if that is about to be freed. What it returns may be
 * made a handle of. */
uint64_t hw_weak_target(hw_records *records, uint64_t target);
static inline uint64_t hw_weak_load(hw_records *records, const hw_record_edge *edge, const void *where) {
    return hw_weak_target(records, hw_edge_load(edge, where));
}

/* The span in a field, and the barrier of replacing one with references: all that it refers to is shaded. The old block
 * must stay as it is until the cycle ends (the phase is idle again): a marker may be in it. */
static inline hw_record_span hw_span_load(const void *where) {
    uint64_t word = __atomic_load_n((const uint64_t *)where, __ATOMIC_ACQUIRE);
    hw_record_span span;
    memcpy(&span, &word, sizeof span);
    return span;
}
static inline hw_record_payload *hw_span_payload(const hw_records *records, hw_record_span span) {
    return (hw_record_payload *)(void *)(records->payload + (size_t)span.block * HW_RECORD_PAYLOAD_UNIT);
}
static inline void *hw_span_entries(const hw_records *records, hw_record_span span) {
    return hw_span_payload(records, span) + 1;
}
void hw_span_store(hw_records *records, uint64_t id, const hw_record_edge *edge, void *where, hw_record_span span);

/* The same block with more entries, which are written already, or fewer, of which those left out are shaded. O(left out). */
void hw_span_set_count(hw_records *records, uint64_t id, const hw_record_edge *edge, void *where, uint32_t count);

/* Calls visit(context, number of the edge, entry of its span, what it refers to) for every strong edge of a record that is
 * not none. For reports and checks, in no hurry. */
static inline void hw_record_each_edge(const hw_records *records, uint64_t id,
                                       void (*visit)(void *context, uint16_t edge, uint32_t entry, uint64_t target),
                                       void *context) {
    const hw_record_pool *pool = records->pools[hw_record_pool_of(id)];
    const unsigned char *record = hw_record_at(pool, hw_record_index_of(id));
    for (uint16_t i = 0; i < pool->edges_count; i++) {
        const hw_record_edge *edge = &pool->edges[i];
        const void *where = record + edge->offset_bytes;
        if (edge->kind != HW_EDGE_SPAN) {
            uint64_t target = hw_edge_load(edge, where);
            if (target != HW_RECORD_NO_ID) visit(context, i, 0, target);
            continue;
        }
        hw_record_span span = hw_span_load(where);
        if (span.count == 0) continue;
        const uint32_t *entries = hw_span_entries(records, span);
        for (uint32_t k = 0; k < span.count; k++) {
            uint64_t target = hw_edge_load(edge, &entries[k]);
            if (target != HW_RECORD_NO_ID) visit(context, i, k, target);
        }
    }
}

/* ---- roots ---------------------------------------------------------------------------------------------------------- */

/* A strong handle of a live record: the one that there is (*fresh = false), or a new one with `owner`. false: the table is
 * full (hw_record_handles_no_entry, hw_record_handles_map_full). O(1) expected. */
bool hw_records_handle(hw_records *records, uint64_t id, uint64_t owner, hw_record_handle *handle, bool *fresh);

/* Gives up a handle of any kind. */
void hw_records_drop(hw_records *records, uint32_t slot);

#endif
