/* The ordered set against a sorted array: random programs, invariants after each step, and the node bound at its limit. */
#undef NDEBUG
#include "core/ordered.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 3000 };
static hw_ordered_entry mirror[ENTRIES_MAX];
static uint32_t mirrored;
static uint64_t state = 88172645463325252u;

static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((state >> 16) % n);
}

static uint32_t position(uint64_t key) { /* of the first entry >= key */
    uint32_t i = 0;
    while (i < mirrored && mirror[i].key < key) i++;
    return i;
}

static void insert(hw_ordered *set, hw_ordered_node *nodes, hw_ordered_entry entry) {
    uint32_t i = position(entry.key);
    memmove(&mirror[i + 1], &mirror[i], (mirrored++ - i) * sizeof mirror[0]);
    mirror[i] = entry;
    hw_ordered_insert(set, nodes, entry);
}

static void erase(hw_ordered *set, hw_ordered_node *nodes, uint32_t i) {
    uint64_t key = mirror[i].key;
    memmove(&mirror[i], &mirror[i + 1], (--mirrored - i) * sizeof mirror[0]);
    hw_ordered_erase(set, nodes, key);
}

static void compare_search(const hw_ordered *set, const hw_ordered_node *nodes, uint64_t from, uint32_t weight) {
    for (int weighted = 0; weighted < 2; weighted++) {
        uint32_t i = position(from);
        while (weighted && i < mirrored && mirror[i].weight < weight) i++;
        hw_ordered_entry found;
        bool any = hw_ordered_first(set, nodes, from, weight, weighted, &found);
        assert(any == (i < mirrored));
        if (any) assert(found.key == mirror[i].key && found.reference == mirror[i].reference);
    }
}

static void random_program(uint32_t entries_max, uint32_t steps, uint32_t key_range) {
    uint32_t capacity = HW_ORDERED_NODES(entries_max);
    hw_ordered_node *nodes = malloc(capacity * sizeof *nodes);
    hw_ordered set;
    hw_ordered_init(&set, nodes, capacity);
    mirrored = 0;
    for (uint32_t step = 0; step < steps; step++) {
        bool growing = (step / (2 * entries_max)) % 2 == 0; /* waves: full, empty, full ... */
        hw_ordered_entry entry = {1 + random_below(key_range), step, random_below(1000)};
        uint32_t i = position(entry.key);
        bool present = i < mirrored && mirror[i].key == entry.key;
        if (random_below(10) < (growing ? 7u : 2u)) {
            if (!present && mirrored < entries_max) insert(&set, nodes, entry);
        } else if (mirrored > 0 && random_below(3) > 0) {
            erase(&set, nodes, random_below(mirrored));
        } else if (mirrored > 0 && !present) {
            uint32_t j = random_below(mirrored);
            uint64_t old = mirror[j].key;
            hw_ordered_replace(&set, nodes, old, entry);
            memmove(&mirror[j], &mirror[j + 1], (--mirrored - j) * sizeof mirror[0]);
            uint32_t k = position(entry.key);
            memmove(&mirror[k + 1], &mirror[k], (mirrored++ - k) * sizeof mirror[0]);
            mirror[k] = entry;
        }
        const char *broken = hw_ordered_check(&set, nodes);
        if (broken != NULL) fprintf(stderr, "step %u: %s\n", step, broken), abort();
        assert(set.count == mirrored);
        compare_search(&set, nodes, random_below(key_range), random_below(1000));
        compare_search(&set, nodes, 0, 1 + random_below(1000));
    }
    free(nodes);
}

static void worst_fill(void) { /* in order, so that every node stays at the minimum: the node bound is tight */
    uint32_t n = ENTRIES_MAX - 1, capacity = HW_ORDERED_NODES(n);
    hw_ordered_node *nodes = malloc(capacity * sizeof *nodes);
    hw_ordered set;
    for (int downward = 0; downward < 2; downward++) {
        hw_ordered_init(&set, nodes, capacity);
        mirrored = 0;
        for (uint32_t i = 0; i < n; i++)
            hw_ordered_insert(&set, nodes, (hw_ordered_entry){downward ? n - i : i + 1, i, i % 7});
        assert(hw_ordered_check(&set, nodes) == NULL);
    }
    hw_ordered_node saved = nodes[set.root]; /* a planted fault is found */
    nodes[set.root].weight[0] += 1;
    assert(hw_ordered_check(&set, nodes) != NULL);
    nodes[set.root] = saved;
    nodes[set.root].key[1] = 0;
    assert(hw_ordered_check(&set, nodes) != NULL);
    free(nodes);
}

int main(void) {
    random_program(10, 2000, 40);
    random_program(200, 20000, 1000);
    random_program(2500, 12000, 100000);
    worst_fill();
    puts("ordered: ok");
    return 0;
}
