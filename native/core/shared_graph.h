/* Shared graph: counted nodes that know whom they own. A node lives while it has an owner: a handle somewhere outside,
 * or a reference from another live node. Counting alone never frees a cycle, so the references between nodes are kept
 * here, as numbers, where trial deletion can see them; what the nodes stand for (`payload`) knows nothing of all this.
 *
 * Two kinds of operation:
 *
 *   counting      clone and drop of a handle: one atomic instruction, any thread, no lock
 *   structural    everything else: the caller holds the graph's lock (under Python's GIL: the GIL)
 *
 * Handles are made from a handle (clone), from nothing (new), from a weak handle or from a reference; the last three
 * are structural. So while a collection holds the lock, a node that has no handle gets none; that is why counts may go
 * up and down meanwhile and no node that somebody holds is ever taken for garbage: its count was at least one more than
 * the references to it at the moment when the collection looked.
 *
 * Death has three steps, so that no code of others ever runs under the lock, and nothing recurses:
 *   1  strong falls to 0: whoever took the last one buries the node (hw_shared_bury)
 *   2  hw_shared_next_dead hands out the dead one by one, each after it has given up its own references, which may bury
 *      more; the caller, without the lock, disposes of the payload
 *   3  hw_shared_retire: when no weak handle is left either, the number is free for another node
 *
 * Collection is the synchronous algorithm of Bacon and Rajan, Concurrent Cycle Collection in Reference Counted Systems,
 * ECOOP 2001, section 3: from the candidates (nodes that lost an owner and lived) count inside the closure, restore
 * what is owned from outside, and what is left is garbage. It differs in three ways: trial counts are copies, so that
 * giving up half way needs no second pass; both its lists are threaded through the nodes, so it needs no stack; and
 * when the closure grows past a share of the graph it turns into one linear sweep over all nodes, which is cheaper by
 * then.
 *
 * Invariants, walked by hw_shared_check while nothing else runs and no dead node waits:
 *   R1  strong = handles + references from live nodes (the caller says how many handles there are; the walk: >=)
 *   R2  weak = weak handles + (strong > 0) + (is a candidate); a number is free exactly when it is 0
 *   R3  every reference is to a live node, or is none; every slot is in one node or on one free list
 *   R4  a candidate is marked so, and is in the buffer exactly once
 *   R5  all colours are white between collections; live = nodes with strong > 0
 *
 * Not relocatable, unlike the strategies: other threads count in it while it grows. It grows at its end, in place. */
#ifndef HW_CORE_SHARED_GRAPH_H
#define HW_CORE_SHARED_GRAPH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HW_SHARED_NONE UINT32_MAX
#define HW_SHARED_REFERENCES_MAX 64
#define HW_SHARED_COUNT_MAX (UINT32_MAX / 2) /* what lies above is room for the clones that are being refused */

typedef struct {
    _Atomic uint32_t strong, weak;
    uint64_t payload; /* the caller's */
    uint32_t first;   /* its references are slots[first], slots[first + 1], ... */
    uint32_t link;    /* the next free, dead or visited node */
    uint32_t trial;   /* during a collection: owners not yet accounted for; of a node known to be owned: the next such */
    uint8_t references;
    uint8_t colour;
    _Atomic uint8_t candidate;
    bool acyclic; /* by its type it can reach no node of its own type: never part of a cycle */
} hw_shared_node;

_Static_assert(sizeof(hw_shared_node) == 32, "two to a cache line");

typedef struct {
    hw_shared_node *nodes;
    uint32_t *slots, *candidates;
    uint32_t nodes_capacity, slots_capacity;
    uint32_t nodes_used, slots_used;
    uint32_t free_node, free_slots[HW_SHARED_REFERENCES_MAX + 1]; /* the latter by how many a node had */
    uint32_t dead_first, dead_last;
    uint32_t candidates_count;
    uint32_t live, peak_live;
    uint64_t total_nodes, total_collected;
} hw_shared_graph;

enum hw_shared_dropped {
    HW_SHARED_KEPT,    /* others own it */
    HW_SHARED_DEAD,    /* that was the last: bury it */
    HW_SHARED_SUSPECT, /* others own it, perhaps only each other: hw_shared_suspect, when convenient */
    HW_SHARED_LOST     /* the count was 0 already: a handle was dropped twice */
};

typedef struct {
    uint32_t visited, collected;
    bool traced;  /* went over to the sweep over all nodes */
    bool aborted; /* reached the budget: nothing was changed, the candidates are kept */
} hw_shared_collection;

/* An empty graph over memory of the caller's that never moves: `nodes` and `slots` of them, and as many candidates as
 * nodes. All three may be made longer, in place, at any time by raising the capacities. */
void hw_shared_init(hw_shared_graph *graph, hw_shared_node *nodes, uint32_t nodes_capacity, uint32_t *slots,
                    uint32_t slots_capacity, uint32_t *candidates);

/* A node with one handle and `references` references to nothing; HW_SHARED_NONE when it does not fit the capacities, or
 * has more than HW_SHARED_REFERENCES_MAX. O(1). */
uint32_t hw_shared_new(hw_shared_graph *graph, uint32_t references, bool acyclic, uint64_t payload);

/* Counting. The caller owns one count of the node. False: there are HW_SHARED_COUNT_MAX, and it was not cloned. */
static inline bool hw_shared_clone(hw_shared_graph *graph, uint32_t number) {
    hw_shared_node *node = &graph->nodes[number];
    /* relaxed: who clones has a count, so the node is alive and visible to it already; nothing is published by this */
    if (__builtin_expect(atomic_fetch_add_explicit(&node->strong, 1, memory_order_relaxed) < HW_SHARED_COUNT_MAX, 1))
        return true;
    atomic_fetch_sub_explicit(&node->strong, 1, memory_order_relaxed);
    return false;
}

/* Counting. Gives up one count that the caller owns. */
static inline enum hw_shared_dropped hw_shared_drop(hw_shared_graph *graph, uint32_t number) {
    hw_shared_node *node = &graph->nodes[number];
    /* all reads of the node come before the decrement: after it, it may be somebody else's */
    bool suspect = node->references != 0 && !node->acyclic &&
                   !atomic_load_explicit(&node->candidate, memory_order_relaxed); /* a stale answer costs one look */
    /* release: what this owner did to the payload happens before its disposal; acquire: which whoever disposes of it sees
     * from here on. A fence for the last owner alone would do, but race detectors do not know fences */
    uint32_t before = atomic_fetch_sub_explicit(&node->strong, 1, memory_order_acq_rel);
    if (before == 1) return HW_SHARED_DEAD;
    if (__builtin_expect(before == 0, 0)) {
        atomic_fetch_add_explicit(&node->strong, 1, memory_order_relaxed);
        return HW_SHARED_LOST;
    }
    return suspect ? HW_SHARED_SUSPECT : HW_SHARED_KEPT;
}

/* Queues a node whose last owner has gone. */
void hw_shared_bury(hw_shared_graph *graph, uint32_t number);

/* Makes a node a candidate for the next collection, if it is still there. */
void hw_shared_suspect(hw_shared_graph *graph, uint32_t number);

/* The next dead node, after it has given up its references, and its payload; HW_SHARED_NONE when there is none. Dispose
 * of the payload without the lock, then hw_shared_retire it. Owners come before what they owned. O(references). */
uint32_t hw_shared_next_dead(hw_shared_graph *graph, uint64_t *payload);
void hw_shared_retire(hw_shared_graph *graph, uint32_t number);

/* A weak handle; the caller owns a count of the node, or a weak one. */
void hw_shared_downgrade(hw_shared_graph *graph, uint32_t number);

/* A handle, if the node is alive: false, and for ever false, once it is not. The caller owns a weak handle and keeps
 * it. */
bool hw_shared_upgrade(hw_shared_graph *graph, uint32_t number);

/* Gives up a weak handle. */
void hw_shared_drop_weak(hw_shared_graph *graph, uint32_t number);

/* References of a node that the caller owns a count of. Setting takes over a count of `target` (or HW_SHARED_NONE) that
 * the caller had, and returns what was there before, whose count is now the caller's. Getting gives no count. */
uint32_t hw_shared_set(hw_shared_graph *graph, uint32_t number, uint32_t reference, uint32_t target);
uint32_t hw_shared_get(const hw_shared_graph *graph, uint32_t number, uint32_t reference);

/* Finds what only cycles keep alive, among the candidates and what they reach, and buries it. At most `budget`
 * references are looked at. Where more than 1 / HW_SHARED_TRACE_SHARE of the live nodes is reached, all of them are
 * looked at instead, unless the budget forbids. O(closure), no memory. */
#define HW_SHARED_TRACE_SHARE 10
hw_shared_collection hw_shared_collect(hw_shared_graph *graph, uint64_t budget);

/* The same for all nodes: no candidate is needed. O(nodes + references), no memory. */
hw_shared_collection hw_shared_trace(hw_shared_graph *graph);

/* NULL, or the first invariant that does not hold, and where. O(nodes + references); uses the trial counts. */
const char *hw_shared_check(hw_shared_graph *graph, uint32_t *number);

#endif
