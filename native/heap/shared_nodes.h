/* Shared nodes: a shared graph (core/shared_graph.h) over address space of its own, which it grows into as it needs to:
 * its nodes never move, since other threads count in them. And when it is time to collect.
 *
 * Reserved at once: 32 bytes a node, 4 for the buffer of candidates and 8 for references, for as many nodes as were
 * asked for; committed as they are used. Not given back before the end: a graph that was large is likely to be so
 * again.
 *
 * Pace. A collection is due when as many bytes of nodes are new as were alive after the last one, and at least
 * HW_SHARED_PACE_MIN. It looks at no more than one reference for each four new bytes, so its cost is a constant share
 * of that of making the nodes; one that gives up at that doubles the wait. So garbage that is among the candidates is
 * at most as much again as what is alive, plus the minimum, unless collections give up. */
#ifndef HW_HEAP_SHARED_NODES_H
#define HW_HEAP_SHARED_NODES_H

#include "core/shared_graph.h"
#include "heap/space.h"

typedef struct {
    hw_shared_graph graph;
    hw_space nodes, slots, candidates;
    struct {
        uint64_t live_bytes, new_bytes, threshold_bytes; /* as the caller counts them */
        uint64_t collections, aborted;
    } pace;
} hw_shared_nodes;

#define HW_SHARED_PACE_MIN ((uint64_t)4 << 20)

/* 0 or errno, and then there is nothing to close. */
int hw_shared_nodes_open(hw_shared_nodes *self, uint32_t nodes_max);
void hw_shared_nodes_close(hw_shared_nodes *self);

/* hw_shared_new, after growing where it has to: 0, or an errno value (ENOMEM: no memory, or nodes_max are there). */
int hw_shared_nodes_new(hw_shared_nodes *self, uint32_t references, bool acyclic, uint64_t payload, uint32_t *number);

/* `bytes` of nodes were made. */
static inline void hw_shared_nodes_made(hw_shared_nodes *self, uint64_t bytes) {
    self->pace.live_bytes += bytes;
    self->pace.new_bytes += bytes;
}

/* Collects if enough were made since the last time. */
void hw_shared_nodes_collect_if_due(hw_shared_nodes *self);

/* `bytes` of nodes that were made ended. */
static inline void hw_shared_nodes_ended(hw_shared_nodes *self, uint64_t bytes) { self->pace.live_bytes -= bytes; }

/* A collection now; how many nodes it buried. The caller disposes of the dead. */
hw_shared_collection hw_shared_nodes_collect(hw_shared_nodes *self, uint64_t budget);

#endif
