/* Shared picture: a shared graph as the search for cycles wants it, copied at one moment. The graph goes on; what the
 * picture says of a node is true of the node only while nothing structural happens. */
#ifndef HW_HEAP_SHARED_PICTURE_H
#define HW_HEAP_SHARED_PICTURE_H

#include "core/cycles.h"
#include "core/shared_graph.h"

typedef struct {
    hw_digraph graph;                           /* its nodes are all numbers ever used: dead ones are without edges */
    uint32_t *component, *start, *members;      /* as in core/cycles.h */
    uint32_t *scratch, *cycle;
    uint32_t components;
    void *memory;                               /* that all of these are in */
    size_t memory_bytes;
} hw_shared_picture;

/* A copy of the references between live nodes, with its components. 0 or errno. O(nodes + references); 36 bytes a node
 * and 4 a reference until hw_shared_picture_close. */
int hw_shared_picture_open(hw_shared_picture *picture, const hw_shared_graph *graph);
void hw_shared_picture_close(hw_shared_picture *picture);

/* Whether the component has a cycle: two nodes, or a reference to itself. */
bool hw_shared_picture_has_cycle(const hw_shared_picture *picture, uint32_t component);

/* Owners of its members that are not among them: handles, and references from other components. O(its references). */
uint64_t hw_shared_picture_owners_outside(const hw_shared_picture *picture, const hw_shared_graph *graph, uint32_t component);

#endif
