/* Components and shortest cycles against reachability by closure: all graphs of three nodes, random ones of up to twelve, rings
 * of a million on a small stack. */
#undef NDEBUG
#include "core/cycles.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 12, EDGES_MAX = 64 };
static uint64_t state = 88172645463325252u;
static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)((state >> 16) % n);
}

/* distance[u][v]: edges of the shortest walk of at least one edge; Floyd and Warshall */
static void distances(const hw_digraph *g, uint32_t distance[NODES_MAX][NODES_MAX]) {
    for (uint32_t u = 0; u < g->nodes; u++)
        for (uint32_t v = 0; v < g->nodes; v++) distance[u][v] = 1000;
    for (uint32_t u = 0; u < g->nodes; u++)
        for (uint32_t e = g->first[u]; e < g->first[u + 1]; e++) distance[u][g->target[e]] = 1;
    for (uint32_t k = 0; k < g->nodes; k++)
        for (uint32_t u = 0; u < g->nodes; u++)
            for (uint32_t v = 0; v < g->nodes; v++)
                if (distance[u][k] + distance[k][v] < distance[u][v]) distance[u][v] = distance[u][k] + distance[k][v];
}

static void compare(const hw_digraph *g) {
    uint32_t component[NODES_MAX], scratch[HW_CYCLES_SCRATCH(NODES_MAX)], start[NODES_MAX + 1], members[NODES_MAX];
    uint32_t distance[NODES_MAX][NODES_MAX], cycle[NODES_MAX];
    distances(g, distance);
    uint32_t n = hw_components(g, component, scratch);
    for (uint32_t u = 0; u < g->nodes; u++) {
        assert(component[u] < n);
        for (uint32_t v = 0; v < g->nodes; v++) {
            bool together = u == v || (distance[u][v] < 1000 && distance[v][u] < 1000);
            assert((component[u] == component[v]) == together);
            if (distance[u][v] < 1000) assert(component[v] <= component[u]);
        }
    }
    hw_component_members(g->nodes, n, component, start, members);
    assert(start[0] == 0 && start[n] == g->nodes);
    for (uint32_t c = 0; c < n; c++) {
        uint32_t shortest = 1000, size = start[c + 1] - start[c];
        for (uint32_t i = start[c]; i < start[c + 1]; i++) {
            assert(component[members[i]] == c && (i == start[c] || members[i - 1] < members[i]));
            if (distance[members[i]][members[i]] < shortest) shortest = distance[members[i]][members[i]];
        }
        for (int tight = 0; tight < 2; tight++) {
            memset(scratch, 0xA5, sizeof scratch);
            hw_cycle found = hw_shortest_cycle(g, component, members + start[c], size, tight ? 0 : UINT64_MAX, cycle, scratch);
            assert(tight || found.exact);
            assert(found.exact ? found.length == (shortest == 1000 ? 0 : shortest) : found.length >= shortest);
            assert(found.length <= size);
            for (uint32_t i = 0; i < found.length; i++)
                assert(distance[cycle[i]][cycle[(i + 1) % found.length]] == 1);
        }
    }
}

static hw_digraph build(uint32_t nodes, uint32_t *first, uint32_t *target, bool (*edge)(uint32_t, uint32_t, uint64_t), uint64_t x) {
    uint32_t edges = 0;
    for (uint32_t u = 0; u < nodes; u++) {
        first[u] = edges;
        for (uint32_t v = 0; v < nodes; v++)
            if (edge(u, v, x)) target[edges++] = v;
    }
    first[nodes] = edges;
    return (hw_digraph){nodes, first, target};
}

static bool bit(uint32_t u, uint32_t v, uint64_t x) { return x >> (u * 3 + v) & 1; }
static bool sometimes(uint32_t u, uint32_t v, uint64_t x) { return (void)u, (void)v, random_below(16) < x; }

enum { RING = 1000000 };
static void *ring(void *unused) {
    uint32_t *first = malloc((RING + 1) * sizeof *first), *target = malloc(2 * RING * sizeof *target);
    uint32_t *component = malloc(RING * sizeof *component), *scratch = malloc(HW_CYCLES_SCRATCH(RING) * sizeof *scratch);
    uint32_t *members = malloc(RING * sizeof *members), *start = malloc((RING + 1) * sizeof *start);
    uint32_t *cycle = malloc(RING * sizeof *cycle);
    for (uint32_t chords = 0; chords < 2; chords++) { /* alone, and with an edge back to the start from the 500th */
        uint32_t edges = 0;
        for (uint32_t v = 0; v < RING; v++) {
            first[v] = edges;
            target[edges++] = (v + 1) % RING;
            if (chords && v == 499) target[edges++] = 0;
        }
        first[RING] = edges;
        hw_digraph g = {RING, first, target};
        uint32_t n = hw_components(&g, component, scratch);
        assert(n == 1);
        hw_component_members(RING, n, component, start, members);
        hw_cycle found = hw_shortest_cycle(&g, component, members, RING, 10 * (uint64_t)RING, cycle, scratch);
        assert(found.exact && found.length == (chords ? 500 : RING));
    }
    /* every node but one refers to an earlier one too, and the numbers are in no order: all cycles have that one in common */
    uint32_t *place = cycle, *who = members;
    for (uint32_t v = 0; v < RING; v++) {
        uint32_t other = random_below(v + 1);
        place[v] = place[other], place[other] = v;
    }
    for (uint32_t v = 0; v < RING; v++) who[place[v]] = v;
    for (uint32_t number = 0; number < RING; number++) {
        uint32_t v = who[number];
        first[number] = 2 * number;
        target[2 * number] = place[(v + RING - 1) % RING];
        target[2 * number + 1] = v == 0 ? target[2 * number] : place[random_below(v)];
    }
    first[RING] = 2 * RING;
    hw_digraph g = {RING, first, target};
    assert(hw_components(&g, component, scratch) == 1);
    hw_component_members(RING, 1, component, start, members);
    hw_cycle found = hw_shortest_cycle(&g, component, members, RING, 10 * (uint64_t)RING, cycle, scratch);
    assert(found.exact && found.length > 1 && found.length < 100);
    free(first), free(target), free(component), free(scratch), free(members), free(start), free(cycle);
    return unused;
}

int main(void) {
    uint32_t first[NODES_MAX + 1], target[NODES_MAX * NODES_MAX];
    hw_digraph g;
    for (uint64_t x = 0; x < 512; x++) g = build(3, first, target, bit, x), compare(&g);
    for (int i = 0; i < 4000; i++) {
        g = build(1 + random_below(NODES_MAX), first, target, sometimes, 1 + random_below(6));
        compare(&g);
    }
    pthread_attr_t small;
    pthread_t thread;
    assert(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 256 << 10) == 0);
    assert(pthread_create(&thread, &small, ring, NULL) == 0 && pthread_join(thread, NULL) == 0);
    return 0;
}
