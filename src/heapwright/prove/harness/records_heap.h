/* A heap of at most RECORDS records with two edges and a weak one, and two variables; what they refer to, by number; and everything
 * that a program may do to them. For the harnesses that run all small programs. */
#ifndef RECORDS_HEAP_H
#define RECORDS_HEAP_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/record_check.h"
#include "core/record_compact.h"
#include "core/record_sweep.h"

#ifndef RECORDS_MOST
#define RECORDS_MOST 4
#endif
enum { RECORDS = RECORDS_MOST, VARIABLES = 2, EDGES = 2, NOBODY = -1, LENGTH_MAX = 16, ENTRIES = 8, MAP = 16, STACK = 64 };

typedef struct {
    uint32_t number, narrow;
    uint64_t wide, weak;
} node;

static const hw_record_edge EDGE[EDGES] = {{offsetof(node, narrow), HW_EDGE_NARROW, 0}, {offsetof(node, wide), HW_EDGE_WIDE, 0}};
static const hw_record_edge WEAK = {offsetof(node, weak), HW_EDGE_WIDE, 0};
static const node BLANK = {0, HW_RECORD_NONE, HW_RECORD_NO_ID, HW_RECORD_NO_ID};

/* The heap, and what it should be: what record each number refers to, and what the variables do. Copied as a whole. */
typedef struct {
    hw_records records;
    hw_record_pool pool;
    uint64_t planes[7], stack[STACK], log[RECORDS], remembered[RECORDS], finalizable[RECORDS];
    hw_record_handle_entry entries[ENTRIES];
    uint32_t map[MAP];
    node memory[RECORDS];
    signed char to[RECORDS][EDGES], weak[RECORDS], variable[VARIABLES];
    bool finalized[RECORDS];
} world;

static world now;
static const char *broken; /* by the operation itself */
static int promote_after;
static bool no_room;

static void init(void) {
    hw_records *records = &now.records;
    now.pool = (hw_record_pool){.records = (unsigned char *)now.memory, .stride_bytes = sizeof(node), .capacity = RECORDS,
                                .allocated = &now.planes[0], .marked = &now.planes[1], .finalized = &now.planes[2], .edges = EDGE,
                                .weak = &WEAK, .edges_count = EDGES, .narrow_count = 1, .weak_count = 1,
                                .narrow_offset_bytes = offsetof(node, narrow), .blank = (const unsigned char *)&BLANK};
    hw_records_init(records);
    hw_records_add(records, &now.pool);
    hw_record_handles_init(&records->handles, now.entries, ENTRIES, now.map, MAP);
    records->stack = now.stack, records->stack_capacity = no_room ? 1 : STACK, records->without_room = no_room;
    records->log.entries = now.log, records->log.capacity = no_room ? 0 : RECORDS;
    records->remembered.entries = now.remembered, records->remembered.capacity = RECORDS;
    records->finalizable.entries = now.finalizable, records->finalizable.capacity = RECORDS;
    records->poison = true;
    records->promote_after = (uint8_t)promote_after;
    if (promote_after != 0) {
        records->barrier = HW_BARRIER_GENERATIONS;
        now.pool.old = &now.planes[3], now.pool.logged = &now.planes[4], now.pool.age[0] = &now.planes[5], now.pool.age[1] = &now.planes[6];
    }
    memset(now.to, NOBODY, sizeof now.to), memset(now.weak, NOBODY, sizeof now.weak), memset(now.variable, NOBODY, sizeof now.variable);
}

/* ---- where things are ------------------------------------------------------------------------------------------------ */

static bool is_there(uint32_t index) { return index < now.pool.used && hw_plane_has(now.pool.allocated, index); }

static uint64_t id_of(int number) {
    for (uint32_t index = 0; number != NOBODY && index < RECORDS; index++)
        if (is_there(index) && now.memory[index].number == (uint32_t)number) return hw_record_id(0, index);
    return HW_RECORD_NO_ID;
}

static int number_of(uint64_t id) { return id == HW_RECORD_NO_ID ? NOBODY : (int)now.memory[hw_record_index_of(id)].number; }

static void *place(int number, const hw_record_edge *edge) {
    return (unsigned char *)&now.memory[hw_record_index_of(id_of(number))] + edge->offset_bytes;
}

/* Which numbers the variables reach, and what waits to be finalized, too, if asked. */
static unsigned reached(bool waiting) {
    unsigned seen = 0, todo = 0;
    for (int v = 0; v < VARIABLES; v++)
        if (now.variable[v] != NOBODY) todo |= 1u << now.variable[v];
    for (uint32_t i = now.records.finalizable_taken; waiting && i < now.records.finalizable.count; i++)
        todo |= 1u << number_of(now.records.finalizable.entries[i]);
    while (todo != 0) {
        int number = __builtin_ctz(todo);
        todo &= todo - 1, seen |= 1u << number;
        for (int e = 0; e < EDGES; e++)
            if (now.to[number][e] != NOBODY && !(seen >> now.to[number][e] & 1)) todo |= 1u << now.to[number][e];
    }
    return seen;
}

/* ---- operations ------------------------------------------------------------------------------------------------------ */

static void assign(int v, uint64_t id) {
    int before = now.variable[v];
    hw_record_handle handle;
    bool fresh;
    if (id != HW_RECORD_NO_ID) hw_records_handle(&now.records, id, 0, &handle, &fresh);
    now.variable[v] = (signed char)number_of(id);
    if (before == NOBODY || before == now.variable[0] || before == now.variable[1]) return;
    uint32_t slot = hw_record_handles_find(&now.records.handles, id_of(before));
    if (slot == HW_HANDLE_NONE) broken = "a handle is lost";
    else hw_records_drop(&now.records, slot);
}

static bool make(int v) {
    uint32_t index = hw_record_make(&now.records, 0);
    if (index == HW_RECORD_NONE) return false;
    unsigned taken = 0;
    for (uint32_t other = 0; other < RECORDS; other++)
        if (other != index && is_there(other)) taken |= 1u << now.memory[other].number;
    int number = __builtin_ctz(~taken);
    now.memory[index].number = (uint32_t)number;
    now.to[number][0] = now.to[number][1] = now.weak[number] = NOBODY, now.finalized[number] = false;
    assign(v, hw_record_id(0, index));
    return true;
}

static void store(int from, int e, uint64_t id) {
    now.to[from][e] = (signed char)number_of(id);
    hw_edge_store(&now.records, id_of(from), &EDGE[e], false, place(from, &EDGE[e]), id);
}

static void slice(void) {
    hw_records *records = &now.records;
    switch (records->phase) {
    case HW_RECORDS_IDLE: hw_records_begin(records, false); records->without_room = no_room; /* fall through */
    case HW_RECORDS_ROOTS: hw_records_mark_roots(records, 2); break; /* an entry of the table */
    case HW_RECORDS_TRACE:
    case HW_RECORDS_TRACE_AGAIN:
        if (hw_records_mark(records, 1, false) != HW_MARK_DONE) break;
        /* fall through */
    default: hw_records_sweep(records, 1);
    }
}

static bool no_more(void *unused) { return false; }

enum { COLLECT, MAJOR, COMPACT, MAKE, DROP, FINALIZE, LOAD, CLEAR, STORE, MOVE, WEAK_LOAD, WEAK_MOVE, WEAK_STORE, KINDS };
static const int VARIANTS[KINDS] = {1, 1, 1, 2, 2, 2, 8, 4, 8, 16, 4, 8, 4};

static void print_operation(int kind, int o) {
    static const char *const NAMES[KINDS] = {"collect", "collect-all", "compact", "make", "drop", "finalize",
                                             "load", "clear", "store", "move", "weak-load", "weak-move", "weak-store"};
    printf(" %s", NAMES[kind]);
    for (int bit = 1; bit < VARIANTS[kind]; bit *= 2) printf("%c%d", bit == 1 ? ' ' : '.', (o & bit) != 0);
    printf(";");
}

/* Does it, if it is possible now. `o` has the variables and edges that it is about in its bits. */
static bool operate(int kind, int o) {
    int a = o & 1, b = o >> 1 & 1, e = o >> 2 & 1, f = o >> 3 & 1, from = now.variable[a], to = now.variable[b];
    if (kind == CLEAR) e = b; /* of one variable only */
    uint64_t id;
    switch (kind) {
    case COLLECT:
        if (promote_after == 0) return slice(), true;
        if (now.records.remembered_overflowed) return false;
        return hw_records_collect(&now.records, true, no_more, NULL), true;
    case MAJOR:
        if (promote_after == 0) return false;
        return hw_records_collect(&now.records, false, no_more, NULL), true;
    case COMPACT: {
        uint32_t scratch[1];
        if (now.records.phase != HW_RECORDS_IDLE) return false;
        return hw_records_compact(&now.records, NULL, scratch).moved != 0;
    }
    case MAKE: return make(a);
    case DROP: return from != NOBODY && (assign(a, HW_RECORD_NO_ID), true);
    case FINALIZE:
        id = hw_records_next_finalizable(&now.records);
        if (id == HW_RECORD_NO_ID) return false;
        if (now.finalized[number_of(id)]) broken = "finalized twice";
        now.finalized[number_of(id)] = true;
        return assign(a, id), true;
    case LOAD: /* a = b.e */
        if (to == NOBODY || now.to[to][e] == NOBODY) return false;
        return assign(a, hw_edge_load(&EDGE[e], place(to, &EDGE[e]))), true;
    case CLEAR: return from != NOBODY && now.to[from][e] != NOBODY && (store(from, e, HW_RECORD_NO_ID), true);
    case STORE: return from != NOBODY && to != NOBODY && (store(from, e, id_of(to)), true);
    case MOVE: /* a.e = b.f, without a handle of it */
        if (from == NOBODY || to == NOBODY || now.to[to][f] == NOBODY) return false;
        return store(from, e, hw_edge_load(&EDGE[f], place(to, &EDGE[f]))), true;
    case WEAK_LOAD: /* a = b.w */
    case WEAK_MOVE: /* a.e = b.w */
        if (kind == WEAK_MOVE && from == NOBODY) return false;
        if (to == NOBODY || now.weak[to] == NOBODY) return false;
        id = hw_weak_load(&now.records, &WEAK, place(to, &WEAK));
        if (number_of(id) != now.weak[to] && (id != HW_RECORD_NO_ID || reached(false) >> now.weak[to] & 1)) broken = "a weak load errs";
        if (id != HW_RECORD_NO_ID && kind == WEAK_LOAD) assign(a, id);
        if (id != HW_RECORD_NO_ID && kind == WEAK_MOVE) store(from, e, id);
        return id != HW_RECORD_NO_ID;
    default: /* WEAK_STORE */
        if (from == NOBODY || to == NOBODY) return false;
        now.weak[from] = (signed char)to;
        return hw_edge_store(&now.records, id_of(from), &WEAK, true, place(from, &WEAK), id_of(to)), true;
    }
}

/* ---- what has to be ---------------------------------------------------------------------------------------------------- */

static uint64_t scratch[2 + RECORDS];

/* The heap has everything that the model reaches, and it refers to what it should. */
static const char *safe(void) {
    uint64_t where;
    const char *said = hw_records_check(&now.records, scratch, &where);
    if (said != NULL) return said;
    unsigned live = reached(true), held = reached(false);
    for (int number = 0; number < RECORDS; number++) {
        uint64_t id = id_of(number);
        if (id == HW_RECORD_NO_ID && live >> number & 1) return "what can be reached was freed";
        if (id == HW_RECORD_NO_ID) continue;
        const node *record = &now.memory[hw_record_index_of(id)];
        if (now.weak[number] != NOBODY && record->weak == HW_RECORD_NO_ID) {
            if (held >> now.weak[number] & 1) return "a weak edge to what is held is gone";
            now.weak[number] = NOBODY;
        }
        if (!(live >> number & 1)) continue; /* nobody knows what it refers to */
        if (number_of(record->weak) != now.weak[number]) return "a weak edge is to another record";
        for (int e = 0; e < EDGES; e++)
            if (number_of(hw_edge_load(&EDGE[e], (const char *)record + EDGE[e].offset_bytes)) != now.to[number][e])
                return "an edge is to another record";
    }
    return NULL;
}

#endif
