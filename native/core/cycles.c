#include "core/cycles.h"

#include <string.h>

#define NONE UINT32_MAX

uint32_t hw_components(const hw_digraph *graph, uint32_t *component, uint32_t *scratch) {
    /* `own` is the order of visits. rindex is 0 before a visit; while a node's component is open, the least index it is
     * known to reach; and then the component's number, counted down from NONE - 1 so that it is above every index. */
    uint32_t n = graph->nodes, *rindex = component, *path = scratch, *position = scratch + n, *open = scratch + 2 * (size_t)n;
    uint32_t *own = scratch + 3 * (size_t)n, index = 1, closed = NONE - 1, open_count = 0, path_count;
    memset(rindex, 0, n * sizeof *rindex);
    for (uint32_t start = 0; start < n; start++) {
        if (rindex[start] != 0) continue;
        path[0] = start, path_count = 1;
        rindex[start] = own[start] = index++;
        position[start] = graph->first[start];
        while (path_count != 0) {
            uint32_t v = path[path_count - 1];
            if (position[v] != graph->first[v + 1]) {
                uint32_t w = graph->target[position[v]++];
                if (rindex[w] == 0) {
                    path[path_count++] = w;
                    rindex[w] = own[w] = index++;
                    position[w] = graph->first[w];
                } else if (rindex[w] < rindex[v]) {
                    rindex[v] = rindex[w];
                }
                continue;
            }
            path_count--;
            if (path_count != 0 && rindex[v] < rindex[path[path_count - 1]])
                rindex[path[path_count - 1]] = rindex[v];
            if (rindex[v] != own[v]) { /* reaches an earlier one: stays open until that one is done */
                open[open_count++] = v;
                continue;
            }
            while (open_count != 0 && own[open[open_count - 1]] > own[v]) rindex[open[--open_count]] = closed;
            rindex[v] = closed--;
        }
    }
    for (uint32_t v = 0; v < n; v++) component[v] = NONE - 1 - rindex[v];
    return NONE - 1 - closed;
}

void hw_component_members(uint32_t nodes, uint32_t n, const uint32_t *component, uint32_t *start, uint32_t *members) {
    memset(start, 0, (n + (size_t)1) * sizeof *start);
    for (uint32_t v = 0; v < nodes; v++) start[component[v] + 1]++;
    for (uint32_t c = 0; c < n; c++) start[c + 1] += start[c];
    for (uint32_t v = 0; v < nodes; v++) members[start[component[v]]++] = v;
    memmove(start + 1, start, n * sizeof *start);
    start[0] = 0;
}

/* What the searches within one component share; arrays are indexed by node, and only members' entries are ever used. */
typedef struct {
    const hw_digraph *graph;
    const uint32_t *component;
    uint32_t *inward; /* edges from members that are not out; NONE: out */
    uint32_t *seen;   /* the source of the latest search that came by */
    uint32_t *from;   /* and from where */
    uint32_t *queue;
    uint64_t edges;   /* looked at so far */
    uint32_t which;   /* the component */
    uint64_t budget;
    hw_cycle best;
    uint32_t *cycle; /* its nodes */
} search;

static bool is_in(const search *s, uint32_t v) { return s->component[v] == s->which && s->inward[v] != NONE; }

/* The shortest cycle through `source` of less than `limit` nodes: its last node, or NONE. */
static uint32_t last_before(search *s, uint32_t source, uint32_t limit, uint32_t *length) {
    uint32_t head = 0, tail = 1, level_end = 1, depth = 1;
    s->queue[0] = source;
    s->seen[source] = source;
    while (head != tail && depth < limit) {
        uint32_t v = s->queue[head++];
        for (uint32_t e = s->graph->first[v]; e != s->graph->first[v + 1]; e++) {
            uint32_t w = s->graph->target[e];
            s->edges++;
            if (w == source) {
                *length = depth;
                return v;
            }
            if (!is_in(s, w) || s->seen[w] == source) continue;
            s->seen[w] = source;
            s->from[w] = v;
            s->queue[tail++] = w;
        }
        if (head == level_end) level_end = tail, depth++;
    }
    return NONE;
}

/* No cycle goes through `source` any more, nor through what only it led to. */
static void take_out(search *s, uint32_t source) {
    uint32_t count = 1;
    s->queue[0] = source;
    s->inward[source] = NONE;
    while (count != 0) {
        uint32_t v = s->queue[--count];
        for (uint32_t e = s->graph->first[v]; e != s->graph->first[v + 1]; e++) {
            uint32_t w = s->graph->target[e];
            s->edges++;
            if (!is_in(s, w) || --s->inward[w] != 0) continue;
            s->inward[w] = NONE;
            s->queue[count++] = w;
        }
    }
}

/* Looks for a shorter cycle through `source`, the first time it comes by; true if there is one. */
static bool find_shorter(search *s, uint32_t source) {
    uint32_t length;
    if (!is_in(s, source) || s->best.length == 1) return false;
    if (s->best.length != 0 && s->edges >= s->budget) {
        s->best.exact = false;
        return false;
    }
    uint32_t last = last_before(s, source, s->best.length == 0 ? NONE : s->best.length, &length);
    if (last != NONE) {
        s->best.length = length;
        for (uint32_t at = length; at-- > 1; last = s->from[last]) s->cycle[at] = last;
        s->cycle[0] = source;
    }
    take_out(s, source);
    return last != NONE;
}

/* Turns the cycle until its least number is in front. */
static void turn(search *s) {
    uint32_t least = 0, length = s->best.length;
    for (uint32_t i = 1; i < length; i++)
        if (s->cycle[i] < s->cycle[least]) least = i;
    memcpy(s->queue, s->cycle, length * sizeof *s->queue);
    for (uint32_t i = 0; i < length; i++) s->cycle[i] = s->queue[(least + i) % length];
}

hw_cycle hw_shortest_cycle(const hw_digraph *graph, const uint32_t *component, const uint32_t *members, uint32_t size,
                           uint64_t budget, uint32_t *cycle, uint32_t *scratch) {
    size_t n = graph->nodes;
    search s = {graph, component, scratch, scratch + n, scratch + 2 * n, scratch + 3 * n, 0, component[members[0]], budget, {0, true}, cycle};
    for (uint32_t i = 0; i < size; i++) s.inward[members[i]] = 0, s.seen[members[i]] = NONE;
    for (uint32_t i = 0; i < size; i++)
        for (uint32_t e = graph->first[members[i]]; e != graph->first[members[i] + 1]; e++)
            if (component[graph->target[e]] == s.which) s.inward[graph->target[e]]++;
    for (uint32_t i = 0; i < size; i++) {
        if (!find_shorter(&s, members[i])) continue;
        for (uint32_t k = 1; k < s.best.length; k++) /* others of this cycle next: if all cycles have a node in common, it is one */
            if (find_shorter(&s, cycle[k])) k = 0;
    }
    turn(&s);
    return s.best;
}
