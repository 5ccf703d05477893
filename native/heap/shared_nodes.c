#include "heap/shared_nodes.h"

#include <errno.h>

#include "os/pages.h"

enum { NODES_STEP = 4096, ACCESS = HW_PAGES_READ | HW_PAGES_WRITE };

int hw_shared_nodes_open(hw_shared_nodes *self, uint32_t nodes_max) {
    size_t page = hw_pages_size();
    int error = hw_space_open(&self->nodes, (size_t)nodes_max * sizeof(hw_shared_node), page, false, ACCESS);
    if (error != 0) return error;
    error = hw_space_open(&self->slots, (size_t)nodes_max * 2 * sizeof(uint32_t), page, false, ACCESS);
    if (error == 0) {
        error = hw_space_open(&self->candidates, (size_t)nodes_max * sizeof(uint32_t), page, false, ACCESS);
        if (error == 0) {
            hw_shared_init(&self->graph, (hw_shared_node *)(void *)self->nodes.base, 0,
                           (uint32_t *)(void *)self->slots.base, 0, (uint32_t *)(void *)self->candidates.base);
            return 0;
        }
        hw_space_close(&self->slots);
    }
    hw_space_close(&self->nodes);
    return error;
}

void hw_shared_nodes_close(hw_shared_nodes *self) {
    hw_space_close(&self->candidates);
    hw_space_close(&self->slots);
    hw_space_close(&self->nodes);
}

/* [0, *capacity) of the space becomes [0, wanted) entries of `size`, or as many as fit. */
static int grow(hw_space *space, size_t size, size_t wanted, uint32_t *capacity) {
    size_t most = space->size_bytes / size;
    if (wanted > most) wanted = most;
    if (wanted <= *capacity) return ENOMEM;
    int error = hw_space_ensure(space, *capacity * size, (wanted - *capacity) * size);
    if (error == 0) *capacity = (uint32_t)wanted;
    return error;
}

int hw_shared_nodes_new(hw_shared_nodes *self, uint32_t references, bool acyclic, uint64_t payload, uint32_t *number) {
    hw_shared_graph *g = &self->graph;
    for (;;) {
        *number = hw_shared_new(g, references, acyclic, payload);
        if (*number != HW_SHARED_NONE) return 0;
        int error;
        if (g->free_node == HW_SHARED_NONE && g->nodes_used == g->nodes_capacity) {
            size_t wanted = (size_t)g->nodes_capacity + NODES_STEP;
            uint32_t room = g->nodes_capacity; /* candidates first: there is always room for every node among them */
            error = grow(&self->candidates, sizeof(uint32_t), wanted, &room);
            if (error == 0) error = grow(&self->nodes, sizeof(hw_shared_node), room, &g->nodes_capacity);
        } else {
            error = grow(&self->slots, sizeof(uint32_t), (size_t)g->slots_capacity + 2 * NODES_STEP, &g->slots_capacity);
        }
        if (error != 0) return error;
    }
}

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
