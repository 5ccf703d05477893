/* Cycles of a directed graph: its strongly connected components, and the shortest cycle in each. The graph is a
 * compressed row of numbers (target[first[v]] ... target[first[v + 1] - 1] are the successors of v), made for the
 * purpose: whoever owns the real graph copies it here once, 4 bytes a node and 4 an edge, and goes on changing it.
 *
 * Nothing recurses: a component of ten million nodes in one ring is found on any stack. Nothing is allocated: the
 * caller gives scratch memory, in all 24 bytes a node.
 *
 * Sources: Tarjan, Depth-First Search and Linear Graph Algorithms, SIAM J. Computing 1, 1972, with the mark for closed
 * components of Pearce, Information Processing Letters 116, 2016. The shortest cycle by breadth-first search from each
 * node, as deep as the best so far; a node that was searched from is taken out, and with it all that loses its last
 * predecessor (Itai and Rodeh, Finding a Minimum Circuit in a Graph, SIAM J. Computing 7, 1978, is the search; the
 * pruning is for graphs like a single ring). */
#ifndef HW_CORE_CYCLES_H
#define HW_CORE_CYCLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t nodes;        /* at most 2^31 */
    const uint32_t *first; /* nodes + 1 entries */
    const uint32_t *target;
} hw_digraph;

#define HW_CYCLES_SCRATCH(nodes) (4 * (size_t)(nodes)) /* entries of scratch for either function */

/* Writes the component of every node, 0 .. n - 1, so that edges between components lead to smaller numbers. Returns n.
 * O(nodes + edges). */
uint32_t hw_components(const hw_digraph *graph, uint32_t *component, uint32_t *scratch);

/* Sorts the nodes by component, and within one by number: those of component c are members[start[c]] ...
 * members[start[c + 1] - 1]. `start` has n + 1 entries. O(nodes). */
void hw_component_members(uint32_t nodes, uint32_t n, const uint32_t *component, uint32_t *start, uint32_t *members);

typedef struct {
    uint32_t length; /* 0: the component has no cycle, which is one node without an edge to itself */
    bool exact;      /* false: the budget was used up, and a shorter one may exist */
} hw_cycle;

/* The shortest cycle within the component that has these members. Writes its nodes to `cycle` (room for `size`), from
 * the least number on. Searches from the members in their order, and after each cycle from its nodes: where all cycles
 * have a node in common, that is the end. Of equally short ones it is the first that is found. Gives up after `budget`
 * edges, but not before it has one. O(size * edges) at worst; a single ring, a component with a short cycle, or with
 * a node that all cycles have in common, O(size + edges). Scratch as for hw_components, which need not be clean. */
hw_cycle hw_shortest_cycle(const hw_digraph *graph, const uint32_t *component, const uint32_t *members, uint32_t size,
                           uint64_t budget, uint32_t *cycle, uint32_t *scratch);

#endif
