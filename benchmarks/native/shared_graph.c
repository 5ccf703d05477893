/* The half of shared_ptr.cpp that speaks C: the shared graph, its counting inlined as the binding has it. */
#include <stdlib.h>

#include "core/shared_graph.h"

hw_shared_graph *bench_graph_new(uint32_t nodes);
uint64_t bench_graph_pairs(hw_shared_graph *graph, const uint32_t *order, uint32_t nodes, uint32_t rounds);

hw_shared_graph *bench_graph_new(uint32_t nodes) {
    hw_shared_graph *graph = malloc(sizeof *graph);
    hw_shared_init(graph, malloc(nodes * sizeof(hw_shared_node)), nodes, malloc(2 * (size_t)nodes * sizeof(uint32_t)), 2 * nodes,
                   malloc(nodes * sizeof(uint32_t)));
    for (uint32_t i = 0; i < nodes; i++) hw_shared_new(graph, 2, false, i);
    return graph;
}

uint64_t bench_graph_pairs(hw_shared_graph *graph, const uint32_t *order, uint32_t nodes, uint32_t rounds) {
    uint64_t alive = 0;
    for (uint32_t round = 0; round < rounds; round++)
        for (uint32_t i = 0; i < nodes; i++) {
            hw_shared_clone(graph, order[i]);
            switch (hw_shared_drop(graph, order[i])) {
            case HW_SHARED_SUSPECT: hw_shared_suspect(graph, order[i]); /* once a node: then it is a candidate already */
            /* fall through */
            case HW_SHARED_KEPT: alive++;
            default: break;
            }
        }
    return alive;
}
