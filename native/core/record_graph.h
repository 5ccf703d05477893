/* Record graph: the references of a record heap at one moment, as the searches of reports want them: a compressed row of
 * numbers (core/cycles.h). Copied while no cycle is under way; the heap then goes on.
 *
 *      0 ... records_count - 1      the live records, reachable or not: those of a pool one behind the other, in its order
 *      then                         one node for each run, with its records as successors
 *      root                         one node that keeps all: handles, runs, and what waits for its finalizer
 *
 * Weak references are not in it. 8 bytes a record, a bit more for each 64 places of a pool, and 4 an edge: the caller's. */
#ifndef HW_CORE_RECORD_GRAPH_H
#define HW_CORE_RECORD_GRAPH_H

#include "core/cycles.h"
#include "core/records.h"

#define HW_RECORD_GRAPH_NODES_MAX (UINT32_C(1) << 31)

typedef struct {
    hw_digraph graph;
    uint32_t records_count, runs_count, root;
    uint32_t start[HW_RECORD_POOLS_MAX + 1]; /* the first number of a pool */
    uint32_t *first, *target;                /* what `graph` refers to */
    uint32_t *index;                         /* of a record, by its number */
    uint32_t *before[HW_RECORD_POOLS_MAX];   /* live records before a word of `allocated` */
} hw_record_graph;

typedef struct {
    uint64_t nodes, edges; /* the latter at most */
    uint64_t entries;      /* of memory for all of it */
} hw_record_graph_size;

/* What a picture of the records would take. More than HW_RECORD_GRAPH_NODES_MAX nodes or UINT32_MAX edges cannot be had.
 * O(records that own arrays). */
hw_record_graph_size hw_record_graph_measure(const hw_records *records);

/* Fills `memory`, of as many entries as were measured. O(places / 64 + records + edges). */
void hw_record_graph_fill(hw_record_graph *graph, const hw_records *records, uint32_t *memory);

/* The number of a live record. */
uint32_t hw_record_graph_number(const hw_record_graph *graph, const hw_records *records, uint64_t id);

/* The pool of a record, by its number. O(log pools). */
uint32_t hw_record_graph_pool(const hw_record_graph *graph, uint32_t number);
static inline uint64_t hw_record_graph_id(const hw_record_graph *graph, uint32_t number) {
    return hw_record_id(hw_record_graph_pool(graph, number), graph->index[number]);
}

/* Bytes of a record, with the texts and arrays that it owns. */
uint64_t hw_record_own_bytes(const hw_records *records, uint64_t id);

/* Which reference of a record it is that leads to another: the first one. */
typedef struct {
    uint16_t edge;
    uint32_t entry; /* of an array */
} hw_record_link;
hw_record_link hw_record_link_between(const hw_records *records, uint64_t from, uint64_t to);

/* The shortest way from the root to a node, but for the edge that leads from one to the other at once: writes the nodes
 * between, and the node itself, to `path` (room for all nodes) and returns how many; 0: there is none. Scratch: an entry a
 * node. O(nodes + edges). */
uint32_t hw_record_graph_path(const hw_record_graph *graph, uint32_t to, uint32_t *path, uint32_t *scratch);

#endif
