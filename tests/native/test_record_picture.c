/* Dominators, paths and cycles of a record heap against the plainest definitions: random heaps of up to forty records of three
 * types with holes among them, where a record's retained bytes are what a search from the roots misses without it; and a chain
 * of a million on a small stack. */
#undef NDEBUG
#include "heap/record_picture.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "heap/record_heap.h"

static uint64_t state = 88172645463325252u;
static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)((state >> 16) % n);
}

/* ---- a heap beside a list of its edges ------------------------------------------------------------------------------- */

enum { PAIR, MIXED, LIST, TYPES };
enum { RECORDS_MOST = 40, EDGES_MOST = 400, CAPACITY = 1 << 20, NOBODY = -1 };

static const hw_record_edge PAIR_EDGES[] = {{8, HW_EDGE_NARROW, PAIR}, {12, HW_EDGE_NARROW, LIST}};
static const hw_record_edge MIXED_EDGES[] = {{16, HW_EDGE_NARROW, PAIR}, {8, HW_EDGE_WIDE, 0}};
static const hw_record_edge MIXED_WEAK[] = {{20, HW_EDGE_NARROW, PAIR}};
static const hw_record_edge LIST_EDGES[] = {{8, HW_EDGE_SPAN, MIXED}};
static const uint16_t LIST_PAYLOADS[] = {16};
static unsigned char blank[TYPES][24];

static const hw_record_pool SHAPES[TYPES] = {
    [PAIR] = {.stride_bytes = 16, .blank = blank[PAIR], .edges = PAIR_EDGES, .edges_count = 2, .narrow_count = 2, .narrow_offset_bytes = 8},
    [MIXED] = {.stride_bytes = 24, .blank = blank[MIXED], .edges = MIXED_EDGES, .edges_count = 2, .narrow_count = 1,
               .narrow_offset_bytes = 16, .weak = MIXED_WEAK, .weak_count = 1},
    [LIST] = {.stride_bytes = 24, .blank = blank[LIST], .edges = LIST_EDGES, .edges_count = 1, .spans_count = 1,
              .payloads = LIST_PAYLOADS, .payloads_count = 1},
};

typedef struct {
    hw_record_heap heap;
    hw_space spaces[TYPES];
    uint32_t count, edges_count, handle_slot[RECORDS_MOST];
    uint64_t id[RECORDS_MOST], bytes[RECORDS_MOST];
    int from[EDGES_MOST], to[EDGES_MOST];
    bool held[RECORDS_MOST], in_run[RECORDS_MOST];
} world;

static void open_world(world *w) {
    memset(w, 0, sizeof *w);
    memset(blank[PAIR] + 8, 0xFF, 8), memset(blank[MIXED] + 8, 0xFF, 16);
    assert(hw_record_heap_open(&w->heap, CAPACITY, 0) == 0);
    for (uint32_t p = 0; p < TYPES; p++) {
        uint32_t number;
        assert(hw_space_open(&w->spaces[p], CAPACITY, 4096, false, 3) == 0);
        assert(hw_record_heap_add(&w->heap, &SHAPES[p], false, &w->spaces[p], &number) == 0 && number == p);
    }
}

static void close_world(world *w) {
    hw_record_heap_close(&w->heap);
    for (uint32_t p = 0; p < TYPES; p++) hw_space_close(&w->spaces[p]);
}

static unsigned char *place(world *w, int i) {
    return hw_record_at(w->heap.records.pools[hw_record_pool_of(w->id[i])], hw_record_index_of(w->id[i]));
}

/* Some record of that pool, or of any (TYPES). */
static int pick(world *w, uint32_t pool) {
    for (int tries = 0; tries < 8; tries++) {
        int i = (int)random_below(w->count);
        if (pool == TYPES || hw_record_pool_of(w->id[i]) == pool) return i;
    }
    return NOBODY;
}

static void refer(world *w, int from, uint16_t edge, int to) {
    const hw_record_edge *e = &SHAPES[hw_record_pool_of(w->id[from])].edges[edge];
    if (to == NOBODY) return;
    hw_edge_store(&w->heap.records, w->id[from], e, false, place(w, from) + e->offset_bytes, w->id[to]);
    w->from[w->edges_count] = from, w->to[w->edges_count++] = to;
}

static void refer_to_many(world *w, int from) {
    uint32_t count = random_below(5);
    hw_record_span span;
    if (count == 0) return;
    assert(hw_record_heap_span(&w->heap, LIST, count * sizeof(uint32_t), &span) == 0);
    uint32_t *entries = hw_span_entries(&w->heap.records, span);
    for (uint32_t i = 0; i < count; i++) {
        int to = random_below(4) == 0 ? NOBODY : pick(w, MIXED);
        entries[i] = to == NOBODY ? HW_RECORD_NONE : hw_record_index_of(w->id[to]);
        if (to != NOBODY) w->from[w->edges_count] = from, w->to[w->edges_count++] = to;
    }
    span.count = count;
    hw_span_store(&w->heap.records, w->id[from], &LIST_EDGES[0], place(w, from) + 8, span);
    w->bytes[from] += hw_span_payload(&w->heap.records, span)->capacity_bytes + sizeof(hw_record_payload);
}

static void own_text(world *w, int i) {
    hw_record_span span;
    assert(hw_record_heap_span(&w->heap, LIST, 1 + random_below(100), &span) == 0);
    span.count = 1;
    memcpy(place(w, i) + 16, &span, sizeof span);
    w->bytes[i] += hw_span_payload(&w->heap.records, span)->capacity_bytes + sizeof(hw_record_payload);
}

static void add_record(world *w, uint32_t type, uint32_t index) {
    w->id[w->count] = hw_record_id(type, index);
    w->bytes[w->count++] = SHAPES[type].stride_bytes;
}

/* Records with others between them that die, so that a pool has several words of planes; a run of pairs perhaps, and edges. */
static void populate(world *w) {
    uint32_t first, wanted = 1 + random_below(RECORDS_MOST - 5), run = random_below(2) == 0 ? 0 : 2 + random_below(3);
    hw_record_handle handle;
    bool fresh;
    for (uint32_t i = 0; i < wanted; i++) {
        uint32_t type = random_below(TYPES);
        for (uint32_t dead = random_below(20); dead > 0; dead--) assert(hw_record_heap_make(&w->heap, type, 1, &first) == 0);
        assert(hw_record_heap_make(&w->heap, type, 1, &first) == 0);
        add_record(w, type, first);
        assert(hw_record_heap_handle(&w->heap, w->id[w->count - 1], 0, &handle, &fresh) == 0);
        w->handle_slot[w->count - 1] = handle.slot, w->held[w->count - 1] = true;
    }
    if (run != 0) {
        assert(hw_record_heap_make(&w->heap, PAIR, run, &first) == 0);
        assert(hw_record_heap_root(&w->heap, HW_HANDLE_RUN, hw_record_id(PAIR, first), run, &handle) == 0);
        for (uint32_t i = 0; i < run; i++) w->in_run[w->count] = true, add_record(w, PAIR, first + i);
    }
    hw_record_heap_prepare(&w->heap);
    hw_records_collect(&w->heap.records, false, hw_record_heap_grow_stack, &w->heap);
    for (uint32_t i = 0, sparse = random_below(3); i < w->count; i++) {
        uint32_t type = hw_record_pool_of(w->id[i]);
        if (random_below(3) >= sparse && type == PAIR) refer(w, (int)i, 0, pick(w, PAIR)), refer(w, (int)i, 1, pick(w, LIST));
        if (random_below(3) >= sparse && type == MIXED) refer(w, (int)i, 0, pick(w, PAIR)), refer(w, (int)i, 1, pick(w, TYPES));
        if (type == MIXED) {
            int weak = pick(w, PAIR);
            if (weak != NOBODY) hw_edge_store(&w->heap.records, w->id[i], &MIXED_WEAK[0], true, place(w, (int)i) + 20, w->id[weak]);
        }
        if (type == LIST) refer_to_many(w, (int)i);
        if (type == LIST && random_below(2) == 0) own_text(w, (int)i);
        if (w->held[i] && random_below(4) != 0) hw_records_drop(&w->heap.records, w->handle_slot[i]), w->held[i] = false;
    }
}

/* ---- the plainest definitions ---------------------------------------------------------------------------------------- */

/* Steps from the roots, 1 for what is one; 0: not reachable. Without one record, or without the handle of another. */
static void steps(const world *w, int without, int without_handle, uint32_t *far) {
    memset(far, 0, RECORDS_MOST * sizeof *far);
    for (uint32_t i = 0; i < w->count; i++) {
        if ((int)i == without) continue;
        if (w->held[i] && (int)i != without_handle) far[i] = 1;
        else if (w->in_run[i]) far[i] = 2; /* by way of the run */
    }
    for (bool more = true; more;) {
        more = false;
        for (uint32_t e = 0; e < w->edges_count; e++) {
            uint32_t f = far[w->from[e]], *t = &far[w->to[e]];
            if (f == 0 || w->to[e] == without || (*t != 0 && *t <= f + 1)) continue;
            *t = f + 1, more = true;
        }
    }
}

/* Bytes of what is reachable, and not if one record is gone; notes in `cut` which that is. */
static uint64_t bytes_cut(const world *w, int without, bool *cut) {
    uint32_t far[RECORDS_MOST], far_without[RECORDS_MOST];
    uint64_t bytes = 0;
    steps(w, NOBODY, NOBODY, far);
    steps(w, without, NOBODY, far_without);
    for (uint32_t i = 0; i < w->count; i++) {
        if (far[i] == 0 || far_without[i] != 0) continue;
        bytes += w->bytes[i];
        cut[i] = true;
    }
    return bytes;
}

static int whose(const world *w, uint64_t id) {
    for (uint32_t i = 0; i < w->count; i++)
        if (w->id[i] == id) return (int)i;
    abort();
}

/* ---- comparison ------------------------------------------------------------------------------------------------------ */

static void compare_dominators(world *w) {
    hw_record_picture picture;
    hw_record_dominators d;
    uint32_t far[RECORDS_MOST], reachable = 0;
    uint64_t all = 0;
    bool cut[TYPES][RECORDS_MOST] = {{false}};
    assert(hw_record_picture_open(&picture, &w->heap.records, HW_ASK_DOMINATORS) == 0);
    const hw_record_graph *graph = &picture.graph;
    assert(graph->records_count == w->count);
    hw_record_picture_dominators(&picture, &d);
    steps(w, NOBODY, NOBODY, far);
    for (uint32_t i = 0; i < w->count; i++) all += far[i] != 0 ? w->bytes[i] : 0;
    assert(d.order[0] == graph->root && d.retained_bytes[0] == all);
    for (uint32_t i = 1; i < d.reached; i++) {
        assert(d.above[i] < i);
        if (d.order[i] >= graph->records_count) continue;
        int record = whose(w, hw_record_graph_id(graph, d.order[i]));
        assert(far[record] != 0 && hw_record_graph_number(graph, &w->heap.records, w->id[record]) == d.order[i]);
        assert(hw_record_own_bytes(&w->heap.records, w->id[record]) == w->bytes[record]);
        assert(d.retained_bytes[i] == bytes_cut(w, record, cut[hw_record_pool_of(w->id[record])]));
        reachable++;
    }
    for (uint32_t i = 0; i < w->count; i++) reachable -= far[i] != 0;
    assert(reachable == 0);
    for (uint32_t p = 0; p < TYPES; p++) {
        uint64_t by_pool = 0;
        for (uint32_t i = 0; i < w->count; i++) by_pool += cut[p][i] ? w->bytes[i] : 0;
        assert(d.by_pool[p] == by_pool);
    }
    hw_record_picture_close(&picture);
}

static void compare_paths(world *w) {
    for (uint32_t i = 0; i < w->count; i++) {
        hw_record_picture picture;
        const uint32_t *path;
        uint32_t far[RECORDS_MOST];
        assert(hw_record_picture_open(&picture, &w->heap.records, HW_ASK_PATH) == 0);
        uint32_t length = hw_record_picture_path(&picture, w->id[i], &path);
        steps(w, NOBODY, (int)i, far);
        assert(length == far[i]);
        for (uint32_t at = 1; at < length; at++) {
            uint64_t to = hw_record_graph_id(&picture.graph, path[at]);
            if (path[at - 1] >= picture.graph.records_count) assert(at == 1 && w->in_run[whose(w, to)]);
            else (void)hw_record_link_between(&w->heap.records, hw_record_graph_id(&picture.graph, path[at - 1]), to);
        }
        assert(length == 0 || hw_record_graph_id(&picture.graph, path[length - 1]) == w->id[i]);
        hw_record_picture_close(&picture);
    }
}

static bool leads(const world *w, int from, int to) {
    bool seen[RECORDS_MOST] = {false};
    for (bool more = true; more;) {
        more = false;
        for (uint32_t e = 0; e < w->edges_count; e++) {
            if ((w->from[e] != from && !seen[w->from[e]]) || seen[w->to[e]]) continue;
            seen[w->to[e]] = more = true;
        }
    }
    return seen[to];
}

static void compare_cycles(world *w) {
    hw_record_picture picture;
    hw_record_cycle cycles[RECORDS_MOST];
    uint32_t far[RECORDS_MOST], on_cycles = 0, dead = 0, most = random_below(2) == 0 ? RECORDS_MOST : random_below(3);
    assert(hw_record_picture_open(&picture, &w->heap.records, HW_ASK_CYCLES) == 0);
    hw_record_cycles told = hw_record_picture_cycles(&picture, UINT64_MAX, most, cycles);
    steps(w, NOBODY, NOBODY, far);
    for (uint32_t i = 0; i < w->count; i++) {
        if (!leads(w, (int)i, (int)i)) continue;
        on_cycles++;
        dead += far[i] == 0;
    }
    assert(told.records == on_cycles && told.dead_records == dead && told.found == (told.count < most ? told.count : most));
    for (uint32_t c = 0; c < told.found; c++) {
        uint64_t outside = 0;
        int first = whose(w, hw_record_graph_id(&picture.graph, cycles[c].path[0]));
        assert(cycles[c].exact && cycles[c].length != 0 && cycles[c].reachable == (far[first] != 0));
        assert(c == 0 || cycles[c].reachable > cycles[c - 1].reachable ||
               (cycles[c].reachable == cycles[c - 1].reachable && cycles[c].size <= cycles[c - 1].size));
        for (uint32_t i = 0; i < cycles[c].length; i++)
            (void)hw_record_link_between(&w->heap.records, hw_record_graph_id(&picture.graph, cycles[c].path[i]),
                                         hw_record_graph_id(&picture.graph, cycles[c].path[(i + 1) % cycles[c].length]));
        for (uint32_t i = 0; i < w->count; i++) {
            if (!leads(w, (int)i, first) || !leads(w, first, (int)i)) continue;
            outside += w->held[i] + w->in_run[i];
            for (uint32_t e = 0; e < w->edges_count; e++)
                outside += w->to[e] == (int)i && !(leads(w, w->from[e], first) && leads(w, first, w->from[e]));
        }
        assert(cycles[c].outside == outside);
    }
    hw_record_picture_close(&picture);
}

/* ---- deep ------------------------------------------------------------------------------------------------------------ */

enum { CHAIN = 1000000 };
static void *chain(void *unused) {
    uint32_t *memory = malloc((1 + CHAIN + 1 + CHAIN + 2 * CHAIN + HW_DOMINATORS_SCRATCH(CHAIN, CHAIN)) * sizeof *memory);
    uint32_t *first = memory, *target = first + CHAIN + 1, *order = target + CHAIN, *above = order + CHAIN;
    for (uint32_t v = 0; v < CHAIN; v++) {
        first[v] = v;
        target[v] = v + 1 == CHAIN ? 0 : v + 1; /* and back from its end */
    }
    first[CHAIN] = CHAIN;
    hw_digraph graph = {CHAIN, first, target};
    assert(hw_dominators(&graph, 0, order, above, above + CHAIN) == CHAIN);
    for (uint32_t i = 1; i < CHAIN; i++) assert(order[i] == i && above[i] == i - 1);
    free(memory);
    return unused;
}

int main(void) {
    static world w;
    for (int i = 0; i < 400; i++) {
        open_world(&w);
        populate(&w);
        compare_dominators(&w);
        compare_paths(&w);
        compare_cycles(&w);
        close_world(&w);
    }
    pthread_attr_t small;
    pthread_t thread;
    assert(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 256 << 10) == 0);
    assert(pthread_create(&thread, &small, chain, NULL) == 0 && pthread_join(thread, NULL) == 0);
    return 0;
}
