#include "heap/shared_nodes.h"

#include <errno.h>
#include <string.h>

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
            memset(&self->pace, 0, sizeof self->pace);
            self->pace.threshold_bytes = HW_SHARED_PACE_MIN;
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

hw_shared_collection hw_shared_nodes_collect(hw_shared_nodes *self, uint64_t budget) {
    hw_shared_collection got = hw_shared_collect(&self->graph, budget);
    self->pace.collections++;
    self->pace.aborted += got.aborted;
    return got;
}

void hw_shared_nodes_collect_if_due(hw_shared_nodes *self) {
    if (self->pace.new_bytes < self->pace.threshold_bytes) return;
    bool aborted = self->graph.candidates_count != 0 && hw_shared_nodes_collect(self, self->pace.new_bytes / 4).aborted;
    uint64_t wait = aborted ? 2 * self->pace.new_bytes : self->pace.live_bytes;
    self->pace.threshold_bytes = wait < HW_SHARED_PACE_MIN ? HW_SHARED_PACE_MIN : wait;
    self->pace.new_bytes = 0;
}
