/* Ten million nodes in one chain, and in one ring: dropped, told as a cycle, and collected both ways, by a thread with a
 * stack of 256 KiB. What recursed once a node would be over at the first ten thousand. */
#undef NDEBUG
#include <assert.h>
#include <pthread.h>

#include "heap/shared_nodes.h"
#include "heap/shared_picture.h"

enum { CHAIN = 10000000, STACK_BYTES = 256 << 10 };

static hw_shared_nodes nodes;

static uint32_t node(void) {
    uint32_t number;
    assert(hw_shared_nodes_new(&nodes, 1, false, 0, &number) == 0);
    return number;
}

/* The only handle of the head; of all others the node before has the only count. */
static uint32_t chain(bool closed) {
    uint32_t last = node(), head = last;
    for (uint32_t i = 1; i < CHAIN; i++) {
        uint32_t next = node();
        hw_shared_set(&nodes.graph, next, 0, head);
        head = next;
    }
    if (closed) {
        assert(hw_shared_clone(&nodes.graph, head));
        hw_shared_set(&nodes.graph, last, 0, head);
    }
    return head;
}

static void all_end(void) {
    uint64_t payload;
    uint32_t ended = 0;
    for (uint32_t dead; (dead = hw_shared_next_dead(&nodes.graph, &payload)) != HW_SHARED_NONE; ended++)
        hw_shared_retire(&nodes.graph, dead);
    assert(ended == CHAIN);
}

static void tell_the_ring(void) {
    hw_shared_picture picture;
    uint32_t rings = 0, where;
    assert(hw_shared_picture_open(&picture, &nodes.graph) == 0);
    for (uint32_t c = 0; c < picture.components; c++) {
        if (!hw_shared_picture_has_cycle(&picture, c)) continue;
        uint32_t size = picture.start[c + 1] - picture.start[c];
        hw_cycle found = hw_shortest_cycle(&picture.graph, picture.component, picture.members + picture.start[c], size,
                                           UINT64_MAX, picture.cycle, picture.scratch);
        assert(size == CHAIN && found.length == CHAIN && found.exact);
        assert(hw_shared_picture_owners_outside(&picture, &nodes.graph, c) == 1);
        rings++;
    }
    assert(rings == 1 && hw_shared_check(&nodes.graph, &where) == NULL);
    hw_shared_picture_close(&picture);
}

static void lose(uint32_t head) {
    assert(hw_shared_drop(&nodes.graph, head) == HW_SHARED_SUSPECT);
    hw_shared_suspect(&nodes.graph, head);
}

static void *work(void *unused) {
    assert(hw_shared_nodes_open(&nodes, CHAIN + 1) == 0);
    node(); /* somebody else's: so the sweep over all references costs one more than the closure */
    uint32_t head = chain(false);
    assert(hw_shared_drop(&nodes.graph, head) == HW_SHARED_DEAD);
    hw_shared_bury(&nodes.graph, head);
    all_end();

    head = chain(true);
    tell_the_ring();
    lose(head);
    hw_shared_collection swept = hw_shared_collect(&nodes.graph, UINT64_MAX);
    assert(swept.traced && swept.collected == CHAIN);
    all_end();

    lose(chain(true));
    assert(hw_shared_collect(&nodes.graph, CHAIN - 1).aborted);
    hw_shared_collection closed = hw_shared_collect(&nodes.graph, CHAIN);
    assert(!closed.traced && closed.collected == CHAIN);
    all_end();
    assert(nodes.graph.live == 1);
    hw_shared_nodes_close(&nodes);
    return unused;
}

int main(void) {
    pthread_attr_t small;
    pthread_t thread;
    assert(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, STACK_BYTES) == 0);
    assert(pthread_create(&thread, &small, work, NULL) == 0 && pthread_join(thread, NULL) == 0);
    return 0;
}
