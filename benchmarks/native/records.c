/* What the kernels of a record heap cost: the node is (int64, float64, left, right), left is the node before and right any before
 * it; in the order of the addresses, or shuffled. `records N...`: at these sizes, else at a million and five. CPU time, the
 * median and the best of ROUNDS. Below Python, and without a rival: it is what the core could be no faster than. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/record_compact.h"
#include "core/record_sweep.h"

enum { ROUNDS = 5, HANDLES = 8, MAP = 16 };

typedef struct {
    int64_t key;
    double value;
    uint32_t left, right;
} node;

static const hw_record_edge EDGES[] = {{offsetof(node, left), HW_EDGE_NARROW, 0}, {offsetof(node, right), HW_EDGE_NARROW, 0}};
static const node BLANK = {0, 0, HW_RECORD_NONE, HW_RECORD_NONE};

static hw_records records;
static hw_record_pool pool;
static hw_record_handle_entry entries[HANDLES];
static uint32_t map[MAP], size, *order; /* order: where the i-th node is */
static uint64_t state = 88172645463325252u;

static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 16) % n);
}

static double cpu_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void *zeroed(size_t count, size_t bytes) {
    void *memory = calloc(count, bytes);
    if (memory == NULL) fputs("no memory\n", stderr), exit(1);
    return memory;
}

static void open_heap(void) {
    size_t words = (size + 63) / 64;
    hw_records_init(&records);
    hw_record_handles_init(&records.handles, entries, HANDLES, map, MAP);
    pool = (hw_record_pool){.records = zeroed(size, sizeof(node)), .stride_bytes = sizeof(node), .capacity = size, .edges = EDGES,
                            .edges_count = 2, .narrow_count = 2, .narrow_offset_bytes = offsetof(node, left),
                            .blank = (const unsigned char *)&BLANK};
    uint64_t **planes[] = {&pool.allocated, &pool.marked, &pool.old, &pool.logged, &pool.age[0], &pool.age[1]};
    for (size_t i = 0; i < sizeof planes / sizeof *planes; i++) *planes[i] = zeroed(words, sizeof(uint64_t));
    hw_records_add(&records, &pool);
    records.stack = zeroed(records.stack_capacity = size + 64, sizeof(uint64_t));
    records.log.entries = zeroed(records.log.capacity = size, sizeof(uint64_t));
    records.remembered.entries = zeroed(records.remembered.capacity = size, sizeof(uint64_t));
    order = zeroed(size, sizeof *order);
}

static void close_heap(void) {
    void *all[] = {pool.records, pool.allocated, pool.marked, pool.old, pool.logged, pool.age[0], pool.age[1],
                   records.stack, records.log.entries, records.remembered.entries, order};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static node *at(uint32_t index) { return (node *)(void *)hw_record_at(&pool, index); }

static void hold(uint32_t index) {
    hw_record_handle handle;
    bool fresh;
    hw_records_handle(&records, hw_record_id(0, index), 0, &handle, &fresh);
}

/* `size` nodes; those that `lives` says are linked to each other, the others to any. */
static void build(bool shuffled, bool half) {
    hw_record_make_run(&records, 0, size);
    for (uint32_t i = 0; i < size; i++) order[i] = i;
    for (uint32_t i = size - 1; shuffled && i > 0; i--) {
        uint32_t other = random_below(i + 1), kept = order[i];
        order[i] = order[other], order[other] = kept;
    }
    uint32_t live = 0; /* of the nodes so far: they are at the front of `order` */
    for (uint32_t i = 0; i < size; i++) {
        uint32_t index = order[i];
        *at(index) = (node){index, index, live == 0 ? HW_RECORD_NONE : order[live - 1], live == 0 ? HW_RECORD_NONE : order[random_below(live)]};
        if (!half || random_below(2) == 0) order[live++] = index;
    }
    hold(order[live - 1]);
}

static bool no_more(void *unused) { return false; }

/* ---- what is measured ------------------------------------------------------------------------------------------------ */

enum figure { MARK, SWEEP, WHOLE, MINOR, COMPACT, FIGURES };
static const char *const NAMES[FIGURES] = {"mark, all live", "sweep, half dead", "whole collection", "minor, 1 % young", "compact, half live"};

static double measure(enum figure figure, bool shuffled) {
    double before = 0, after = 0;
    open_heap();
    build(shuffled, figure == SWEEP || figure == COMPACT);
    switch (figure) {
    case MARK:
    case SWEEP:
        hw_records_begin(&records, false);
        hw_records_mark_roots(&records, UINT64_MAX);
        before = cpu_ms();
        hw_records_mark(&records, UINT64_MAX, false);
        after = cpu_ms();
        if (figure == SWEEP) before = after, hw_records_sweep(&records, UINT64_MAX), after = cpu_ms();
        break;
    case WHOLE:
        before = cpu_ms();
        hw_records_collect(&records, false, no_more, NULL);
        after = cpu_ms();
        break;
    case MINOR: /* of a hundred old nodes, one refers to a new one, and half of the new ones die */
        records.promote_after = 1, records.barrier = HW_BARRIER_GENERATIONS;
        hw_records_drop(&records, 0);
        hold(order[size - size / 100 - 1]);
        for (uint32_t i = size - size / 100; i < size; i++) pool.allocated[order[i] / 64] &= ~(UINT64_C(1) << order[i] % 64);
        pool.live -= size / 100, pool.hole_word = 0;
        hw_records_collect(&records, false, no_more, NULL);
        for (uint32_t i = 0; i < size / 100; i++) {
            uint32_t young = hw_record_make(&records, 0), parent = order[random_below(size - size / 100)];
            if (i % 2 == 0) hw_edge_store(&records, hw_record_id(0, parent), &EDGES[1], false, &at(parent)->right, hw_record_id(0, young));
        }
        before = cpu_ms();
        hw_records_collect(&records, true, no_more, NULL);
        after = cpu_ms();
        break;
    default: {
        hw_records_collect(&records, false, no_more, NULL);
        void *scratch = zeroed(1, hw_records_compact_bytes(&records));
        before = cpu_ms();
        hw_records_compact(&records, NULL, scratch);
        after = cpu_ms();
        free(scratch);
    }
    }
    close_heap();
    return after - before;
}

/* ns a store: as C has it, and with the barrier, which is off. */
static void measure_stores(void) {
    enum { STORES = 4000000 };
    double best[2] = {1e9, 1e9};
    open_heap();
    build(true, false);
    for (int round = 0; round < 2 * ROUNDS; round++) {
        double before = cpu_ms();
        for (uint32_t i = 0; i < STORES; i++) {
            uint32_t index = i * 2654435761u % size;
            if (round % 2 == 0) __atomic_store_n(&at(index)->right, i % size, __ATOMIC_RELAXED);
            else hw_edge_store(&records, hw_record_id(0, index), &EDGES[1], false, &at(index)->right, hw_record_id(0, i % size));
        }
        double ns = (cpu_ms() - before) * 1e6 / STORES;
        if (ns < best[round % 2]) best[round % 2] = ns;
    }
    close_heap();
    printf("%-12" PRIu32 "a store %.2f ns, with the idle barrier %.2f ns\n", size, best[0], best[1]);
}

static int compare(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

int main(int argc, char **argv) {
    static const char *const SIZES[] = {"1000000", "5000000"};
    int count = argc > 1 ? argc - 1 : 2;
    printf("%-12s%-22s%28s%28s\n", "nodes", "CPU ms, median (best)", "in order", "shuffled");
    for (int i = 0; i < count; i++) {
        size = (uint32_t)strtoul(argc > 1 ? argv[i + 1] : SIZES[i], NULL, 10);
        for (enum figure figure = 0; figure < FIGURES; figure++) {
            printf("%-12" PRIu32 "%-22s", size, NAMES[figure]);
            for (int shuffled = 0; shuffled < 2; shuffled++) {
                double ms[ROUNDS];
                for (int round = 0; round < ROUNDS; round++) ms[round] = measure(figure, shuffled);
                qsort(ms, ROUNDS, sizeof *ms, compare);
                printf("%19.2f (%6.2f)", ms[ROUNDS / 2], ms[0]);
            }
            printf("\n");
            fflush(stdout);
        }
        measure_stores();
    }
    return 0;
}
