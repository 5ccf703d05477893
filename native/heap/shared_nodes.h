/* Shared nodes: a shared graph (core/shared_graph.h) over address space of its own, which it grows into as it needs to: its nodes
 * never move, since other threads count in them. And the graph as the search for cycles wants it.
 *
 * Reserved at once: 32 bytes a node, 4 a reference and 4 for the buffer of candidates, for as many nodes as were asked for;
 * committed as they are used. Not given back before the end: a graph that was large is likely to be so again. */
#ifndef HW_HEAP_SHARED_NODES_H
#define HW_HEAP_SHARED_NODES_H

#include "core/cycles.h"
#include "core/shared_graph.h"
#include "heap/space.h"

typedef struct {
    hw_shared_graph graph;
    hw_space nodes, slots, candidates;
} hw_shared_nodes;

/* 0 or errno, and then there is nothing to close. */
int hw_shared_nodes_open(hw_shared_nodes *self, uint32_t nodes_max);
void hw_shared_nodes_close(hw_shared_nodes *self);

/* hw_shared_new, after growing where it has to: 0, or an errno value (ENOMEM: no memory, or nodes_max are there). */
int hw_shared_nodes_new(hw_shared_nodes *self, uint32_t references, bool acyclic, uint64_t payload, uint32_t *number);

typedef struct {
    hw_digraph graph;                           /* its nodes are all numbers ever used: dead ones are without edges */
    uint32_t *component, *start, *members;      /* as in core/cycles.h */
    uint32_t *scratch, *cycle;
    uint32_t components;
    void *memory;                               /* that all of these are in */
    size_t memory_bytes;
} hw_shared_picture;

/* A copy of the references between live nodes, with its components. 0 or errno. O(nodes + references); 36 bytes a node and 4
 * a reference until hw_shared_picture_close. */
int hw_shared_picture_open(hw_shared_picture *picture, const hw_shared_graph *graph);
void hw_shared_picture_close(hw_shared_picture *picture);

#endif
