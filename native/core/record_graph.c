#include "core/record_graph.h"

#define NONE UINT32_MAX

/* ---- measure -------------------------------------------------------------------------------------------------------- */

static uint64_t waiting_for_finalizers(const hw_records *records) {
    return atomic_load_explicit(&records->finalizable.count, memory_order_relaxed) - records->finalizable_taken;
}

/* Entries of all arrays of references in a pool. */
static uint64_t span_entries(const hw_record_pool *pool) {
    uint64_t entries = 0;
    if (pool->spans_count == 0) return 0;
    for (uint32_t w = 0; w < hw_record_words(pool); w++)
        for (uint64_t bits = pool->allocated[w]; bits != 0; bits &= bits - 1) {
            const unsigned char *record = hw_record_at(pool, w * 64 + (uint32_t)__builtin_ctzll(bits));
            for (uint16_t i = pool->edges_count - pool->spans_count; i < pool->edges_count; i++)
                entries += hw_span_load(record + pool->edges[i].offset_bytes).count;
        }
    return entries;
}

hw_record_graph_size hw_record_graph_measure(const hw_records *records) {
    uint64_t live = 0, words = 0, edges = waiting_for_finalizers(records);
    for (uint32_t p = 0; p < records->pools_count; p++) {
        const hw_record_pool *pool = records->pools[p];
        live += pool->live;
        words += hw_record_words(pool);
        edges += (uint64_t)pool->live * (pool->edges_count - pool->spans_count) + span_entries(pool);
    }
    uint32_t runs = 0;
    for (uint32_t slot = 0; slot < records->handles.used; slot++) {
        const hw_record_handle_entry *entry = &records->handles.entries[slot];
        edges += hw_record_handle_roots(entry) + (entry->kind == HW_HANDLE_RUN);
        runs += entry->kind == HW_HANDLE_RUN;
    }
    uint64_t nodes = live + runs + 1;
    return (hw_record_graph_size){.nodes = nodes, .edges = edges, .entries = nodes + 1 + live + words + edges};
}

/* ---- fill ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    hw_record_graph *graph;
    const hw_records *records;
    uint32_t at;
} filling;

static void add_edge(void *context, uint16_t edge, uint32_t entry, uint64_t target) {
    filling *f = context;
    f->graph->target[f->at++] = hw_record_graph_number(f->graph, f->records, target);
}

/* Numbers, and where to find them; returns the memory that is left. */
static uint32_t *number_records(hw_record_graph *graph, const hw_records *records, uint32_t *memory) {
    uint32_t number = 0;
    for (uint32_t p = 0; p < records->pools_count; p++) {
        const hw_record_pool *pool = records->pools[p];
        graph->start[p] = number;
        graph->before[p] = memory;
        for (uint32_t w = 0; w < hw_record_words(pool); w++) {
            memory[w] = number - graph->start[p];
            for (uint64_t bits = pool->allocated[w]; bits != 0; bits &= bits - 1)
                graph->index[number++] = w * 64 + (uint32_t)__builtin_ctzll(bits);
        }
        memory += hw_record_words(pool);
    }
    for (uint32_t p = records->pools_count; p <= HW_RECORD_POOLS_MAX; p++) graph->start[p] = number;
    return memory;
}

static void add_roots(filling *f) {
    hw_record_graph *graph = f->graph;
    const hw_record_handles *handles = &f->records->handles;
    uint32_t run = graph->records_count;
    for (uint32_t slot = 0; slot < handles->used; slot++) {
        const hw_record_handle_entry *entry = &handles->entries[slot];
        if (entry->kind != HW_HANDLE_RUN) continue;
        graph->first[run++] = f->at;
        for (uint64_t i = 0; i < entry->owner; i++) add_edge(f, 0, 0, entry->id + i);
    }
    assert(run == graph->root);
    graph->first[graph->root] = f->at;
    for (uint32_t slot = 0; slot < handles->used; slot++)
        if (handles->entries[slot].kind == HW_HANDLE_STRONG) add_edge(f, 0, 0, handles->entries[slot].id);
    uint32_t waiting = atomic_load_explicit(&f->records->finalizable.count, memory_order_relaxed);
    for (uint32_t i = f->records->finalizable_taken; i < waiting; i++) add_edge(f, 0, 0, f->records->finalizable.entries[i]);
    for (uint32_t r = graph->records_count; r < graph->root; r++) graph->target[f->at++] = r;
    graph->first[graph->root + 1] = f->at;
}

void hw_record_graph_fill(hw_record_graph *graph, const hw_records *records, uint32_t *memory) {
    assert(records->phase == HW_RECORDS_IDLE);
    uint32_t live = 0;
    for (uint32_t p = 0; p < records->pools_count; p++) live += records->pools[p]->live;
    graph->records_count = live;
    graph->runs_count = records->handles.run_count;
    graph->root = live + graph->runs_count;
    graph->first = memory;
    graph->index = memory + graph->root + 2;
    graph->target = number_records(graph, records, graph->index + live);
    graph->graph = (hw_digraph){graph->root + 1, graph->first, graph->target};
    filling f = {graph, records, 0};
    for (uint32_t p = 0; p < records->pools_count; p++)
        for (uint32_t number = graph->start[p]; number < graph->start[p + 1]; number++) {
            graph->first[number] = f.at;
            hw_record_each_edge(records, hw_record_id(p, graph->index[number]), add_edge, &f);
        }
    add_roots(&f);
}

/* ---- ask ------------------------------------------------------------------------------------------------------------ */

uint32_t hw_record_graph_number(const hw_record_graph *graph, const hw_records *records, uint64_t id) {
    uint32_t p = hw_record_pool_of(id), index = hw_record_index_of(id);
    const hw_record_pool *pool = records->pools[p];
    if (pool->live == pool->used) return graph->start[p] + index; /* no holes */
    uint64_t below = pool->allocated[index / 64] & ((UINT64_C(1) << index % 64) - 1);
    return graph->start[p] + graph->before[p][index / 64] + (uint32_t)__builtin_popcountll(below);
}

uint32_t hw_record_graph_pool(const hw_record_graph *graph, uint32_t number) {
    uint32_t low = 0, high = HW_RECORD_POOLS_MAX; /* start[low] <= number < start[high] */
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (graph->start[middle] <= number) low = middle;
        else high = middle;
    }
    return low;
}

uint64_t hw_record_own_bytes(const hw_records *records, uint64_t id) {
    const hw_record_pool *pool = records->pools[hw_record_pool_of(id)];
    const unsigned char *record = hw_record_at(pool, hw_record_index_of(id));
    uint64_t bytes = pool->stride_bytes;
    for (uint16_t i = 0; i < pool->spans_count + pool->payloads_count; i++) {
        uint16_t arrays_from = pool->edges_count - pool->spans_count;
        uint16_t offset = i < pool->spans_count ? pool->edges[arrays_from + i].offset_bytes : pool->payloads[i - pool->spans_count];
        hw_record_span span = hw_span_load(record + offset);
        if (span.block != 0) bytes += hw_span_payload(records, span)->capacity_bytes + sizeof(hw_record_payload);
    }
    return bytes;
}

typedef struct {
    uint64_t to;
    hw_record_link link;
    bool found;
} looking;

static void look(void *context, uint16_t edge, uint32_t entry, uint64_t target) {
    looking *l = context;
    if (l->found || target != l->to) return;
    l->found = true;
    l->link = (hw_record_link){edge, entry};
}

hw_record_link hw_record_link_between(const hw_records *records, uint64_t from, uint64_t to) {
    looking l = {.to = to};
    hw_record_each_edge(records, from, look, &l);
    assert(l.found);
    return l.link;
}

uint32_t hw_record_graph_path(const hw_record_graph *graph, uint32_t to, uint32_t *path, uint32_t *scratch) {
    uint32_t *from = scratch, *queue = path, head = 0, tail = 1, length = 0;
    memset(from, 0xFF, graph->graph.nodes * sizeof *from);
    queue[0] = from[graph->root] = graph->root;
    while (head != tail && from[to] == NONE) {
        uint32_t v = queue[head++];
        for (uint32_t e = graph->first[v]; e != graph->first[v + 1]; e++) {
            uint32_t w = graph->target[e];
            if (from[w] != NONE || (v == graph->root && w == to)) continue;
            from[w] = v;
            queue[tail++] = w;
        }
    }
    if (from[to] == NONE) return 0;
    for (uint32_t v = to; v != graph->root; v = from[v]) length++;
    for (uint32_t v = to, at = length; v != graph->root; v = from[v]) path[--at] = v;
    return length;
}
