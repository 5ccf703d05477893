/* The shared graph against the definition "alive is what a handle reaches": random programs, collections given up at every
 * budget, and threads that count while others collect. Long chains: test_long_chain.c. */
#undef NDEBUG
#include "core/shared_graph.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os/lock.h"

enum { NODES = 64, REFERENCES = 4, SLOTS = NODES * REFERENCES };

static uint64_t state = 88172645463325252u;
static uint32_t random_below(uint32_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)((state >> 16) % n);
}

/* ----------------------------------------------------------------------------------------------- against a model */

static hw_shared_graph graph;
static hw_shared_node nodes[NODES];
static uint32_t slots[SLOTS], candidates[NODES];

static struct { /* by number; what the graph should know */
    bool alive, acyclic;
    uint32_t handles, weak, references, edge[REFERENCES];
    uint64_t payload;
} model[NODES];
static uint64_t next_payload;
static uint32_t made, disposed; /* payloads, in all */

static uint32_t owners(uint32_t number) {
    uint32_t count = model[number].handles;
    for (uint32_t v = 0; v < NODES; v++)
        for (uint32_t i = 0; model[v].alive && i < model[v].references; i++) count += model[v].edge[i] == number;
    return count;
}

static void create(void) {
    uint32_t references = random_below(REFERENCES + 1);
    bool acyclic = random_below(8) == 0; /* a promise that random_program keeps: it refers to nothing that refers on */
    uint32_t number = hw_shared_new(&graph, references, acyclic, ++next_payload);
    if (number == HW_SHARED_NONE) return;
    assert(model[number].payload == 0 && model[number].weak == 0);
    model[number].alive = true, model[number].handles = 1, model[number].acyclic = acyclic;
    model[number].references = references, model[number].payload = next_payload;
    for (uint32_t i = 0; i < REFERENCES; i++) model[number].edge[i] = HW_SHARED_NONE;
    made++;
}

static void dispose(void) {
    uint64_t payload;
    for (uint32_t number; (number = hw_shared_next_dead(&graph, &payload)) != HW_SHARED_NONE;) {
        assert(payload == model[number].payload);
        model[number].payload = 0; /* once */
        disposed++;
        hw_shared_retire(&graph, number);
        if (random_below(3) == 0) create(); /* as a payload's own destructor may: numbers are used again meanwhile */
    }
}

static void die(uint32_t number) { /* the model: counting alone */
    model[number].alive = false;
    for (uint32_t i = 0; i < model[number].references; i++) {
        uint32_t target = model[number].edge[i];
        model[number].edge[i] = HW_SHARED_NONE;
        if (target != HW_SHARED_NONE && model[target].alive && owners(target) == 0) die(target);
    }
}

static void drop(uint32_t number) {
    enum hw_shared_dropped dropped = hw_shared_drop(&graph, number);
    model[number].handles--;
    assert((dropped == HW_SHARED_DEAD) == (owners(number) == 0));
    if (dropped == HW_SHARED_DEAD) {
        hw_shared_bury(&graph, number);
        die(number);
        dispose();
    } else if (dropped == HW_SHARED_SUSPECT) {
        hw_shared_suspect(&graph, number);
    }
}

static void agree(void) {
    uint32_t where, live = 0;
    const char *broken = hw_shared_check(&graph, &where);
    if (broken != NULL) fprintf(stderr, "%s at %u\n", broken, where), abort();
    for (uint32_t v = 0; v < NODES; v++) {
        uint32_t strong = v < graph.nodes_used ? atomic_load(&nodes[v].strong) : 0;
        assert(strong == (model[v].alive ? owners(v) : 0));
        live += model[v].alive;
    }
    assert(graph.live == live);
}

static void reach(uint32_t number, bool *reached) {
    if (reached[number]) return;
    reached[number] = true;
    for (uint32_t i = 0; i < model[number].references; i++)
        if (model[number].edge[i] != HW_SHARED_NONE) reach(model[number].edge[i], reached);
}

/* Collect as often as it finds anything: then alive is what a handle reaches, no more and no less. */
static void collect(bool trace) {
    bool reached[NODES] = {false};
    hw_shared_collection got;
    for (uint64_t budget = random_below(40); !trace && budget < 60; budget += 1 + random_below(20)) {
        got = hw_shared_collect(&graph, budget);
        if (!got.aborted) break;
        agree();
    }
    do {
        got = trace ? hw_shared_trace(&graph) : hw_shared_collect(&graph, UINT64_MAX);
        dispose();
    } while (got.collected != 0);
    for (uint32_t v = 0; v < NODES; v++)
        if (model[v].alive && model[v].handles != 0) reach(v, reached);
    for (uint32_t v = 0; v < NODES; v++)
        if (!reached[v]) model[v].alive = false;
    for (uint32_t v = 0; v < NODES; v++)
        for (uint32_t i = 0; !model[v].alive && i < REFERENCES; i++) model[v].edge[i] = HW_SHARED_NONE;
    agree();
}

static uint32_t any(bool (*wanted)(uint32_t)) { /* a random number that is wanted, or none */
    for (uint32_t from = random_below(NODES), i = 0; i < NODES; i++)
        if (wanted((from + i) % NODES)) return (from + i) % NODES;
    return HW_SHARED_NONE;
}
static bool held(uint32_t v) { return model[v].alive && model[v].handles != 0; }
static bool watched(uint32_t v) { return model[v].weak != 0; }

static void random_program(uint32_t steps) {
    hw_shared_init(&graph, nodes, NODES, slots, SLOTS, candidates);
    memset(model, 0, sizeof model);
    for (uint32_t v = 0; v < NODES; v++)
        for (uint32_t i = 0; i < REFERENCES; i++) model[v].edge[i] = HW_SHARED_NONE;
    made = disposed = 0;
    for (uint32_t step = 0; step < steps; step++) {
        uint32_t action = random_below(100), v = any(held), w = any(watched), u = any(held);
        if (action < 25) {
            create();
        } else if (action < 35 && v != HW_SHARED_NONE) {
            assert(hw_shared_clone(&graph, v));
            model[v].handles++;
        } else if (action < 60 && v != HW_SHARED_NONE) {
            drop(v);
        } else if (action < 80 && v != HW_SHARED_NONE && model[v].references != 0 &&
                   (!model[v].acyclic || model[u].references == 0)) {
            uint32_t i = random_below(model[v].references), target = random_below(4) == 0 ? HW_SHARED_NONE : u;
            if (target != HW_SHARED_NONE) assert(hw_shared_clone(&graph, target));
            uint32_t before = hw_shared_set(&graph, v, i, target);
            assert(before == model[v].edge[i] && hw_shared_get(&graph, v, i) == target);
            model[v].edge[i] = target;
            if (before != HW_SHARED_NONE) {
                model[before].handles++; /* its count is ours now */
                drop(before);
            }
        } else if (action < 85 && v != HW_SHARED_NONE) {
            hw_shared_downgrade(&graph, v);
            model[v].weak++;
        } else if (action < 90 && w != HW_SHARED_NONE) {
            assert(hw_shared_upgrade(&graph, w) == model[w].alive);
            if (model[w].alive) model[w].handles++;
        } else if (action < 95 && w != HW_SHARED_NONE) {
            hw_shared_drop_weak(&graph, w);
            model[w].weak--;
        } else if (action >= 97) {
            collect(action == 99);
        }
        agree();
    }
    do { /* disposing makes new ones, fewer each time */
        for (uint32_t v = 0; v < NODES; v++) {
            while (model[v].alive && model[v].handles != 0) drop(v);
            while (model[v].weak != 0) hw_shared_drop_weak(&graph, v), model[v].weak--;
        }
        collect(false);
    } while (graph.live != 0);
    assert(disposed == made);
}

/* ------------------------------------------------------------------------------------------------------------ threads */

enum { THREADS = 4, SHARED = 16, ROUNDS = 20000 };
static hw_lock lock;
static atomic_uint disposals;

static void lay_to_rest(uint32_t number, enum hw_shared_dropped dropped) {
    uint64_t payload;
    if (dropped == HW_SHARED_KEPT) return;
    hw_lock_acquire(&lock);
    if (dropped == HW_SHARED_DEAD) hw_shared_bury(&graph, number);
    else hw_shared_suspect(&graph, number);
    for (uint32_t dead; (dead = hw_shared_next_dead(&graph, &payload)) != HW_SHARED_NONE;) {
        hw_lock_release(&lock);
        assert(payload == 7);
        atomic_fetch_add_explicit(&disposals, 1, memory_order_relaxed);
        hw_lock_acquire(&lock);
        hw_shared_retire(&graph, dead);
    }
    hw_lock_release(&lock);
}

/* Every thread holds a handle to each of the first SHARED nodes. It links them into cycles with nodes of its own, clones, drops,
 * upgrades what may be dying, and collects. */
static void *worker(void *argument) {
    uint64_t seed = (uint64_t)(uintptr_t)argument * 7919 + 1;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t shared = (uint32_t)(seed >> 33) % SHARED, other = (uint32_t)(seed >> 40) % SHARED;
        assert(hw_shared_clone(&graph, shared)); /* without the lock */
        if (round % 4 == 0) {
            hw_lock_acquire(&lock);
            uint32_t mine = hw_shared_new(&graph, 2, false, 7), before = HW_SHARED_NONE;
            if (mine != HW_SHARED_NONE) { /* mine <-> shared: garbage as soon as another takes its place */
                assert(hw_shared_clone(&graph, other));
                hw_shared_set(&graph, mine, 0, other);
                assert(hw_shared_clone(&graph, mine));
                before = hw_shared_set(&graph, other, 0, mine);
                hw_shared_downgrade(&graph, mine);
            }
            hw_lock_release(&lock);
            if (mine != HW_SHARED_NONE) lay_to_rest(mine, hw_shared_drop(&graph, mine));
            if (before != HW_SHARED_NONE) lay_to_rest(before, hw_shared_drop(&graph, before));
            if (mine != HW_SHARED_NONE) {
                hw_lock_acquire(&lock);
                bool alive = hw_shared_upgrade(&graph, mine);
                hw_lock_release(&lock);
                if (alive) lay_to_rest(mine, hw_shared_drop(&graph, mine));
                hw_lock_acquire(&lock);
                hw_shared_drop_weak(&graph, mine);
                hw_lock_release(&lock);
            }
        }
        if (round % 64 == 0) {
            hw_lock_acquire(&lock);
            hw_shared_collect(&graph, 1000);
            hw_lock_release(&lock);
        }
        lay_to_rest(shared, hw_shared_drop(&graph, shared));
    }
    return NULL;
}

static void threads(void) {
    enum { CAPACITY = 4096 };
    hw_shared_node *many = calloc(CAPACITY, sizeof *many);
    uint32_t *all_slots = calloc(2 * CAPACITY, sizeof *all_slots), *all_candidates = calloc(CAPACITY, sizeof *all_candidates);
    pthread_t running[THREADS];
    uint32_t where;
    hw_shared_init(&graph, many, CAPACITY, all_slots, 2 * CAPACITY, all_candidates);
    for (uint32_t v = 0; v < SHARED; v++) {
        assert(hw_shared_new(&graph, 2, false, 7) == v);
        for (int t = 1; t < THREADS; t++) hw_shared_clone(&graph, v);
    }
    for (uintptr_t t = 0; t < THREADS; t++) assert(pthread_create(&running[t], NULL, worker, (void *)t) == 0);
    for (int t = 0; t < THREADS; t++) assert(pthread_join(running[t], NULL) == 0);
    for (uint32_t v = 0; v < SHARED; v++)
        for (int t = 0; t < THREADS; t++) lay_to_rest(v, hw_shared_drop(&graph, v));
    hw_shared_collect(&graph, UINT64_MAX);
    lay_to_rest(0, HW_SHARED_SUSPECT); /* disposes of what was collected */
    assert(hw_shared_check(&graph, &where) == NULL);
    assert(graph.live == 0 && atomic_load(&disposals) == graph.total_nodes);
    free(many), free(all_slots), free(all_candidates);
}

int main(void) {
    const char *seconds = getenv("HEAPWRIGHT_FUZZ_SECONDS");
    time_t end = time(NULL) + (seconds ? atoi(seconds) : 0);
    if (seconds) state ^= (uint64_t)time(NULL) << 20;
    do
        for (int program = 0; program < 60; program++) random_program(400);
    while (time(NULL) < end);
    threads();
    return 0;
}
