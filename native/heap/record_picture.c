#include "heap/record_picture.h"

#include <errno.h>
#include <stdlib.h>

#include "os/pages.h"

/* ---- memory --------------------------------------------------------------------------------------------------------- */

static uint64_t room_for(enum hw_record_question question, uint64_t nodes, uint64_t edges) {
    switch (question) {
    case HW_ASK_PATH: return 2 * nodes;                                             /* path, from */
    case HW_ASK_DOMINATORS: return 2 * nodes + HW_DOMINATORS_SCRATCH(nodes, edges); /* order, above */
    default: return 5 * nodes + 1 + HW_CYCLES_SCRATCH(nodes);                       /* seen, component, start, members, cycle */
    }
}

int hw_record_picture_open(hw_record_picture *picture, const hw_records *records, enum hw_record_question question) {
    hw_record_graph_size size = hw_record_graph_measure(records);
    if (size.nodes > HW_RECORD_GRAPH_NODES_MAX || size.edges > UINT32_MAX) return EOVERFLOW;
    uint64_t graph_entries = (size.entries + 1) / 2 * 2; /* so that the room can begin with 64-bit words */
    size_t page = hw_pages_size();
    *picture = (hw_record_picture){.records = records};
    picture->memory_bytes = (graph_entries + room_for(question, size.nodes, size.edges)) * sizeof(uint32_t);
    picture->memory_bytes = (picture->memory_bytes + page - 1) / page * page;
    int error = hw_pages_reserve(picture->memory_bytes, page, &picture->memory);
    if (error != 0) return error;
    error = hw_pages_commit(picture->memory, picture->memory_bytes);
    if (error != 0) {
        hw_record_picture_close(picture);
        return error;
    }
    /* a wish: searches jump about in it */
    if (picture->memory_bytes >= 2 * HW_HUGE_PAGE_BYTES) (void)hw_pages_advise_huge(picture->memory, picture->memory_bytes, true);
    picture->room = (uint32_t *)picture->memory + graph_entries;
    hw_record_graph_fill(&picture->graph, records, picture->memory);
    return 0;
}

void hw_record_picture_close(hw_record_picture *picture) {
    if (picture->memory != NULL) hw_pages_release(picture->memory, picture->memory_bytes);
    picture->memory = NULL;
}

/* ---- paths ---------------------------------------------------------------------------------------------------------- */

uint32_t hw_record_picture_path(hw_record_picture *picture, uint64_t id, const uint32_t **path) {
    uint32_t *found = picture->room, *scratch = found + picture->graph.graph.nodes;
    *path = found;
    return hw_record_graph_path(&picture->graph, hw_record_graph_number(&picture->graph, picture->records, id), found, scratch);
}

/* ---- dominators ----------------------------------------------------------------------------------------------------- */

static bool is_record(const hw_record_graph *graph, uint32_t node) { return node < graph->records_count; }

/* Sums what each record retains that none of the same pool dominates. `passed` says of a node which of 64 pools are above it. */
static void sum_by_pool(const hw_record_graph *graph, hw_record_dominators *d, uint64_t *passed) {
    for (uint32_t from = 0; from < HW_RECORD_POOLS_MAX && graph->start[from] < graph->records_count; from += 64)
        for (uint32_t i = 0; i < d->reached; i++) {
            uint64_t above = i == 0 ? 0 : passed[d->above[i]];
            passed[i] = above;
            if (!is_record(graph, d->order[i])) continue;
            uint32_t pool = hw_record_graph_pool(graph, d->order[i]);
            if (pool < from || pool >= from + 64) continue;
            passed[i] |= UINT64_C(1) << (pool - from);
            if (passed[i] != above) d->by_pool[pool] += d->retained_bytes[i];
        }
}

void hw_record_picture_dominators(hw_record_picture *picture, hw_record_dominators *d) {
    const hw_record_graph *graph = &picture->graph;
    size_t n = graph->graph.nodes;
    /* what is worked in becomes the sums afterwards: it begins with the room, which is aligned for them */
    uint32_t *scratch = picture->room, *order = scratch + HW_DOMINATORS_SCRATCH(n, graph->first[n]), *above = order + n;
    uint64_t *retained = (uint64_t *)(void *)picture->room, *passed = retained + n;
    *d = (hw_record_dominators){.order = order, .above = above, .retained_bytes = retained};
    d->reached = hw_dominators(&graph->graph, graph->root, order, above, scratch);
    for (uint32_t i = 0; i < d->reached; i++)
        retained[i] = is_record(graph, order[i]) ? hw_record_own_bytes(picture->records, hw_record_graph_id(graph, order[i])) : 0;
    hw_dominated_sums(above, d->reached, retained);
    sum_by_pool(graph, d, passed);
}

/* ---- cycles --------------------------------------------------------------------------------------------------------- */

typedef struct { /* as core/cycles.h has them */
    uint32_t *component, *start, *members, *scratch;
} components;

static void reach(const hw_record_graph *graph, uint32_t *seen, uint32_t *queue) {
    uint32_t head = 0, tail = 1;
    memset(seen, 0, graph->graph.nodes * sizeof *seen);
    queue[0] = graph->root;
    seen[graph->root] = 1;
    while (head != tail) {
        uint32_t v = queue[head++];
        for (uint32_t e = graph->first[v]; e != graph->first[v + 1]; e++)
            if (!seen[graph->target[e]]) {
                seen[graph->target[e]] = 1;
                queue[tail++] = graph->target[e];
            }
    }
}

static bool goes_around(const hw_digraph *graph, const components *c, uint32_t which) {
    uint32_t v = c->members[c->start[which]];
    if (c->start[which + 1] - c->start[which] > 1) return true;
    for (uint32_t e = graph->first[v]; e != graph->first[v + 1]; e++)
        if (graph->target[e] == v) return true;
    return false;
}

/* References to the chosen ones from elsewhere, in one pass. `place` is 1 + which cycle a component became, or 0. */
static void count_outside(const hw_digraph *graph, const uint32_t *component, const uint32_t *place, hw_record_cycle *cycles) {
    for (uint32_t v = 0; v < graph->nodes; v++)
        for (uint32_t e = graph->first[v]; e != graph->first[v + 1]; e++) {
            uint32_t to = component[graph->target[e]];
            if (place[to] != 0 && component[v] != to) cycles[place[to] - 1].outside++;
        }
}

/* Groups in the order in which they are told: garbage first, then large ones. */
static uint64_t rank_of(bool reachable, uint32_t size, uint32_t which) {
    return (uint64_t)reachable << 63 | (uint64_t)(HW_RECORD_GRAPH_NODES_MAX - size) << 31 | which;
}
static uint32_t ranked(uint64_t rank) { return (uint32_t)rank & (HW_RECORD_GRAPH_NODES_MAX - 1); }
static int by_rank(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

hw_record_cycles hw_record_picture_cycles(hw_record_picture *picture, uint64_t budget, uint32_t most, hw_record_cycle *cycles) {
    const hw_digraph *graph = &picture->graph.graph;
    size_t n = graph->nodes;
    uint32_t *seen = picture->room + HW_CYCLES_SCRATCH(n), *path = seen + n;
    components c = {.component = path + n, .start = path + 2 * n, .members = path + 3 * n + 1, .scratch = picture->room};
    uint64_t *ranks = (uint64_t *)(void *)picture->room; /* between two uses of the scratch memory, which is aligned for them */
    hw_record_cycles told = {0};
    reach(&picture->graph, seen, c.scratch);
    uint32_t count = hw_components(graph, c.component, c.scratch);
    hw_component_members(graph->nodes, count, c.component, c.start, c.members);
    for (uint32_t which = 0; which < count; which++) {
        if (!goes_around(graph, &c, which)) continue;
        uint32_t size = c.start[which + 1] - c.start[which];
        bool reachable = seen[c.members[c.start[which]]];
        ranks[told.count++] = rank_of(reachable, size, which);
        told.records += size;
        told.dead_count += !reachable;
        told.dead_records += reachable ? 0 : size;
    }
    qsort(ranks, told.count, sizeof *ranks, by_rank);
    for (; told.found < told.count && told.found < most; told.found++) {
        uint32_t which = ranked(ranks[told.found]);
        bool reachable = seen[c.members[c.start[which]]];
        cycles[told.found] = (hw_record_cycle){.length = which, .size = c.start[which + 1] - c.start[which], .reachable = reachable};
    }
    memset(seen, 0, n * sizeof *seen); /* and now the place of a component */
    for (uint32_t i = 0; i < told.found; i++) {
        uint32_t which = cycles[i].length; /* so far its group */
        seen[which] = i + 1;
        hw_cycle shortest = hw_shortest_cycle(graph, c.component, c.members + c.start[which], cycles[i].size, budget, path, c.scratch);
        cycles[i].path = path;
        cycles[i].length = shortest.length;
        cycles[i].exact = shortest.exact;
        path += shortest.length;
    }
    count_outside(graph, c.component, seen, cycles);
    return told;
}
