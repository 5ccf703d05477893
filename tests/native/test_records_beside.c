/* A marker on a thread of its own, under a mutator that does everything that one may do (records_program.h): what is compared,
 * when the marker has been stopped at a random moment and the cycle has ended, is the same as without. Under
 * ThreadSanitizer (make sanitize-threads) this says, too, that every access that the two can meet in is ordered. */
#undef NDEBUG
#define WORLD_NODES 500
#include "records_program.h"

#include <pthread.h>
#include <sched.h>

enum { CYCLES = 40, OPERATIONS_MOST = 1500 };

static world w;
static _Atomic bool stop;
static _Atomic uint64_t scanned_beside;

static void *marker(void *unused) {
    while (!atomic_load(&stop))
        if (hw_records_mark(&w.records, 16, true) != HW_MARK_MORE) sched_yield(); /* until more is shaded */
    atomic_fetch_add(&scanned_beside, w.records.scanned);
    return NULL;
}

static void cycle(void) {
    for (uint32_t i = random_below(OPERATIONS_MOST); i != 0; i--) mutate(&w);
    w.beside = true;
    hw_records_begin(&w.records, false);
    while (hw_records_mark_roots(&w.records, 1 + random_below(8)) == HW_MARK_MORE) mutate(&w);
    pthread_t thread;
    atomic_store(&stop, false);
    assert(pthread_create(&thread, NULL, marker, NULL) == 0);
    for (uint32_t i = random_below(OPERATIONS_MOST); i != 0; i--) mutate(&w);
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    w.beside = false;
    world_look(&w);
    while (w.records.phase != HW_RECORDS_IDLE) step(&w, 64);
    world_look(&w);
    compact(&w);
}

int main(void) {
    static const setup SET = {"beside", .slice = 64, .poison = true, .stack = STACK_MOST, .log = NODES, .finalizable = NODES};
    state = 88172645463325252u;
    world_init(&w, &SET);
    for (int i = 0; i < CYCLES; i++) cycle();
    assert(scanned_beside != 0);
    printf("records: %d cycles with a marker beside, which scanned %llu\n", CYCLES, (unsigned long long)scanned_beside);
    return 0;
}
