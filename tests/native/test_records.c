/* Records against their model (records_world.h): random programs of everything that a mutator may do, for every collector, with
 * every invariant walked and the whole heap compared after each operation. HEAPWRIGHT_FUZZ_SECONDS=n goes on with new seeds
 * for that long. */
#undef NDEBUG
#include "records_program.h"

#include <time.h>

static bool begin_minor(const world *w) {
    return w->set->promote_after != 0 && !w->records.remembered_overflowed && random_below(4) != 0;
}

static void collector(world *w) {
    if (w->set->slice != 0 && random_below(16) != 0) {
        for (uint32_t n = 1 + random_below(4); n-- != 0;) step(w, w->set->slice), world_look(w);
    } else if (w->set->slice != 0 || random_below(8) == 0) {
        collect(w, begin_minor(w));
    }
}

/* ---- programs -------------------------------------------------------------------------------------------------------- */

enum { ENOUGH = 1 << 12 };

static const setup SETUPS[] = {
    {"whole", .stack = ENOUGH, .log = NODES, .finalizable = NODES},
    {"whole, poisoned", .poison = true, .compact = true, .stack = ENOUGH, .log = NODES, .finalizable = NODES},
    {"slices of one", .slice = 1, .poison = true, .stack = ENOUGH, .log = NODES, .finalizable = NODES},
    {"slices of five", .slice = 5, .stack = ENOUGH, .log = NODES, .finalizable = 3},
    {"without room", .poison = true, .stack = 1, .log = NODES, .finalizable = NODES},
    {"slices of one, without room", .slice = 1, .stack = 2, .log = 2, .finalizable = NODES},
    {"slices of three, without a log", .slice = 3, .stack = 20, .log = 0, .finalizable = 1},
    {"generations, 1", .promote_after = 1, .stack = ENOUGH, .log = NODES, .remembered = NODES, .finalizable = NODES},
    {"generations, 2", .promote_after = 2, .poison = true, .compact = true, .stack = ENOUGH, .log = NODES, .remembered = NODES, .finalizable = NODES},
    {"generations, 3", .promote_after = 3, .stack = ENOUGH, .log = 3, .remembered = 4, .finalizable = NODES},
    {"generations, 4, without room", .promote_after = 4, .poison = true, .stack = 1, .log = 0, .remembered = 1, .finalizable = 1},
};

static void program(world *w, const setup *set, uint64_t seed, int operations) {
    state = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
    world_init(w, set);
    for (int i = 0; i < operations; i++) {
        uint32_t choice = random_below(28);
        if (choice < 23) mutate(w);
        else if (choice < 24) compact(w);
        else collector(w);
        world_look(w);
    }
    collect(w, false); /* what died meanwhile */
    while (w->records.finalizable.count != 0) finalize(w);
    for (int i = 0; i < NODES; i++)
        if (w->nodes[i].known && w->nodes[i].held) let_go(w, &w->nodes[i]);
    for (int r = 0; r < RUNS; r++)
        if (w->runs[r].count != 0) hw_records_drop(&w->records, w->runs[r].slot), w->runs[r].count = 0;
    for (bool more = true; more;) { /* with nobody holding anything, all of it goes; what has a finalizer after that */
        collect(w, false);
        for (more = false; w->records.finalizable.count != 0; more = true) finalize(w);
        for (int i = 0; i < NODES; i++)
            if (w->nodes[i].known && w->nodes[i].held) let_go(w, &w->nodes[i]);
    }
    for (int type = 0; type < TYPES; type++) assert(w->pools[type].live == 0 && w->pools[type].total_made == w->pools[type].total_freed);
    const hw_record_handles *handles = &w->records.handles;
    assert(w->blocks.count == 0 && handles->strong_count + handles->weak_count + handles->run_count == 0);
}

int main(void) {
    const char *seconds = getenv("HEAPWRIGHT_FUZZ_SECONDS");
    time_t end = time(NULL) + (seconds == NULL ? 0 : atoi(seconds));
    world *w = malloc(sizeof *w);
    uint64_t seed = seconds == NULL ? 1 : (uint64_t)time(NULL);
    do
        for (size_t i = 0; i < sizeof SETUPS / sizeof *SETUPS; i++) program(w, &SETUPS[i], seed++, 3000);
    while (time(NULL) < end);
    free(w);
    printf("records: %zu collectors, as the model says\n", sizeof SETUPS / sizeof *SETUPS);
    return 0;
}
