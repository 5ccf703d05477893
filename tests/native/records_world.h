/* A record heap of five types beside a model of it, for tests: the model is an array of nodes that know what they refer to,
 * and liveness is reachability by breadth-first search. world_look compares the two, and says what each may differ in: dead
 * records may stay for a while, weak references to them may be gone. */
#ifndef HW_TESTS_RECORDS_WORLD_H
#define HW_TESTS_RECORDS_WORLD_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/record_check.h"
#include "core/record_compact.h"
#include "core/record_sweep.h"

/* ---- types ---------------------------------------------------------------------------------------------------------- */

enum { PAIR, LINK, ANY, LIST, LEAF, TYPES };

#ifndef WORLD_NODES
#define WORLD_NODES 160
#endif
enum { NODES = WORLD_NODES, NOBODY = -1, RUNS = 8, RUN_MOST = 12, SPAN_MOST = 2200 };
enum { CAPACITY = (NODES + 127) / 64 * 64, WORDS = CAPACITY / 64, HANDLES = 2 * NODES + RUNS, MAP = NODES <= 256 ? 512 : 8192 };

typedef struct { /* each record begins so */
    uint32_t number, serial;
} head;

static const hw_record_edge EDGES[TYPES][3] = {
    [PAIR] = {{8, HW_EDGE_NARROW, PAIR}, {12, HW_EDGE_NARROW, PAIR}},
    [LINK] = {{8, HW_EDGE_NARROW, PAIR}, {12, HW_EDGE_NARROW, ANY}},
    [ANY] = {{8, HW_EDGE_WIDE, 0}, {16, HW_EDGE_WIDE, 0}},
    [LIST] = {{8, HW_EDGE_NARROW, ANY}, {16, HW_EDGE_SPAN, LIST}, {24, HW_EDGE_SPAN, PAIR}},
};
static const hw_record_edge WEAK[TYPES][1] = {[LINK] = {{16, HW_EDGE_NARROW, PAIR}}, [ANY] = {{24, HW_EDGE_WIDE, 0}}};
static const uint16_t PAYLOADS[TYPES][1] = {[LIST] = {32}, [LEAF] = {8}};

static const struct {
    uint16_t stride_bytes, direct, narrow, spans, weak, payloads;
    bool finalizer;
} SHAPES[TYPES] = {
    [PAIR] = {.stride_bytes = 20, .direct = 2, .narrow = 2}, /* not a multiple of 8 */
    [LINK] = {.stride_bytes = 24, .direct = 2, .narrow = 2, .weak = 1},
    [ANY] = {.stride_bytes = 32, .direct = 2, .weak = 1, .finalizer = true},
    [LIST] = {.stride_bytes = 40, .direct = 1, .narrow = 1, .spans = 2, .payloads = 1, .finalizer = true},
    [LEAF] = {.stride_bytes = 16, .payloads = 1},
};

/* ---- the world ------------------------------------------------------------------------------------------------------ */

typedef struct {
    bool known, held, weakly_held; /* there is a record of it, perhaps dead; with a handle; with a weak one */
    bool finalized;
    uint8_t type;
    uint32_t serial, slot, weak_slot, blob_bytes;
    uint64_t id;
    int16_t to[2], weak, span_count[2], span[2][SPAN_MOST];
} node;

typedef struct {
    const char *name;
    uint32_t slice; /* units of work in a step; 0: cycles are done at once */
    uint8_t promote_after;
    bool poison, compact; /* after every collection */
    uint32_t stack, log, remembered, finalizable; /* capacities */
} setup;

enum { SMALL_BYTES = 64, SMALLS = 6 * NODES, BIG_BYTES = 9 << 10, BIGS = 24, BLOCKS = SMALLS + BIGS, STACK_MOST = 1 << 13 };

typedef struct {
    const setup *set;
    bool beside; /* a cycle is another's, so nobody else ends it */
    hw_records records;
    hw_record_pool pools[TYPES];
    node nodes[NODES];
    uint32_t serial;
    struct {
        uint32_t slot;
        int count; /* 0: there is none */
        int16_t nodes[RUN_MOST];
    } runs[RUNS];
    bool reachable[NODES], by_handle[NODES]; /* since world_look: from handles and what waits to be finalized; from handles */

    struct { /* payload memory */
        bool taken[BLOCKS];
        uint32_t count, put_off_count;
        hw_record_span put_off[BLOCKS]; /* given up while marking */
    } blocks;

    uint64_t planes[TYPES][7][WORDS], stack[STACK_MOST], log[NODES], remembered[NODES * 2], finalizable[NODES * 2];
    uint64_t scratch[4 * TYPES * WORDS + TYPES * CAPACITY];
    hw_record_handle_entry entries[HANDLES];
    uint32_t map[MAP];
    unsigned char memory[TYPES][CAPACITY * 40], blank[TYPES][40];
    _Alignas(16) unsigned char payload[16 + SMALLS * SMALL_BYTES + BIGS * BIG_BYTES];
} world;

/* ---- payload -------------------------------------------------------------------------------------------------------- */

static uint32_t block_bytes(uint32_t number) { return number < SMALLS ? SMALL_BYTES : BIG_BYTES; }

static hw_record_payload *block_at(world *w, uint32_t number) {
    size_t at = number < SMALLS ? (size_t)number * SMALL_BYTES : SMALLS * SMALL_BYTES + (size_t)(number - SMALLS) * BIG_BYTES;
    return (void *)(w->payload + HW_RECORD_PAYLOAD_UNIT + at);
}

/* A block with room for so many bytes, or none of them: block 0. */
static hw_record_span block_take(world *w, uint32_t count, uint32_t bytes) {
    for (uint32_t number = bytes + sizeof(hw_record_payload) <= SMALL_BYTES ? 0 : SMALLS; number < BLOCKS; number++) {
        if (w->blocks.taken[number]) continue;
        w->blocks.taken[number] = true;
        w->blocks.count++;
        hw_record_payload *block = block_at(w, number);
        *block = (hw_record_payload){.number = number, .capacity_bytes = block_bytes(number) - (uint32_t)sizeof *block};
        return (hw_record_span){(uint32_t)(((unsigned char *)block - w->payload) / HW_RECORD_PAYLOAD_UNIT), count};
    }
    return (hw_record_span){0, 0};
}

static void block_free(void *context, hw_record_span span) {
    world *w = context;
    hw_record_payload *block = hw_span_payload(&w->records, span);
    uint32_t number = block->number;
    assert(number < BLOCKS && w->blocks.taken[number] && block_at(w, number) == block);
    w->blocks.taken[number] = false;
    w->blocks.count--;
    memset(block, 0xEE, block_bytes(number));
}

static void block_give_up(world *w, hw_record_span span) {
    if (span.block == 0) return;
    if (w->records.phase == HW_RECORDS_IDLE) block_free(w, span);
    else w->blocks.put_off[w->blocks.put_off_count++] = span;
}

static void blocks_of_the_cycle(world *w) {
    for (; w->records.phase == HW_RECORDS_IDLE && w->blocks.put_off_count != 0;)
        block_free(w, w->blocks.put_off[--w->blocks.put_off_count]);
}

/* ---- making it ------------------------------------------------------------------------------------------------------ */

static void world_init(world *w, const setup *set) {
    memset(w, 0, sizeof *w);
    w->set = set;
    hw_records *records = &w->records;
    hw_records_init(records);
    records->payload = w->payload;
    records->stack = w->stack, records->stack_capacity = set->stack;
    records->log.entries = w->log, records->log.capacity = set->log;
    records->remembered.entries = w->remembered, records->remembered.capacity = set->remembered;
    records->finalizable.entries = w->finalizable, records->finalizable.capacity = set->finalizable;
    records->promote_after = set->promote_after, records->barrier = set->promote_after != 0 ? HW_BARRIER_GENERATIONS : 0;
    records->poison = set->poison;
    records->release_payload = block_free, records->context = w;
    hw_record_handles_init(&records->handles, w->entries, HANDLES, w->map, MAP);
    for (int type = 0; type < TYPES; type++) {
        hw_record_pool *pool = &w->pools[type];
        uint64_t(*planes)[WORDS] = w->planes[type];
        *pool = (hw_record_pool){.records = w->memory[type], .stride_bytes = SHAPES[type].stride_bytes, .capacity = CAPACITY,
                                 .allocated = planes[0], .marked = planes[1], .edges = EDGES[type], .weak = WEAK[type],
                                 .payloads = PAYLOADS[type], .edges_count = SHAPES[type].direct + SHAPES[type].spans,
                                 .narrow_count = SHAPES[type].narrow, .spans_count = SHAPES[type].spans,
                                 .weak_count = SHAPES[type].weak, .payloads_count = SHAPES[type].payloads,
                                 .narrow_offset_bytes = 8, .blank = w->blank[type]};
        if (SHAPES[type].finalizer) pool->finalized = planes[2];
        if (set->promote_after != 0) pool->old = planes[3], pool->logged = planes[4], pool->age[0] = planes[5], pool->age[1] = planes[6];
        for (int i = 0; i < SHAPES[type].direct; i++)
            memset(w->blank[type] + EDGES[type][i].offset_bytes, 0xFF, EDGES[type][i].kind == HW_EDGE_WIDE ? 8 : 4);
        if (SHAPES[type].weak) memset(w->blank[type] + WEAK[type][0].offset_bytes, 0xFF, WEAK[type][0].kind == HW_EDGE_WIDE ? 8 : 4);
        uint32_t number = hw_records_add(records, pool);
        assert(number == (uint32_t)type);
    }
}

/* ---- what a node and its record have in common ----------------------------------------------------------------------- */

static unsigned char *record_of(world *w, uint64_t id) { return hw_record_at(w->records.pools[hw_record_pool_of(id)], hw_record_index_of(id)); }
static head *head_of(world *w, uint64_t id) { return (void *)record_of(w, id); }
static const hw_record_edge *span_edge(const node *n, int which) { return &EDGES[n->type][SHAPES[n->type].direct + which]; }
static void *place(world *w, const node *n, const hw_record_edge *edge) { return record_of(w, n->id) + edge->offset_bytes; }
static void *blob_place(world *w, const node *n) { return record_of(w, n->id) + PAYLOADS[n->type][0]; }
static uint64_t id_of(world *w, int number) { return number == NOBODY ? HW_RECORD_NO_ID : w->nodes[number].id; }

/* A handle of the record, and so one of the node. */
static void hold(world *w, uint64_t id) {
    node *n = &w->nodes[head_of(w, id)->number];
    hw_record_handle handle;
    bool fresh, room = hw_records_handle(&w->records, id, head_of(w, id)->number, &handle, &fresh);
    assert(room && fresh != n->held && (fresh || n->slot == handle.slot));
    n->held = true, n->slot = handle.slot;
}

static void let_go(world *w, node *n) {
    hw_record_handle before = {n->slot, w->records.handles.entries[n->slot].generation};
    hw_records_drop(&w->records, n->slot);
    assert(hw_record_handle_entry_of(&w->records.handles, before) == NULL);
    n->held = false;
}

/* ---- the model's liveness -------------------------------------------------------------------------------------------- */

static void model_reach(world *w, bool *reached) {
    int16_t queue[NODES];
    int from = 0, to = 0;
    for (int i = 0; i < NODES; i++)
        if (reached[i]) queue[to++] = (int16_t)i;
#define REACH(target) do { int v = (target); if (v != NOBODY && !reached[v]) reached[v] = true, queue[to++] = (int16_t)v; } while (0)
    while (from < to) {
        const node *n = &w->nodes[queue[from++]];
        for (int i = 0; i < SHAPES[n->type].direct; i++) REACH(n->to[i]);
        for (int s = 0; s < SHAPES[n->type].spans; s++)
            for (int i = 0; i < n->span_count[s]; i++) REACH(n->span[s][i]);
    }
#undef REACH
}

static void model_mark(world *w) {
    for (int i = 0; i < NODES; i++) w->by_handle[i] = w->nodes[i].known && w->nodes[i].held;
    for (int r = 0; r < RUNS; r++)
        for (int i = 0; i < w->runs[r].count; i++) w->by_handle[w->runs[r].nodes[i]] = true;
    model_reach(w, w->by_handle);
    memcpy(w->reachable, w->by_handle, sizeof w->reachable);
    for (uint32_t i = w->records.finalizable_taken; i < w->records.finalizable.count; i++)
        w->reachable[head_of(w, w->records.finalizable.entries[i])->number] = true;
    model_reach(w, w->reachable);
}

/* ---- looking --------------------------------------------------------------------------------------------------------- */

static void look_at_node(world *w, int number) {
    node *n = &w->nodes[number];
    for (int i = 0; i < SHAPES[n->type].direct; i++)
        assert(hw_edge_load(&EDGES[n->type][i], place(w, n, &EDGES[n->type][i])) == id_of(w, n->to[i]));
    for (int s = 0; s < SHAPES[n->type].spans; s++) {
        const hw_record_edge *edge = span_edge(n, s);
        hw_record_span span = hw_span_load(place(w, n, edge));
        assert(span.count == (uint32_t)n->span_count[s]);
        for (uint32_t i = 0; i < span.count; i++)
            assert(hw_edge_load(edge, (uint32_t *)hw_span_entries(&w->records, span) + i) == id_of(w, n->span[s][i]));
    }
    if (SHAPES[n->type].payloads) {
        hw_record_span blob = hw_span_load(blob_place(w, n));
        assert(blob.count == n->blob_bytes);
        const unsigned char *bytes = hw_span_entries(&w->records, blob);
        for (uint32_t i = 0; i < blob.count; i++) assert(bytes[i] == (unsigned char)(n->serial + i));
    }
    if (SHAPES[n->type].weak && n->weak != NOBODY) {
        uint64_t target = hw_edge_load(&WEAK[n->type][0], place(w, n, &WEAK[n->type][0]));
        assert(target == id_of(w, n->weak) || (target == HW_RECORD_NO_ID && !w->by_handle[n->weak]));
        if (target == HW_RECORD_NO_ID) n->weak = NOBODY;
    }
}

static void look_at_handles(world *w, int number) {
    node *n = &w->nodes[number];
    if (n->held) assert(w->entries[n->slot].id == n->id && w->entries[n->slot].owner == (uint64_t)number);
    if (!n->weakly_held) return;
    uint64_t id = w->entries[n->weak_slot].id;
    assert(id == n->id || (id == HW_RECORD_NO_ID && !w->by_handle[number]));
    if (id == HW_RECORD_NO_ID) hw_record_handles_remove(&w->records.handles, n->weak_slot), n->weakly_held = false;
}

static void forget(world *w, int number) {
    node *n = &w->nodes[number];
    assert(!w->reachable[number]); /* safety: only the unreachable are freed */
    if (n->weakly_held) {
        assert(w->entries[n->weak_slot].id == HW_RECORD_NO_ID);
        hw_record_handles_remove(&w->records.handles, n->weak_slot);
    }
    n->known = n->weakly_held = false;
}

static void world_check(world *w) {
    uint64_t where;
    assert(hw_records_check_bytes(&w->records) <= sizeof w->scratch);
    const char *broken = hw_records_check(&w->records, w->scratch, &where);
    if (broken != NULL) fprintf(stderr, "%s: %s at %llx in phase %d\n", w->set->name, broken, (unsigned long long)where, w->records.phase), abort();
}

/* Everything that is said of the heap after an operation. */
static void world_look(world *w) {
    world_check(w);
    bool seen[NODES] = {false};
    for (uint32_t p = 0; p < TYPES; p++)
        for (uint32_t index = 0; index < w->pools[p].used; index++) {
            if (!hw_plane_has(w->pools[p].allocated, index)) continue;
            uint64_t id = hw_record_id(p, index);
            node *n = &w->nodes[head_of(w, id)->number];
            assert(head_of(w, id)->number < NODES && n->known && n->serial == head_of(w, id)->serial && n->type == p);
            n->id = id, seen[n - w->nodes] = true;
        }
    model_mark(w);
    uint32_t blocks = w->blocks.put_off_count;
    for (int i = 0; i < NODES; i++)
        if (w->nodes[i].known && !seen[i]) forget(w, i);
    for (int i = 0; i < NODES; i++) {
        node *n = &w->nodes[i];
        if (!n->known) continue;
        for (int s = 0; s < SHAPES[n->type].spans; s++) blocks += hw_span_load(place(w, n, span_edge(n, s))).block != 0;
        if (SHAPES[n->type].payloads) blocks += hw_span_load(blob_place(w, n)).block != 0;
        assert(!w->reachable[i] || !hw_record_is_doomed(&w->records, n->id));
        if (hw_record_is_doomed(&w->records, n->id)) continue;
        look_at_node(w, i);
        look_at_handles(w, i);
        if (n->weak != NOBODY && !w->nodes[n->weak].known) n->weak = NOBODY;
    }
    for (int r = 0; r < RUNS; r++)
        for (int i = 0; i < w->runs[r].count; i++)
            assert(w->nodes[w->runs[r].nodes[i]].id == w->entries[w->runs[r].slot].id + (uint64_t)i);
    assert(blocks == w->blocks.count); /* each is somebody's, and nobody's is kept */
}

#endif
