/* Threads that own one node write to its value, each its own part, and drop; whoever drops the last reads all of it. Run under
 * a race detector: what orders the writes before the reading is the counting alone.
 *
 *     races ROUNDS
 *
 * Ends with 0; the detector ends it with 66 where two accesses are not ordered. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/shared_graph.h"

enum { THREADS = 3 };

static hw_shared_graph graph;
static hw_shared_node node[1];
static uint32_t slots[1], candidates[1];
static int value[THREADS]; /* not atomic: its owners are who keep it apart */
static unsigned long sum;
static _Atomic int ready;

static void *owner(void *argument) {
    int mine = (int)(size_t)argument;
    atomic_fetch_add_explicit(&ready, 1, memory_order_relaxed); /* orders nothing */
    while (atomic_load_explicit(&ready, memory_order_relaxed) < THREADS) {}
    value[mine] = mine + 1;
    if (hw_shared_drop(&graph, 0) == HW_SHARED_DEAD)
        for (int i = 0; i < THREADS; i++) sum += (unsigned long)value[i];
    return NULL;
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 1;
    for (int round = 0; round < rounds; round++) {
        pthread_t threads[THREADS];
        hw_shared_init(&graph, node, 1, slots, 1, candidates);
        hw_shared_new(&graph, 0, false, 0);
        for (int i = 1; i < THREADS; i++) hw_shared_clone(&graph, 0);
        atomic_store(&ready, 0);
        for (size_t i = 0; i < THREADS; i++)
            if (pthread_create(&threads[i], NULL, owner, (void *)i) != 0) return 4;
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    }
    printf("holds: %lu\n", sum);
    return sum == (unsigned long)rounds * THREADS * (THREADS + 1) / 2 ? 0 : 3;
}
