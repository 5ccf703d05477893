/* Ordered set: the index over the holes of a heap. A B-tree of (key, reference, weight) entries, ordered by unique 64-bit
 * keys, where every subtree knows the greatest weight in it. So both "the first entry at or after this key" and "the
 * first one that weighs at least this much" take one or two descents.
 *
 * Why a B-tree and not a binary tree: with a million blocks a search costs what it misses in the cache, and a node of 15
 * entries in four cache lines divides the number of misses by three (docs/adr/0010-fit-index.md has the figures).
 *
 * The set lives in an array of nodes that the caller owns, and names nodes by 32-bit number: it holds no pointer, so the
 * bytes may be copied elsewhere and used there. A set of n entries never needs more than HW_ORDERED_NODES(n) nodes; a
 * caller with that many never sees an insertion fail.
 *
 * Invariants, walked by hw_ordered_check:
 *   O1  every node but the root has HW_ORDERED_MIN .. HW_ORDERED_MAX entries; an inner root has at least 2
 *   O2  all leaves are at depth `height`
 *   O3  keys increase strictly; the keys below entry i of an inner node are in [key[i], key[i + 1]), and key[0] is the
 *       bound that the parent has for the whole node (0 at the root)
 *   O4  the weight of an inner entry is the greatest weight below it; unused slots have weight 0 and the greatest key
 *   O5  every node is either reached once from the root or once from the list of free ones
 *   O6  `count` is the number of leaf entries
 *
 * Source: Bayer and McCreight, Organization and maintenance of large ordered indexes, Acta Informatica 1, 1972; single
 * pass (split and merge on the way down) after Guibas and Sedgewick, 1978. */
#ifndef HW_CORE_ORDERED_H
#define HW_CORE_ORDERED_H

#include "core/strategy.h"

enum { HW_ORDERED_MAX = 15, HW_ORDERED_MIN = 7, HW_ORDERED_HEIGHT_MAX = 12 };
#define HW_ORDERED_NODES(entries) ((entries) / 6 + 16) /* n/7 leaves, n/49 above them, ..., and a root path */
#define HW_ORDERED_NONE UINT32_MAX
#define HW_ORDERED_NODES_CACHED 4096 /* 1 MiB: about what a second-level cache has room for beside other things */

typedef struct {
    uint64_t key[HW_ORDERED_MAX];        /* leaf: the entry's; inner: no key below is less */
    uint32_t weight[HW_ORDERED_MAX + 1]; /* the last is always 0: whole vectors */
    uint32_t reference[HW_ORDERED_MAX];  /* leaf: the caller's; inner: the child node; free node: [0] = the next free */
    uint32_t count;
    uint32_t unused[2];
} hw_ordered_node;

_Static_assert(sizeof(hw_ordered_node) == 256, "four cache lines");

typedef struct {
    uint32_t root, height; /* height 0: the root is a leaf */
    uint32_t count;
    uint32_t nodes;   /* of the array, those ever used */
    uint32_t vacated; /* head of the list of those used no more */
    uint32_t capacity;
} hw_ordered;

typedef struct {
    uint64_t key;
    uint32_t reference, weight;
} hw_ordered_entry;

/* An empty set over `capacity` >= 1 nodes. */
void hw_ordered_init(hw_ordered *set, hw_ordered_node *nodes, uint32_t capacity);

/* `key` is not in the set. O(log n). */
void hw_ordered_insert(hw_ordered *set, hw_ordered_node *nodes, hw_ordered_entry entry);

/* `key` is in the set. O(log n). */
void hw_ordered_erase(hw_ordered *set, hw_ordered_node *nodes, uint64_t key);

/* Replaces the entry at `key`, which is in the set, by `entry`; entry.key is `key` or not in the set. O(log n), and a
 * single descent where the order of the entries stays the same. */
void hw_ordered_replace(hw_ordered *set, hw_ordered_node *nodes, uint64_t key, hw_ordered_entry entry);

/* The greatest entry; false if the set is empty. O(log n). */
bool hw_ordered_last(const hw_ordered *set, const hw_ordered_node *nodes, hw_ordered_entry *found);

/* NULL, or the name of the first invariant that does not hold. Never reads outside the array. O(n). */
const char *hw_ordered_check(const hw_ordered *set, const hw_ordered_node *nodes);

/* The child of an inner node, or the position in a leaf, where `key` belongs: the last i with key[i] <= key, else 0. */
HW_FUSED uint32_t hw_ordered_slot(const hw_ordered_node *node, uint64_t key) {
    uint32_t slot = 0; /* always over all slots (O4): a branch on `count` is one that is mispredicted */
#pragma GCC unroll 16
    for (uint32_t i = 1; i < HW_ORDERED_MAX; i++) slot += node->key[i] <= key;
    return slot;
}

/* Starts to bring the way to `key` from memory. Worth its instructions only where the set is larger than a cache. */
HW_FUSED void hw_ordered_expect(const hw_ordered *set, const hw_ordered_node *nodes, uint64_t key) {
    if (set->nodes < HW_ORDERED_NODES_CACHED) return;
    uint32_t number = set->root;
    for (uint32_t level = set->height; level > 0; level--)
        number = nodes[number].reference[hw_ordered_slot(&nodes[number], key)];
    for (uint32_t line = 0; line < sizeof *nodes; line += 64) __builtin_prefetch((const char *)&nodes[number] + line, 1);
}

/* The first entry of at least `weight` in a leaf or inner node from position i on, or HW_ORDERED_MAX. */
HW_FUSED uint32_t hw_ordered_heavy(const hw_ordered_node *node, uint32_t i, uint32_t weight, bool weighted) {
    for (; i < node->count; i++)
        if (!weighted || node->weight[i] >= weight) return i;
    return HW_ORDERED_MAX;
}

/* The first entry with key >= `from` and, if `weighted`, weight >= `weight`; false if there is none. Two descents at
 * most: one along `from`, which notes the last turn to the right that was worth taking, and one from that turn. Inline so
 * that `weighted`, a constant in every caller, costs nothing. */
HW_FUSED bool hw_ordered_first(const hw_ordered *set, const hw_ordered_node *nodes, uint64_t from, uint32_t weight,
                                    bool weighted, hw_ordered_entry *found) {
    const hw_ordered_node *node = &nodes[set->root], *turn = NULL;
    uint32_t level = set->height, turn_level = 0, i;
    for (;; level--) {
        i = from == 0 ? 0 : hw_ordered_slot(node, from);
        if (level == 0) {
            if (i < node->count && node->key[i] < from) i++;
            i = hw_ordered_heavy(node, i, weight, weighted);
            break;
        }
        uint32_t later = hw_ordered_heavy(node, i + 1, weight, weighted);
        if (later != HW_ORDERED_MAX) {
            turn = &nodes[node->reference[later]];
            turn_level = level - 1;
        }
        if (weighted && node->weight[i] < weight) {
            i = HW_ORDERED_MAX;
            break;
        }
        node = &nodes[node->reference[i]];
    }
    if (i == HW_ORDERED_MAX) {
        if (turn == NULL) return false;
        for (node = turn, level = turn_level;; level--) {
            i = hw_ordered_heavy(node, 0, weight, weighted); /* there is one: O4, or O1 where weights don't count */
            if (level == 0) break;
            node = &nodes[node->reference[i]];
        }
    }
    *found = (hw_ordered_entry){node->key[i], node->reference[i], node->weight[i]};
    return true;
}

#endif
