/* What may be done with a world (records_world.h), chosen by random numbers: by a mutator, and by a collector. */
#ifndef HW_TESTS_RECORDS_PROGRAM_H
#define HW_TESTS_RECORDS_PROGRAM_H

#include "records_world.h"

static uint64_t state;
static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 16) % n);
}

/* ---- collecting ------------------------------------------------------------------------------------------------------ */

static bool grow_stack(void *context) {
    world *w = context;
    if (w->set->stack < 64 || w->records.stack_capacity == STACK_MOST) return false; /* tiny ones stay so */
    w->records.stack_capacity = STACK_MOST;
    return true;
}

/* One slice of a cycle; begins it, if there is none. */
static void step(world *w, uint64_t work) {
    hw_records *records = &w->records;
    switch (records->phase) {
    case HW_RECORDS_IDLE: hw_records_begin(records, false); break;
    case HW_RECORDS_ROOTS: hw_records_mark_roots(records, work); break;
    case HW_RECORDS_TRACE:
    case HW_RECORDS_TRACE_AGAIN:
        switch (hw_records_mark(records, work, false)) {
        case HW_MARK_DONE: hw_records_sweep(records, work); break;
        case HW_MARK_MORE: break;
        case HW_MARK_FULL: if (!grow_stack(w)) hw_records_mark_without_room(records);
        }
        break;
    default: hw_records_sweep(records, work);
    }
    blocks_of_the_cycle(w);
}

static void finish(world *w) {
    while (w->records.phase != HW_RECORDS_IDLE) {
        step(w, w->set->slice == 0 ? UINT64_MAX : w->set->slice);
        world_look(w);
    }
}

/* Records move together, but for those of pinned pools: in order, all of them, and nothing is left between. */
static void compact(world *w) {
    if (w->records.phase != HW_RECORDS_IDLE) return;
    bool pinned[TYPES];
    uint64_t before[NODES], moved = 0, freed = 0;
    for (int type = 0; type < TYPES; type++) pinned[type] = random_below(4) == 0, freed += pinned[type] ? 0 : w->pools[type].used * w->pools[type].stride_bytes;
    for (int i = 0; i < NODES; i++) before[i] = w->nodes[i].id;
    assert(hw_records_compact_bytes(&w->records) <= sizeof w->scratch);
    hw_records_compacted result = hw_records_compact(&w->records, pinned, w->scratch);
    world_look(w);
    for (int type = 0; type < TYPES; type++) {
        const hw_record_pool *pool = &w->pools[type];
        if (pinned[type]) continue;
        assert(pool->used == pool->live);
        freed -= pool->used * pool->stride_bytes;
    }
    for (int i = 0; i < NODES; i++) {
        const node *n = &w->nodes[i];
        if (!n->known) continue;
        assert(!pinned[n->type] || n->id == before[i]);
        moved += n->id != before[i];
        for (int j = 0; j < i; j++)
            if (w->nodes[j].known && w->nodes[j].type == n->type) assert((before[j] < before[i]) == (w->nodes[j].id < n->id));
    }
    assert(result.moved == moved && result.freed_bytes == freed);
}

/* A cycle at once, and what is known after it. */
static void collect(world *w, bool minor) {
    finish(w);
    bool reachable[NODES];
    model_mark(w);
    memcpy(reachable, w->reachable, sizeof reachable);
    hw_records_collect(&w->records, minor, grow_stack, w);
    uint64_t where;
    if (!minor && w->set->finalizable == NODES) /* completeness: nobody was in between, nor kept for want of room to wait */
        assert(hw_records_unreachable(&w->records, w->scratch, &where) == 0);
    world_look(w);
    for (int i = 0; i < NODES && !minor; i++)
        if (w->nodes[i].known && w->nodes[i].weak != NOBODY) assert(reachable[w->nodes[i].weak]); /* gone before its finalizer runs */
    if (w->set->compact) compact(w);
}

/* ---- operations ------------------------------------------------------------------------------------------------------ */

static node *held(world *w, int type) { /* one of them, or NULL */
    uint32_t start = random_below(NODES);
    for (uint32_t i = 0; i < NODES; i++) {
        node *n = &w->nodes[(start + i) % NODES];
        if (n->known && n->held && (type == NOBODY || n->type == type)) return n;
    }
    return NULL;
}

static int number_of(const world *w, const node *n) { return n == NULL ? NOBODY : (int)(n - w->nodes); }

static void fill_blob(world *w, node *n) {
    uint32_t bytes = random_below(3) == 0 ? 0 : random_below(SMALL_BYTES - 16);
    hw_record_span blob = block_take(w, bytes, bytes);
    unsigned char *to = hw_span_entries(&w->records, blob);
    for (uint32_t i = 0; i < blob.count; i++) to[i] = (unsigned char)(n->serial + i);
    block_give_up(w, hw_span_load(blob_place(w, n)));
    memcpy(blob_place(w, n), &blob, sizeof blob);
    n->blob_bytes = blob.count;
}

static int unknown(const world *w, int from) {
    while (from < NODES && w->nodes[from].known) from++;
    return from;
}

static void born(world *w, int number, int type, uint32_t index) {
    node *n = &w->nodes[number];
    *n = (node){.known = true, .type = (uint8_t)type, .serial = ++w->serial, .id = hw_record_id((uint32_t)type, index),
                .to = {NOBODY, NOBODY}, .weak = NOBODY};
    *head_of(w, n->id) = (head){(uint32_t)number, n->serial};
    if (SHAPES[type].payloads) fill_blob(w, n);
}

static void make(world *w) {
    int number = unknown(w, 0), type = (int)random_below(TYPES);
    uint32_t index = number == NODES ? HW_RECORD_NONE : hw_record_make(&w->records, (uint32_t)type);
    if (index == HW_RECORD_NONE) {
        if (!w->beside) collect(w, false);
        return;
    }
    born(w, number, type, index);
    hold(w, w->nodes[number].id);
}

/* Many at once, kept by one entry; or gives them up. */
static void run(world *w) {
    uint32_t r = random_below(RUNS);
    if (w->runs[r].count != 0) {
        hw_records_drop(&w->records, w->runs[r].slot);
        w->runs[r].count = 0;
        return;
    }
    int16_t numbers[RUN_MOST];
    int count = 1 + (int)random_below(RUN_MOST), type = (int)random_below(TYPES), number = -1;
    for (int i = 0; i < count; i++)
        if (numbers[i] = (int16_t)(number = unknown(w, number + 1)), number == NODES) return;
    uint32_t first = hw_record_make_run(&w->records, (uint32_t)type, (uint32_t)count);
    if (first == HW_RECORD_NONE) return;
    for (int i = 0; i < count; i++) born(w, numbers[i], type, first + (uint32_t)i);
    w->runs[r].slot = hw_record_handles_add(&w->records.handles, HW_HANDLE_RUN, w->nodes[numbers[0]].id, (uint64_t)count);
    memcpy(w->runs[r].nodes, numbers, sizeof numbers);
    w->runs[r].count = count;
}

static int type_of_edge(const node *n, int i) { return EDGES[n->type][i].kind == HW_EDGE_WIDE ? NOBODY : EDGES[n->type][i].pool; }

static void store(world *w) {
    node *n = held(w, NOBODY);
    if (n == NULL || SHAPES[n->type].direct == 0) return;
    int i = (int)random_below(SHAPES[n->type].direct);
    node *target = random_below(4) == 0 ? NULL : held(w, type_of_edge(n, i));
    n->to[i] = (int16_t)number_of(w, target);
    hw_edge_store(&w->records, n->id, &EDGES[n->type][i], false, place(w, n, &EDGES[n->type][i]), id_of(w, n->to[i]));
}

/* Moves a reference from one record to another, so that no handle is ever made of what it is to. */
static void move(world *w) {
    node *from = held(w, NOBODY), *to = held(w, NOBODY);
    if (from == NULL || SHAPES[from->type].direct == 0 || SHAPES[to->type].direct == 0) return;
    int i = (int)random_below(SHAPES[from->type].direct), j = (int)random_below(SHAPES[to->type].direct);
    if (from->to[i] == NOBODY || (type_of_edge(to, j) != NOBODY && w->nodes[from->to[i]].type != type_of_edge(to, j))) return;
    const hw_record_edge *source = &EDGES[from->type][i], *target = &EDGES[to->type][j];
    to->to[j] = from->to[i];
    hw_edge_store(&w->records, to->id, target, false, place(w, to, target), hw_edge_load(source, place(w, from, source)));
    if (from == to && i == j) return;
    from->to[i] = NOBODY;
    hw_edge_store(&w->records, from->id, source, false, place(w, from, source), HW_RECORD_NO_ID);
}

static void load(world *w) {
    node *n = held(w, NOBODY);
    if (n == NULL || SHAPES[n->type].direct == 0) return;
    int i = (int)random_below(SHAPES[n->type].direct);
    uint64_t target = hw_edge_load(&EDGES[n->type][i], place(w, n, &EDGES[n->type][i]));
    assert(target == id_of(w, n->to[i]));
    if (target != HW_RECORD_NO_ID) hold(w, target);
}

static void drop(world *w) {
    node *n = held(w, NOBODY);
    if (n != NULL) let_go(w, n);
}

static void weak_store(world *w) {
    node *n = held(w, random_below(2) ? LINK : ANY);
    if (n == NULL) return;
    const hw_record_edge *edge = &WEAK[n->type][0];
    n->weak = (int16_t)number_of(w, held(w, edge->kind == HW_EDGE_WIDE ? NOBODY : edge->pool));
    hw_edge_store(&w->records, n->id, edge, true, place(w, n, edge), id_of(w, n->weak));
}

static void weak_load(world *w) {
    node *n = held(w, random_below(2) ? LINK : ANY);
    if (n == NULL) return;
    model_mark(w);
    uint64_t target = hw_weak_load(&w->records, &WEAK[n->type][0], place(w, n, &WEAK[n->type][0]));
    if (n->weak != NOBODY && w->by_handle[n->weak]) assert(target == id_of(w, n->weak));
    if (target != HW_RECORD_NO_ID) assert(target == id_of(w, n->weak)), hold(w, target);
}

static void weak_handle(world *w) {
    node *n = held(w, NOBODY);
    if (n == NULL) return;
    if (!n->weakly_held) {
        n->weak_slot = hw_record_handles_add(&w->records.handles, HW_HANDLE_WEAK, n->id, 0);
        n->weakly_held = true;
    } else if (random_below(2) == 0) {
        hw_record_handles_remove(&w->records.handles, n->weak_slot);
        n->weakly_held = false;
    }
}

static void upgrade(world *w) {
    node *n = &w->nodes[random_below(NODES)];
    if (!n->known || !n->weakly_held) return;
    model_mark(w);
    uint64_t id = hw_weak_target(&w->records, w->entries[n->weak_slot].id);
    assert(id == n->id || (id == HW_RECORD_NO_ID && !w->by_handle[n - w->nodes]));
    if (id != HW_RECORD_NO_ID) hold(w, id);
}

static void span_store(world *w) {
    node *n = held(w, LIST);
    if (n == NULL) return;
    int s = (int)random_below(2);
    const hw_record_edge *edge = span_edge(n, s);
    hw_record_span before = hw_span_load(place(w, n, edge));
    if (before.count != 0 && random_below(3) != 0) { /* one entry */
        uint32_t i = random_below(before.count);
        n->span[s][i] = (int16_t)number_of(w, random_below(4) == 0 ? NULL : held(w, edge->pool));
        hw_edge_store(&w->records, n->id, edge, false, (uint32_t *)hw_span_entries(&w->records, before) + i, id_of(w, n->span[s][i]));
        return;
    }
    uint32_t count = random_below(12) == 0 ? random_below(SPAN_MOST) : random_below(6);
    hw_record_span span = block_take(w, count, count * (uint32_t)sizeof(uint32_t));
    node *same = held(w, edge->pool);
    for (uint32_t i = 0; i < span.count; i++) {
        if (span.count < 6 || i > span.count - 4) same = held(w, edge->pool); /* of a long one, what is in its last part */
        n->span[s][i] = (int16_t)number_of(w, same);
        ((uint32_t *)hw_span_entries(&w->records, span))[i] = hw_record_index_of(id_of(w, n->span[s][i]));
    }
    hw_span_store(&w->records, n->id, edge, place(w, n, edge), span);
    n->span_count[s] = (int16_t)span.count;
    block_give_up(w, before);
}

static void blob(world *w) {
    node *n = held(w, random_below(2) ? LIST : LEAF);
    if (n != NULL) fill_blob(w, n);
}

static void finalize(world *w) {
    uint64_t id = hw_records_next_finalizable(&w->records);
    if (id == HW_RECORD_NO_ID) return;
    node *n = &w->nodes[head_of(w, id)->number];
    assert(n->known && n->id == id && SHAPES[n->type].finalizer && !n->finalized); /* once */
    n->finalized = true;
    if (!n->held) hold(w, id); /* resurrected, if it is stored before it is let go */
}

static void (*const MUTATOR[])(world *) = {
    make, make, make, store, store, store, move, move, load, load, drop, drop, drop, drop, weak_store, weak_load,
    weak_handle, upgrade, span_store, span_store, blob, finalize, run,
};

static void mutate(world *w) { MUTATOR[random_below(sizeof MUTATOR / sizeof *MUTATOR)](w); }

#endif
