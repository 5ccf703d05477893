#include "core/dominators.h"

#include <string.h>

#define NONE UINT32_MAX

/* Numbers the nodes in the order of a depth-first search. The way back is `parent`, so it is the stack too. `number` is of
 * a node, everything else is of a number. */
static uint32_t search(const hw_digraph *graph, uint32_t root, uint32_t *order, uint32_t *number, uint32_t *parent, uint32_t *position) {
    uint32_t reached = 0, at = 0;
    memset(number, 0xFF, graph->nodes * sizeof *number);
    number[root] = reached;
    order[reached] = root;
    parent[reached] = 0;
    position[reached++] = graph->first[root];
    for (;;) {
        if (position[at] == graph->first[order[at] + 1]) {
            if (at == 0) return reached;
            at = parent[at];
            continue;
        }
        uint32_t w = graph->target[position[at]++];
        if (number[w] != NONE) continue;
        number[w] = reached;
        order[reached] = w;
        parent[reached] = at;
        position[reached] = graph->first[w];
        at = reached++;
    }
}

/* The edges the other way round, in numbers. */
static void turn(const hw_digraph *graph, uint32_t reached, const uint32_t *order, const uint32_t *number, uint32_t *first, uint32_t *source) {
    memset(first, 0, (reached + (size_t)1) * sizeof *first);
    for (uint32_t i = 0; i < reached; i++)
        for (uint32_t e = graph->first[order[i]]; e != graph->first[order[i] + 1]; e++) first[number[graph->target[e]] + 1]++;
    for (uint32_t i = 0; i < reached; i++) first[i + 1] += first[i];
    for (uint32_t i = 0; i < reached; i++)
        for (uint32_t e = graph->first[order[i]]; e != graph->first[order[i] + 1]; e++) source[first[number[graph->target[e]]]++] = i;
    memmove(first + 1, first, reached * sizeof *first);
    first[0] = 0;
}

typedef struct {
    uint32_t *parent; /* in the forest of nodes that are linked; compressed */
    uint32_t *semi;
    uint32_t *label;  /* of the way from a node up to the root of its tree in the forest, that with the least semi */
    uint32_t *way;
} forest;

/* The label of v, when the nodes from `linked` on are in the forest. Compresses the way up. */
static uint32_t evaluate(forest *f, uint32_t v, uint32_t linked) {
    if (f->parent[v] < linked) return f->label[v];
    uint32_t count = 0;
    do {
        f->way[count++] = v;
        v = f->parent[v];
    } while (f->parent[v] >= linked);
    uint32_t above = v, least = f->label[v];
    while (count != 0) {
        v = f->way[--count];
        f->parent[v] = f->parent[above];
        if (f->semi[least] < f->semi[f->label[v]]) f->label[v] = least;
        else least = f->label[v];
        above = v;
    }
    return f->label[v];
}

uint32_t hw_dominators(const hw_digraph *graph, uint32_t root, uint32_t *order, uint32_t *above, uint32_t *scratch) {
    size_t n = graph->nodes;
    uint32_t *number = scratch, *first = scratch + 4 * n, *source = first + n + 1;
    forest f = {.parent = scratch + n, .semi = scratch + 2 * n, .label = scratch + 3 * n, .way = number};
    uint32_t reached = search(graph, root, order, number, f.parent, f.semi);
    turn(graph, reached, order, number, first, source); /* from here on `number` is free for ways */
    for (uint32_t i = 0; i < reached; i++) {
        f.semi[i] = f.label[i] = i;
        above[i] = f.parent[i];
    }
    for (uint32_t i = reached; i-- > 1;) {
        uint32_t semi = above[i];
        for (uint32_t e = first[i]; e != first[i + 1]; e++) {
            uint32_t of = f.semi[evaluate(&f, source[e], i + 1)];
            if (of < semi) semi = of;
        }
        f.semi[i] = semi;
    }
    /* the nearest dominator is the first ancestor in its own tree that is not below the semi-dominator */
    for (uint32_t i = 1; i < reached; i++)
        while (above[i] > f.semi[i]) above[i] = above[above[i]];
    return reached;
}
