#include "core/shared_graph.h"

#include <assert.h>

enum colour {
    WHITE, /* not looked at */
    GREY,  /* looked at: `trial` is what no reference from another grey node explains */
    OWNED  /* reached from an owner outside */
};

#define NONE HW_SHARED_NONE

static uint32_t strong_of(const hw_shared_node *node) { return atomic_load_explicit(&node->strong, memory_order_relaxed); }

void hw_shared_init(hw_shared_graph *graph, hw_shared_node *nodes, uint32_t nodes_capacity, uint32_t *slots,
                    uint32_t slots_capacity, uint32_t *candidates) {
    *graph = (hw_shared_graph){
        .nodes = nodes,
        .slots = slots,
        .candidates = candidates,
        .nodes_capacity = nodes_capacity,
        .slots_capacity = slots_capacity,
        .free_node = NONE,
        .dead_first = NONE,
        .dead_last = NONE,
    };
    for (uint32_t i = 0; i <= HW_SHARED_REFERENCES_MAX; i++) graph->free_slots[i] = NONE;
}

/* ------------------------------------------------------------------------------------------------- numbers and slots */

static uint32_t take_slots(hw_shared_graph *graph, uint32_t references) {
    uint32_t first = graph->free_slots[references];
    if (references == 0) return 0;
    if (first != NONE) {
        graph->free_slots[references] = graph->slots[first];
    } else {
        if (graph->slots_capacity - graph->slots_used < references) return NONE;
        first = graph->slots_used;
        graph->slots_used += references;
    }
    for (uint32_t i = 0; i < references; i++) graph->slots[first + i] = NONE;
    return first;
}

static void give_slots(hw_shared_graph *graph, hw_shared_node *node) {
    if (node->references == 0) return;
    graph->slots[node->first] = graph->free_slots[node->references];
    graph->free_slots[node->references] = node->first;
    node->references = 0;
}

uint32_t hw_shared_new(hw_shared_graph *graph, uint32_t references, bool acyclic, uint64_t payload) {
    if (references > HW_SHARED_REFERENCES_MAX) return NONE;
    if (graph->free_node == NONE && graph->nodes_used == graph->nodes_capacity) return NONE;
    uint32_t first = take_slots(graph, references), number = graph->free_node;
    if (first == NONE) return NONE;
    if (number != NONE) graph->free_node = graph->nodes[number].link;
    else number = graph->nodes_used++;
    hw_shared_node *node = &graph->nodes[number];
    node->payload = payload;
    node->first = first;
    node->link = NONE;
    node->references = (uint8_t)references;
    node->colour = WHITE;
    node->acyclic = acyclic;
    atomic_store_explicit(&node->candidate, 0, memory_order_relaxed);
    atomic_store_explicit(&node->weak, 1, memory_order_relaxed);
    /* relaxed: the number reaches other threads through the handle that they are given */
    atomic_store_explicit(&node->strong, 1, memory_order_relaxed);
    graph->total_nodes++;
    if (++graph->live > graph->peak_live) graph->peak_live = graph->live;
    return number;
}

/* One of those who may still ask for the node asks no more. */
static void forget(hw_shared_graph *graph, uint32_t number) {
    hw_shared_node *node = &graph->nodes[number];
    if (atomic_fetch_sub_explicit(&node->weak, 1, memory_order_relaxed) != 1) return; /* structural: the lock orders it */
    node->link = graph->free_node;
    graph->free_node = number;
}

/* --------------------------------------------------------------------------------------------------------------- death */

void hw_shared_bury(hw_shared_graph *graph, uint32_t number) {
    assert(strong_of(&graph->nodes[number]) == 0);
    graph->live--;
    graph->nodes[number].link = NONE;
    if (graph->dead_first == NONE) graph->dead_first = number;
    else graph->nodes[graph->dead_last].link = number;
    graph->dead_last = number;
}

void hw_shared_suspect(hw_shared_graph *graph, uint32_t number) {
    hw_shared_node *node = &graph->nodes[number];
    if (strong_of(node) == 0 || node->acyclic || node->references == 0) return;
    if (atomic_load_explicit(&node->candidate, memory_order_relaxed)) return;
    atomic_store_explicit(&node->candidate, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&node->weak, 1, memory_order_relaxed);
    graph->candidates[graph->candidates_count++] = number;
}

/* Gives up a count that a reference held. */
static void release_reference(hw_shared_graph *graph, uint32_t target) {
    if (target == NONE) return;
    switch (hw_shared_drop(graph, target)) {
    case HW_SHARED_DEAD: hw_shared_bury(graph, target); break;
    case HW_SHARED_SUSPECT: hw_shared_suspect(graph, target); break;
    default: break;
    }
}

uint32_t hw_shared_next_dead(hw_shared_graph *graph, uint64_t *payload) {
    uint32_t number = graph->dead_first;
    if (number == NONE) return NONE;
    hw_shared_node *node = &graph->nodes[number];
    for (uint32_t i = 0; i < node->references; i++) release_reference(graph, graph->slots[node->first + i]);
    give_slots(graph, node);
    graph->dead_first = node->link; /* read last: what was just released is queued behind it */
    if (graph->dead_first == NONE) graph->dead_last = NONE;
    *payload = node->payload;
    return number;
}

void hw_shared_retire(hw_shared_graph *graph, uint32_t number) { forget(graph, number); }

/* ----------------------------------------------------------------------------------------- weak handles, references */

void hw_shared_downgrade(hw_shared_graph *graph, uint32_t number) {
    atomic_fetch_add_explicit(&graph->nodes[number].weak, 1, memory_order_relaxed);
}

bool hw_shared_upgrade(hw_shared_graph *graph, uint32_t number) {
    hw_shared_node *node = &graph->nodes[number];
    uint32_t now = strong_of(node);
    /* never from 0: what is dead stays dead, whoever else drops at this moment. acquire: with the payload as it is now */
    while (now != 0 && now < HW_SHARED_COUNT_MAX)
        if (atomic_compare_exchange_weak_explicit(&node->strong, &now, now + 1, memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

void hw_shared_drop_weak(hw_shared_graph *graph, uint32_t number) { forget(graph, number); }

uint32_t hw_shared_set(hw_shared_graph *graph, uint32_t number, uint32_t reference, uint32_t target) {
    hw_shared_node *node = &graph->nodes[number];
    assert(reference < node->references);
    uint32_t before = graph->slots[node->first + reference];
    graph->slots[node->first + reference] = target;
    return before;
}

uint32_t hw_shared_get(const hw_shared_graph *graph, uint32_t number, uint32_t reference) {
    const hw_shared_node *node = &graph->nodes[number];
    assert(reference < node->references);
    return graph->slots[node->first + reference];
}

/* ------------------------------------------------------------------------------------------------------- collection */

/* A list through `link`, in the order of arrival: what has been looked at, and at the same time what is to be. */
typedef struct {
    uint32_t first, last, count;
} visit;

static void look_at(hw_shared_graph *graph, visit *seen, uint32_t number) {
    hw_shared_node *node = &graph->nodes[number];
    node->colour = GREY;
    node->trial = strong_of(node);
    node->link = NONE;
    if (seen->last == NONE) seen->first = number;
    else graph->nodes[seen->last].link = number;
    seen->last = number;
    seen->count++;
}

/* Marks as owned what `number` reaches among the grey. The stack is threaded through `trial`, which an owned node does
 * not need. */
static void restore(hw_shared_graph *graph, uint32_t number) {
    uint32_t top = number;
    graph->nodes[number].colour = OWNED;
    graph->nodes[number].trial = NONE;
    while (top != NONE) {
        hw_shared_node *node = &graph->nodes[top];
        top = node->trial;
        for (uint32_t i = 0; i < node->references; i++) {
            uint32_t target = graph->slots[node->first + i];
            if (target == NONE || graph->nodes[target].colour != GREY) continue;
            graph->nodes[target].colour = OWNED;
            graph->nodes[target].trial = top;
            top = target;
        }
    }
}

/* Garbage is cut apart before any of it is buried: a number that is free again must not be found in an old reference. */
static void cut(hw_shared_graph *graph, hw_shared_node *garbage, bool others_live) {
    for (uint32_t i = 0; i < garbage->references; i++) {
        uint32_t *slot = &graph->slots[garbage->first + i];
        if (!others_live || (*slot != NONE && graph->nodes[*slot].colour == GREY)) *slot = NONE;
    }
    /* release: pairs with the acquire of an upgrade, which finds 0. Nobody counts here any more: there is no handle */
    atomic_store_explicit(&garbage->strong, 0, memory_order_release);
}

static void empty_candidates(hw_shared_graph *graph) {
    for (uint32_t i = 0; i < graph->candidates_count; i++) {
        uint32_t number = graph->candidates[i];
        atomic_store_explicit(&graph->nodes[number].candidate, 0, memory_order_relaxed);
        forget(graph, number);
    }
    graph->candidates_count = 0;
}

/* Slots lie roughly in the order of their nodes, so what is referred to from a few nodes further on can be asked for
 * now: the sweep below is one random access a reference, and waits for hardly any of them. */
static inline void ask_for_targets_after(const hw_shared_graph *graph, const hw_shared_node *node) {
    enum { AHEAD = 24 };
    uint32_t slot = node->first + AHEAD;
    if (slot + 1 >= graph->slots_used) return;
    for (uint32_t i = 0; i < 2; i++)
        if (graph->slots[slot + i] < graph->nodes_used) __builtin_prefetch(&graph->nodes[graph->slots[slot + i]], 1);
}

hw_shared_collection hw_shared_trace(hw_shared_graph *graph) {
    hw_shared_collection result = {.traced = true};
    uint32_t used = graph->nodes_used;
    bool any_owned = false;
    for (uint32_t number = 0; number < used; number++) {
        hw_shared_node *node = &graph->nodes[number];
        node->trial = strong_of(node);
        node->colour = node->trial != 0 ? GREY : WHITE;
        result.visited += node->trial != 0;
    }
    for (uint32_t number = 0; number < used; number++) {
        hw_shared_node *node = &graph->nodes[number];
        if (node->colour != GREY) continue;
        ask_for_targets_after(graph, node);
        for (uint32_t i = 0; i < node->references; i++) {
            uint32_t target = graph->slots[node->first + i];
            if (target != NONE) graph->nodes[target].trial--;
        }
    }
    for (uint32_t number = 0; number < used; number++)
        if (graph->nodes[number].colour == GREY && graph->nodes[number].trial != 0) {
            any_owned = true;
            restore(graph, number);
        }
    for (uint32_t number = 0; number < used; number++)
        if (graph->nodes[number].colour == GREY) cut(graph, &graph->nodes[number], any_owned);
    empty_candidates(graph);
    for (uint32_t number = 0; number < used; number++) {
        hw_shared_node *node = &graph->nodes[number];
        if (node->colour == GREY) {
            hw_shared_bury(graph, number);
            result.collected++;
        }
        node->colour = WHITE;
    }
    graph->total_collected += result.collected;
    return result;
}

hw_shared_collection hw_shared_collect(hw_shared_graph *graph, uint64_t budget) {
    hw_shared_collection result = {0};
    visit seen = {NONE, NONE, 0};
    uint32_t share = graph->live / HW_SHARED_TRACE_SHARE;
    if (graph->candidates_count > share && budget >= graph->slots_used) return hw_shared_trace(graph);
    for (uint32_t i = 0; i < graph->candidates_count; i++) {
        hw_shared_node *node = &graph->nodes[graph->candidates[i]];
        if (strong_of(node) != 0 && node->colour == WHITE) look_at(graph, &seen, graph->candidates[i]);
    }
    for (uint32_t number = seen.first; number != NONE; number = graph->nodes[number].link) {
        hw_shared_node *node = &graph->nodes[number];
        if (node->references > budget) result.aborted = true;
        else if (seen.count > share && budget >= graph->slots_used) result.traced = true;
        if (result.aborted || result.traced) break;
        budget -= node->references;
        for (uint32_t i = 0; i < node->references; i++) {
            uint32_t target = graph->slots[node->first + i];
            if (target == NONE || graph->nodes[target].acyclic) continue;
            if (graph->nodes[target].colour == WHITE) look_at(graph, &seen, target);
            graph->nodes[target].trial--;
        }
    }
    result.visited = seen.count;
    if (result.traced || result.aborted) {
        for (uint32_t number = seen.first; number != NONE; number = graph->nodes[number].link)
            graph->nodes[number].colour = WHITE;
        return result.aborted ? result : hw_shared_trace(graph);
    }
    for (uint32_t number = seen.first; number != NONE; number = graph->nodes[number].link)
        if (graph->nodes[number].colour == GREY && graph->nodes[number].trial != 0) restore(graph, number);
    for (uint32_t number = seen.first; number != NONE; number = graph->nodes[number].link)
        if (graph->nodes[number].colour == GREY) cut(graph, &graph->nodes[number], true);
    empty_candidates(graph);
    for (uint32_t number = seen.first, next; number != NONE; number = next) {
        next = graph->nodes[number].link; /* burying threads the node into another list */
        if (graph->nodes[number].colour == GREY) {
            hw_shared_bury(graph, number);
            result.collected++;
        }
        graph->nodes[number].colour = WHITE;
    }
    graph->total_collected += result.collected;
    return result;
}

/* ------------------------------------------------------------------------------------------------------------ check */

const char *hw_shared_check(hw_shared_graph *graph, uint32_t *number) {
    uint32_t live = 0, slots = 0, marked = 0, free = 0;
    for (*number = 0; *number < graph->nodes_used; ++*number) {
        hw_shared_node *node = &graph->nodes[*number];
        uint32_t weak = atomic_load_explicit(&node->weak, memory_order_relaxed), strong = strong_of(node);
        uint32_t candidate = atomic_load_explicit(&node->candidate, memory_order_relaxed);
        node->trial = strong;
        live += strong != 0;
        marked += weak != 0 && candidate;
        free += weak == 0;
        if (weak < (strong != 0) + candidate) return "R2";
        if (node->colour != WHITE) return "R5";
        if (strong == 0) continue;
        slots += node->references;
        if (node->references != 0 && node->first + node->references > graph->slots_used) return "R3";
    }
    for (*number = 0; *number < graph->nodes_used; ++*number) {
        hw_shared_node *node = &graph->nodes[*number];
        for (uint32_t i = 0; strong_of(node) != 0 && i < node->references; i++) {
            uint32_t target = graph->slots[node->first + i];
            if (target == NONE) continue;
            if (target >= graph->nodes_used || strong_of(&graph->nodes[target]) == 0) return "R3";
            if (graph->nodes[target].trial-- == 0) return "R1";
        }
    }
    for (uint32_t n = 0; n <= HW_SHARED_REFERENCES_MAX; n++)
        for (uint32_t first = graph->free_slots[n]; first != NONE; first = graph->slots[first]) {
            if (first + n > graph->slots_used || slots > graph->slots_used) return "R3";
            slots += n;
        }
    if (slots != graph->slots_used) return "R3";
    for (uint32_t n = graph->free_node; n != NONE; n = graph->nodes[n].link)
        if (n >= graph->nodes_used || free-- == 0) return "R2";
    if (free != 0) return "R2";
    for (uint32_t i = 0; i < graph->candidates_count; i++, marked--)
        if (!atomic_load_explicit(&graph->nodes[graph->candidates[i]].candidate, memory_order_relaxed)) return "R4";
    if (marked != 0) return "R4";
    return live == graph->live ? NULL : "R5";
}
