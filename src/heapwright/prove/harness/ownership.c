/* Every graph of N nodes with two references each, and every set of nodes that somebody holds a handle of: what becomes of
 * them when all other handles are dropped, and then by collection.
 *
 *     ownership LAW N        LAW: count, acyclic, collect, weak
 *
 * Prints "holds: ..." and ends with 0, or "fails: ..." with the graph, and ends with 3. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/shared_graph.h"

enum { N_MAX = 5, REFERENCES = 2, SLOTS = N_MAX * REFERENCES + 8 };

static uint32_t n;
static uint32_t edge[N_MAX][REFERENCES]; /* n: none */
static bool held[N_MAX];
static int ended[N_MAX]; /* payloads, by node */

static hw_shared_graph graph;
static hw_shared_node nodes[N_MAX];
static uint32_t slots[SLOTS], candidates[N_MAX];
static unsigned long long cases;

static void fail(const char *what, uint32_t v) {
    printf("fails: %s %u; references", what, v);
    for (uint32_t u = 0; u < n; u++)
        for (uint32_t i = 0; i < REFERENCES; i++)
            if (edge[u][i] != n) printf(" %u.%u->%u", u, i, edge[u][i]);
    printf("; handles of");
    for (uint32_t u = 0; u < n; u++)
        if (held[u]) printf(" %u", u);
    printf("\n");
    exit(3);
}

static uint32_t strong(uint32_t v) { return atomic_load(&nodes[v].strong); }

enum { NEWBORN = 1000 };

/* Ending a value may run code that makes nodes: so every number that becomes free is used again at once, by a node with one
 * handle, which nothing that happens to the old ones may touch. */
static void dispose(void) {
    uint64_t payload;
    bool born[N_MAX] = {false};
    for (uint32_t v; (v = hw_shared_next_dead(&graph, &payload)) != HW_SHARED_NONE;) {
        if (payload != v || ++ended[v] != 1) fail("ended twice:", v);
        hw_shared_retire(&graph, v);
        uint32_t again = hw_shared_new(&graph, 0, false, NEWBORN);
        if (again != HW_SHARED_NONE) born[again] = true;
    }
    for (uint32_t v = 0; v < n; v++) {
        if (!born[v]) continue;
        if (strong(v) != 1) fail("another's count changed:", v);
        hw_shared_drop(&graph, v);
        hw_shared_bury(&graph, v);
    }
    for (uint32_t v; (v = hw_shared_next_dead(&graph, &payload)) != HW_SHARED_NONE;) {
        if (payload != NEWBORN) fail("ended by another's end:", v);
        hw_shared_retire(&graph, v);
    }
}

static void drop(uint32_t v) {
    enum hw_shared_dropped dropped = hw_shared_drop(&graph, v);
    if (dropped == HW_SHARED_DEAD) hw_shared_bury(&graph, v), dispose();
    if (dropped == HW_SHARED_SUSPECT) hw_shared_suspect(&graph, v);
}

/* The graph as it should be while the nodes of `alive` are and those of `handles` have one. */
static void counts(const bool *alive, const bool *handles) {
    uint32_t live = 0, where;
    for (uint32_t v = 0; v < n; v++) {
        uint32_t owners = handles[v];
        for (uint32_t u = 0; u < n; u++)
            for (uint32_t i = 0; i < REFERENCES; i++) owners += alive[u] && edge[u][i] == v;
        if (strong(v) != (alive[v] ? owners : 0)) fail("wrong count:", v);
        if (ended[v] != !alive[v]) fail(alive[v] ? "ended while owned:" : "not ended:", v);
        live += alive[v];
    }
    if (graph.live != live) fail("wrong number alive:", graph.live);
    if (hw_shared_check(&graph, &where) != NULL) fail(hw_shared_check(&graph, &where), where);
}

static void build(bool weak) {
    bool all[N_MAX] = {true, true, true, true, true};
    hw_shared_init(&graph, nodes, n, slots, SLOTS, candidates);
    memset(ended, 0, sizeof ended);
    for (uint32_t v = 0; v < n; v++) {
        if (hw_shared_new(&graph, REFERENCES, false, v) != v) fail("no node:", v);
        if (weak) hw_shared_downgrade(&graph, v);
    }
    for (uint32_t u = 0; u < n; u++)
        for (uint32_t i = 0; i < REFERENCES; i++)
            if (edge[u][i] != n) hw_shared_clone(&graph, edge[u][i]), hw_shared_set(&graph, u, i, edge[u][i]);
    counts(all, all);
    bool handles[N_MAX], alive[N_MAX];
    memcpy(handles, all, sizeof all);
    memcpy(alive, all, sizeof all);
    for (uint32_t v = 0; v < n; v++) {
        if (held[v]) continue;
        handles[v] = false;
        drop(v);
        for (bool again = true; again;) { /* counting, by its definition */
            again = false;
            for (uint32_t w = 0; w < n; w++) {
                bool owned = handles[w];
                for (uint32_t u = 0; u < n; u++)
                    for (uint32_t i = 0; i < REFERENCES; i++) owned |= alive[u] && edge[u][i] == w;
                if (alive[w] && !owned) alive[w] = false, again = true;
            }
        }
        counts(alive, handles);
    }
}

static void reach(uint32_t v, bool *reached) {
    if (v == n || reached[v]) return;
    reached[v] = true;
    for (uint32_t i = 0; i < REFERENCES; i++) reach(edge[v][i], reached);
}

static bool cyclic(void) {
    for (uint32_t v = 0; v < n; v++) {
        bool reached[N_MAX] = {false};
        for (uint32_t i = 0; i < REFERENCES; i++) reach(edge[v][i], reached);
        if (reached[v]) return true;
    }
    return false;
}

/* way: 0 the closure of the candidates, 1 the sweep, 2.. the closure, given up at budgets 0 .. way - 2 before */
static void collect(int way) {
    bool alive[N_MAX];
    build(false);
    for (uint32_t v = 0; v < n; v++) alive[v] = !ended[v];
    for (int budget = 0; budget < way - 1; budget++) {
        hw_shared_collection got = hw_shared_collect(&graph, budget);
        dispose();
        if (!got.aborted) break;
        counts(alive, held);
    }
    for (;;) { /* slots_used is the sweep's price: a budget just below it leaves only the closure */
        hw_shared_collection got = way == 1 ? hw_shared_trace(&graph) : hw_shared_collect(&graph, graph.slots_used - 1);
        dispose();
        if (got.aborted) got = hw_shared_collect(&graph, UINT64_MAX), dispose();
        if (got.collected == 0) break;
    }
    bool reached[N_MAX] = {false};
    for (uint32_t v = 0; v < n; v++)
        if (held[v]) reach(v, reached);
    counts(reached, held);
}

static void weak(void) {
    build(true);
    while (hw_shared_trace(&graph).collected != 0) dispose();
    for (uint32_t v = 0; v < n; v++) {
        bool alive = !ended[v];
        if (hw_shared_upgrade(&graph, v) != alive) fail(alive ? "not upgraded:" : "resurrected:", v);
        if (alive && strong(v) < 1) fail("upgraded to nothing:", v);
        if (alive) drop(v);
        if (alive == (ended[v] != 0)) fail("ended by a handle that came and went:", v);
    }
    uint32_t where;
    for (uint32_t v = 0; v < n; v++) hw_shared_drop_weak(&graph, v);
    if (hw_shared_check(&graph, &where) != NULL) fail(hw_shared_check(&graph, &where), where);
}

int main(int argc, char **argv) {
    n = (uint32_t)atoi(argv[2]);
    unsigned long long graphs = 1;
    for (uint32_t i = 0; i < n * REFERENCES; i++) graphs *= n + 1;
    for (unsigned long long g = 0; g < graphs; g++) {
        unsigned long long rest = g;
        for (uint32_t i = 0; i < n * REFERENCES; i++, rest /= n + 1) edge[i / REFERENCES][i % REFERENCES] = (uint32_t)(rest % (n + 1));
        for (uint32_t h = 0; h < 1u << n; h++) {
            for (uint32_t v = 0; v < n; v++) held[v] = h >> v & 1;
            cases++;
            if (strcmp(argv[1], "count") == 0) build(false);
            if (strcmp(argv[1], "acyclic") == 0 && !cyclic()) {
                bool reached[N_MAX] = {false};
                build(false);
                for (uint32_t v = 0; v < n; v++)
                    if (held[v]) reach(v, reached);
                counts(reached, held);
            }
            if (strcmp(argv[1], "collect") == 0)
                for (int way = 0; way < 2 + (int)(n * REFERENCES); way++) collect(way);
            if (strcmp(argv[1], "weak") == 0) weak();
        }
    }
    printf("holds: %llu cases\n", cases);
    return 0;
}
