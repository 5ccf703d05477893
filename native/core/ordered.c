#include "core/ordered.h"

#include <assert.h>
#include <string.h>

typedef struct { /* the way from the root to a leaf, and which keys may stand in that leaf */
    hw_ordered_node *node[HW_ORDERED_HEIGHT_MAX + 1];
    uint32_t slot[HW_ORDERED_HEIGHT_MAX + 1];
    uint64_t least, beyond; /* least <= key < beyond */
} path;

static uint32_t heaviest(const hw_ordered_node *node) {
    uint32_t greatest = 0;
#pragma GCC unroll 16
    for (uint32_t i = 0; i < HW_ORDERED_MAX + 1; i++) greatest = node->weight[i] > greatest ? node->weight[i] : greatest;
    return greatest;
}

static uint32_t take_node(hw_ordered *set, hw_ordered_node *nodes) {
    uint32_t number = set->vacated;
    if (number != HW_ORDERED_NONE) {
        set->vacated = nodes[number].reference[0];
    } else {
        assert(set->nodes < set->capacity); /* HW_ORDERED_NODES */
        number = set->nodes++;
    }
    memset(&nodes[number], 0, sizeof nodes[number]);
    memset(nodes[number].key, 0xFF, sizeof nodes[number].key);
    return number;
}

static void vacate_node(hw_ordered *set, hw_ordered_node *nodes, uint32_t number) {
    nodes[number].count = 0;
    nodes[number].reference[0] = set->vacated;
    set->vacated = number;
}

/* Moves `n` entries between two nodes or within one; the receiver has room for them. */
static void move_entries(hw_ordered_node *to, uint32_t at, const hw_ordered_node *from, uint32_t i, uint32_t n) {
    memmove(&to->key[at], &from->key[i], n * sizeof to->key[0]);
    memmove(&to->reference[at], &from->reference[i], n * sizeof to->reference[0]);
    memmove(&to->weight[at], &from->weight[i], n * sizeof to->weight[0]);
}

static void resize_node(hw_ordered_node *node, uint32_t count) {
    for (uint32_t i = count; i < node->count; i++) node->weight[i] = 0, node->key[i] = UINT64_MAX; /* O4 */
    node->count = count;
}

static void open_slot(hw_ordered_node *node, uint32_t i, hw_ordered_entry entry) {
    assert(node->count < HW_ORDERED_MAX);
    move_entries(node, i + 1, node, i, node->count - i);
    node->key[i] = entry.key;
    node->reference[i] = entry.reference;
    node->weight[i] = entry.weight;
    node->count++;
}

static void close_slot(hw_ordered_node *node, uint32_t i) {
    move_entries(node, i, node, i + 1, node->count - i - 1);
    resize_node(node, node->count - 1);
}

/* Splits the full child i of `parent`, which is not full, into i and i + 1. */
static void split_child(hw_ordered *set, hw_ordered_node *nodes, hw_ordered_node *parent, uint32_t i) {
    uint32_t number = take_node(set, nodes);
    hw_ordered_node *left = &nodes[parent->reference[i]], *right = &nodes[number];
    uint32_t kept = HW_ORDERED_MAX - HW_ORDERED_MIN;
    move_entries(right, 0, left, kept, HW_ORDERED_MIN);
    right->count = HW_ORDERED_MIN;
    resize_node(left, kept);
    parent->weight[i] = heaviest(left);
    open_slot(parent, i + 1, (hw_ordered_entry){right->key[0], number, heaviest(right)});
}

/* Gives child i of `parent` more than the minimum of entries: from a neighbour that can spare one, else by merging with a
 * neighbour. */
static void fill_child(hw_ordered *set, hw_ordered_node *nodes, hw_ordered_node *parent, uint32_t i) {
    uint32_t l = i > 0 ? i - 1 : i, r = l + 1; /* the pair: child i and a neighbour */
    hw_ordered_node *left = &nodes[parent->reference[l]], *right = &nodes[parent->reference[r]];
    hw_ordered_node *spare = i == l ? right : left;
    if (spare->count == HW_ORDERED_MIN) {
        move_entries(left, left->count, right, 0, right->count);
        left->count += right->count;
        vacate_node(set, nodes, parent->reference[r]);
        close_slot(parent, r);
    } else {
        uint32_t from = spare == left ? left->count - 1 : 0;
        hw_ordered_entry lent = {spare->key[from], spare->reference[from], spare->weight[from]};
        close_slot(spare, from);
        open_slot(spare == left ? right : left, spare == left ? 0 : left->count, lent);
        parent->key[r] = right->key[0];
        parent->weight[r] = heaviest(right);
    }
    parent->weight[l] = heaviest(left);
}

/* After a change in the leaf: the weights above it, up to the first that was right already. */
static void reweigh(const path *way, uint32_t height) {
    for (uint32_t level = 1; level <= height; level++) {
        uint32_t weight = heaviest(way->node[level - 1]);
        uint32_t *known = &way->node[level]->weight[way->slot[level]];
        if (*known == weight) return;
        *known = weight;
    }
}

static void descend(const hw_ordered *set, hw_ordered_node *nodes, uint64_t key, path *way) {
    hw_ordered_node *node = &nodes[set->root];
    way->least = 0;
    way->beyond = UINT64_MAX;
    for (uint32_t level = set->height;; level--) {
        uint32_t i = hw_ordered_slot(node, key);
        way->node[level] = node;
        way->slot[level] = i;
        if (level == 0) return;
        if (i > 0) way->least = node->key[i];
        if (i + 1 < node->count) way->beyond = node->key[i + 1];
        node = &nodes[node->reference[i]];
    }
}

void hw_ordered_init(hw_ordered *set, hw_ordered_node *nodes, uint32_t capacity) {
    *set = (hw_ordered){.vacated = HW_ORDERED_NONE, .capacity = capacity};
    set->root = take_node(set, nodes);
}

void hw_ordered_insert(hw_ordered *set, hw_ordered_node *nodes, hw_ordered_entry entry) {
    if (nodes[set->root].count == HW_ORDERED_MAX) {
        uint32_t number = take_node(set, nodes);
        hw_ordered_node *root = &nodes[number];
        root->key[0] = 0;
        root->reference[0] = set->root;
        root->count = 1;
        set->root = number;
        set->height++;
        assert(set->height <= HW_ORDERED_HEIGHT_MAX);
        split_child(set, nodes, root, 0);
    }
    hw_ordered_node *node = &nodes[set->root];
    for (uint32_t level = set->height; level > 0; level--) {
        uint32_t i = hw_ordered_slot(node, entry.key);
        if (nodes[node->reference[i]].count == HW_ORDERED_MAX) {
            split_child(set, nodes, node, i);
            i = hw_ordered_slot(node, entry.key);
        }
        if (node->weight[i] < entry.weight) node->weight[i] = entry.weight;
        node = &nodes[node->reference[i]];
    }
    uint32_t at = hw_ordered_slot(node, entry.key);
    if (node->count > 0 && node->key[at] < entry.key) at++;
    open_slot(node, at, entry);
    set->count++;
}

void hw_ordered_erase(hw_ordered *set, hw_ordered_node *nodes, uint64_t key) {
    path way;
    hw_ordered_node *node = &nodes[set->root];
    for (uint32_t level = set->height; level > 0; level--) {
        uint32_t i = hw_ordered_slot(node, key);
        if (nodes[node->reference[i]].count == HW_ORDERED_MIN) {
            fill_child(set, nodes, node, i);
            i = hw_ordered_slot(node, key);
        }
        way.node[level] = node;
        way.slot[level] = i;
        node = &nodes[node->reference[i]];
    }
    uint32_t at = hw_ordered_slot(node, key);
    assert(at < node->count && node->key[at] == key);
    way.node[0] = node;
    close_slot(node, at);
    reweigh(&way, set->height);
    set->count--;
    while (set->height > 0 && nodes[set->root].count == 1) {
        uint32_t child = nodes[set->root].reference[0];
        vacate_node(set, nodes, set->root);
        set->root = child;
        set->height--;
    }
}

void hw_ordered_replace(hw_ordered *set, hw_ordered_node *nodes, uint64_t key, hw_ordered_entry entry) {
    path way;
    descend(set, nodes, key, &way);
    hw_ordered_node *leaf = way.node[0];
    uint32_t at = way.slot[0];
    assert(at < leaf->count && leaf->key[at] == key);
    bool after_left = at == 0 ? entry.key >= way.least : leaf->key[at - 1] < entry.key;
    bool before_right = at + 1 == leaf->count ? entry.key < way.beyond : entry.key < leaf->key[at + 1];
    if (!after_left || !before_right) {
        hw_ordered_erase(set, nodes, key);
        hw_ordered_insert(set, nodes, entry);
        return;
    }
    leaf->key[at] = entry.key;
    leaf->reference[at] = entry.reference;
    leaf->weight[at] = entry.weight;
    reweigh(&way, set->height);
}

bool hw_ordered_last(const hw_ordered *set, const hw_ordered_node *nodes, hw_ordered_entry *found) {
    const hw_ordered_node *node = &nodes[set->root];
    if (set->count == 0) return false;
    for (uint32_t level = set->height; level > 0; level--) node = &nodes[node->reference[node->count - 1]];
    *found = (hw_ordered_entry){node->key[node->count - 1], node->reference[node->count - 1],
                                node->weight[node->count - 1]};
    return true;
}

/* One node by itself, reached with the bounds and the weight that its parent has for it. */
static const char *check_node(const hw_ordered_node *node, bool root, bool leaf, uint64_t least, uint32_t weight) {
    uint32_t fewest = !root ? HW_ORDERED_MIN : leaf ? 0 : 2;
    if (node->count < fewest || node->count > HW_ORDERED_MAX) return "O1";
    for (uint32_t i = 1; i < node->count; i++)
        if (node->key[i] <= node->key[i - 1]) return "O3";
    if (node->count > 0 && (leaf ? node->key[0] < least : node->key[0] != least)) return "O3";
    for (uint32_t i = node->count; i < HW_ORDERED_MAX; i++)
        if (node->weight[i] != 0 || node->key[i] != UINT64_MAX) return "O4";
    return root || heaviest(node) == weight ? NULL : "O4";
}

const char *hw_ordered_check(const hw_ordered *set, const hw_ordered_node *nodes) {
    uint32_t number[HW_ORDERED_HEIGHT_MAX + 1], next[HW_ORDERED_HEIGHT_MAX + 1];
    uint64_t beyond[HW_ORDERED_HEIGHT_MAX + 1];
    uint32_t level = set->height, reached = 1, entries = 0;
    if (set->nodes > set->capacity || set->root >= set->nodes) return "O5";
    if (set->height > HW_ORDERED_HEIGHT_MAX) return "O2";
    const char *broken = check_node(&nodes[set->root], true, level == 0, 0, 0);
    number[level] = set->root, next[level] = 0, beyond[level] = UINT64_MAX;
    while (broken == NULL) {
        const hw_ordered_node *node = &nodes[number[level]];
        if (level == 0) {
            if (node->count > 0 && node->key[node->count - 1] >= beyond[0]) return "O3";
            entries += node->count;
        }
        if (level == 0 || next[level] == node->count) {
            if (level == set->height) break;
            level++;
            continue;
        }
        uint32_t i = next[level]++;
        if (node->reference[i] >= set->nodes || ++reached > set->nodes) return "O5";
        beyond[level - 1] = i + 1 < node->count ? node->key[i + 1] : beyond[level];
        level--;
        number[level] = node->reference[i], next[level] = 0;
        broken = check_node(&nodes[number[level]], false, level == 0, node->key[i], node->weight[i]);
    }
    if (broken != NULL) return broken;
    for (uint32_t n = set->vacated; n != HW_ORDERED_NONE; n = nodes[n].reference[0])
        if (n >= set->nodes || ++reached > set->nodes) return "O5";
    if (reached != set->nodes) return "O5";
    return entries == set->count ? NULL : "O6";
}
