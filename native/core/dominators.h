/* Dominators of a directed graph (core/cycles.h says how it is written down): d dominates v if every way from the root to v
 * leads through d. The nearest dominators make a tree, and what is below d in it is what would be cut off without d: if the
 * graph is a heap, what freeing d would free.
 *
 * Nodes are numbered by a depth-first search from the root, and the tree is told in these numbers: the root is 0, the
 * nearest dominator of i is above[i] < i, so one pass from the end adds up all sub-trees.
 *
 * Nothing recurses, nothing is allocated. The semi-NCA algorithm: about as fast as Lengauer and Tarjan's with linking by
 * balance, in a third of the code. O(nodes + edges) on graphs that are met, O(nodes^2) at worst.
 *
 * Sources: Lengauer and Tarjan, A Fast Algorithm for Finding Dominators in a Flowgraph, TOPLAS 1(1), 1979; Georgiadis,
 * Tarjan and Werneck, Finding Dominators in Practice, J. Graph Algorithms and Applications 10(1), 2006. */
#ifndef HW_CORE_DOMINATORS_H
#define HW_CORE_DOMINATORS_H

#include "core/cycles.h"

#define HW_DOMINATORS_SCRATCH(nodes, edges) (5 * (size_t)(nodes) + 1 + (size_t)(edges)) /* entries */

/* Writes order[i], the node that is number i, and above[i]; above[0] is 0. Both have room for all nodes. Returns how many
 * nodes the root reaches, itself among them; the others have no number. */
uint32_t hw_dominators(const hw_digraph *graph, uint32_t root, uint32_t *order, uint32_t *above, uint32_t *scratch);

/* What each node has of its own becomes what its sub-tree has. */
static inline void hw_dominated_sums(const uint32_t *above, uint32_t reached, uint64_t *sums) {
    for (uint32_t i = reached; i-- > 1;) sums[above[i]] += sums[i];
}

#endif
