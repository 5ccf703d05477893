#include "heap/shared_picture.h"

#include "os/pages.h"

int hw_shared_picture_open(hw_shared_picture *picture, const hw_shared_graph *graph) {
    size_t n = graph->nodes_used, edges = 0, page = hw_pages_size();
    for (uint32_t v = 0; v < n; v++)
        if (atomic_load_explicit(&graph->nodes[v].strong, memory_order_relaxed) != 0) edges += graph->nodes[v].references;
    size_t entries = (n + 1) + edges + n + (n + 1) + n + HW_CYCLES_SCRATCH(n) + n;
    *picture = (hw_shared_picture){.memory_bytes = (entries * sizeof(uint32_t) + page - 1) / page * page};
    int error = hw_pages_reserve(picture->memory_bytes, page, &picture->memory);
    if (error != 0) return error;
    error = hw_pages_commit(picture->memory, picture->memory_bytes);
    if (error != 0) {
        hw_pages_release(picture->memory, picture->memory_bytes);
        return error;
    }
    uint32_t *first = picture->memory, *target = first + n + 1;
    picture->component = target + edges;
    picture->start = picture->component + n;
    picture->members = picture->start + n + 1;
    picture->scratch = picture->members + n;
    picture->cycle = picture->scratch + HW_CYCLES_SCRATCH(n);
    uint32_t at = 0;
    for (uint32_t v = 0; v < n; v++) {
        const hw_shared_node *node = &graph->nodes[v];
        first[v] = at;
        if (atomic_load_explicit(&node->strong, memory_order_relaxed) == 0) continue;
        for (uint32_t i = 0; i < node->references; i++)
            if (graph->slots[node->first + i] != HW_SHARED_NONE) target[at++] = graph->slots[node->first + i];
    }
    first[n] = at;
    picture->graph = (hw_digraph){(uint32_t)n, first, target};
    picture->components = hw_components(&picture->graph, picture->component, picture->scratch);
    hw_component_members((uint32_t)n, picture->components, picture->component, picture->start, picture->members);
    return 0;
}

void hw_shared_picture_close(hw_shared_picture *picture) {
    if (picture->memory != NULL) hw_pages_release(picture->memory, picture->memory_bytes);
    picture->memory = NULL;
}

bool hw_shared_picture_has_cycle(const hw_shared_picture *picture, uint32_t component) {
    uint32_t start = picture->start[component], v = picture->members[start];
    if (picture->start[component + 1] - start > 1) return true;
    for (uint32_t e = picture->graph.first[v]; e != picture->graph.first[v + 1]; e++)
        if (picture->graph.target[e] == v) return true;
    return false;
}

uint64_t hw_shared_picture_owners_outside(const hw_shared_picture *picture, const hw_shared_graph *graph, uint32_t component) {
    uint64_t strong = 0, inside = 0;
    for (uint32_t i = picture->start[component]; i < picture->start[component + 1]; i++) {
        uint32_t v = picture->members[i];
        strong += atomic_load_explicit(&graph->nodes[v].strong, memory_order_relaxed);
        for (uint32_t e = picture->graph.first[v]; e != picture->graph.first[v + 1]; e++)
            inside += picture->component[picture->graph.target[e]] == component;
    }
    return strong - inside;
}
