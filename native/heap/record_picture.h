/* Record picture: a record graph (core/record_graph.h) with its memory, and what reports ask of it. Made and asked in one go,
 * while nobody else touches the heap and no cycle is under way; 44 bytes a record and 8 a reference at most until it is closed. */
#ifndef HW_HEAP_RECORD_PICTURE_H
#define HW_HEAP_RECORD_PICTURE_H

#include "core/dominators.h"
#include "core/record_graph.h"

typedef struct {
    const hw_records *records;
    hw_record_graph graph;
    uint32_t *room; /* for answers, and to work in: what a question needs */
    void *memory;
    size_t memory_bytes;
} hw_record_picture;

enum hw_record_question { HW_ASK_PATH, HW_ASK_DOMINATORS, HW_ASK_CYCLES };

/* A picture that can answer one question. 0, ENOMEM or EOVERFLOW: more records or references than can be numbered. */
int hw_record_picture_open(hw_record_picture *picture, const hw_records *records, enum hw_record_question question);
void hw_record_picture_close(hw_record_picture *picture);

/* ---- paths ---------------------------------------------------------------------------------------------------------- */

/* The shortest path from a root to a record, but for its own handle. Returns how many nodes it has, and *path is those: the
 * first a run (or a record that is a root by itself), the last the record. 0: there is none. */
uint32_t hw_record_picture_path(hw_record_picture *picture, uint64_t id, const uint32_t **path);

/* ---- dominators ----------------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t reached;               /* from the root, which is the first of them */
    const uint32_t *order, *above;  /* as in core/dominators.h */
    const uint64_t *retained_bytes; /* of each: what it has, and what it dominates has; nothing is a run's own */
    /* What one or another record of a pool retains, each byte once. Without all of them at once even more may go: what
     * only two of them keep together. */
    uint64_t by_pool[HW_RECORD_POOLS_MAX];
} hw_record_dominators;

void hw_record_picture_dominators(hw_record_picture *picture, hw_record_dominators *dominators);

/* ---- cycles --------------------------------------------------------------------------------------------------------- */

typedef struct {
    const uint32_t *path;   /* its records, around once */
    uint32_t length, size;  /* of it; of all records that reach each other */
    uint64_t outside;       /* references to these from others, handles and runs */
    bool reachable, exact;  /* from a root; that there is no shorter one, is proved */
} hw_record_cycle;

typedef struct {
    uint32_t count, records; /* groups of records that reach each other, and records in them */
    uint32_t dead_count, dead_records; /* of these, not reachable: garbage */
    uint32_t found;          /* cycles, of `most` at most: dead ones first, then large ones */
} hw_record_cycles;

/* Of groups of records that reach each other the shortest cycle each. `budget`: references to look at for one of them.
 * O(records + references), and O(groups log groups) to sort them, but for the search: see core/cycles.h. */
hw_record_cycles hw_record_picture_cycles(hw_record_picture *picture, uint64_t budget, uint32_t most, hw_record_cycle *cycles);

#endif
