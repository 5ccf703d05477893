/* The depot under every interleaving of small programs with few preemptions; and under wrong atomic operations, each of which
 * some interleaving must show. Invariants are looked at after every step. With HEAPWRIGHT_FUZZ_SECONDS, one preemption more. */
#undef NDEBUG
#include "explore.h"

#include "core/depot.h"

enum { CAPACITY = 12, CACHES = 3, HELD_MOST = 32 };

typedef struct {
    const char *name;
    uint32_t slots;
    const char *first[CACHES]; /* what each thread does alone, before: a = acquire, r = release the oldest */
    const char *then[CACHES];  /* what they do side by side; NULL: no such thread */
} program;

static const program PROGRAMS[] = {
    {"two acquire, one slot", 1, {"", ""}, {"ar", "ar"}},
    {"both stacks, both ways", 10, {"aaaa", "aaaa"}, {"rrrraaa", "rrrraaa"}},
    {"a head that comes back", 6, {"", "aa", ""}, {"a", "aarrrr", "a"}},
    {"an empty one comes back", 12, {"aaa", "aaaa", "aaa"}, {"rrr", "rrrraaaa", "rrr"}},
    {"released by another's cache", 5, {"aaa", "", ""}, {"rrr", "aa", "a"}},
    {"three against each other", 10, {"aaa", "aaa", "aaa"}, {"rrraaa", "rrraaa", "rrraaa"}},
};

static const program *now;
static _Alignas(64) char control[16384];
static hw_depot *depot;
static hw_depot_cache *cache[CACHES];
static uint32_t held[CACHES][HELD_MOST];
static int first_held[CACHES], end_held[CACHES];
static int owner[CAPACITY]; /* thread + 1 */

static void act(int thread, char what) {
    if (what == 'a') {
        uint32_t slot = hw_depot_acquire(depot, cache[thread]);
        if (slot == HW_SLOT_NONE) return;
        if (slot >= now->slots) explore.broken = "a slot that is none";
        else if (owner[slot] != 0 || end_held[thread] == HELD_MOST) explore.broken = "a slot that is owned twice";
        else owner[held[thread][end_held[thread]++] = slot] = thread + 1;
    } else if (first_held[thread] < end_held[thread]) {
        uint32_t slot = held[thread][first_held[thread]++];
        owner[slot] = 0;
        hw_depot_release(depot, cache[thread], slot);
    }
}

static void reset(void) {
    memset(owner, 0, sizeof owner);
    depot = hw_depot_init(control, CAPACITY, CACHES, 1);
    hw_depot_add(depot, 0, now->slots);
    for (int thread = 0; thread < CACHES; thread++) {
        cache[thread] = hw_depot_open(depot);
        hw_depot_add(depot, 0, 0); /* a cache more needs no more magazines than it makes itself */
        first_held[thread] = end_held[thread] = 0;
    }
    for (int thread = 0; thread < explore.threads; thread++)
        for (const char *what = now->first[thread]; what != NULL && *what; what++) act(thread, *what);
}

static void run(int thread) {
    for (const char *what = now->then[thread]; *what; what++) {
        act(thread, *what);
        if (explore.broken != NULL) return;
    }
}

/* M1 and M3 of the stacks hold at every moment, not only at rest. */
static const char *step(void) {
    unsigned char seen[256] = {0};
    const char *broken = NULL;
    if (hw_depot_walk(depot, &depot->full, seen, 1, &broken)) hw_depot_walk(depot, &depot->empty, seen, 0, &broken);
    return broken;
}

static const char *end(void) {
    static unsigned char scratch[4096];
    memset(scratch, 0, sizeof scratch);
    assert(hw_depot_scratch_bytes(depot) <= sizeof scratch);
    const char *broken = hw_depot_check(depot, scratch);
    if (broken != NULL) return broken;
    for (int thread = 0; thread < explore.threads; thread++) /* nothing is lost: all that nobody holds can be acquired */
        while (first_held[thread] < end_held[thread]) act(thread, 'r');
    for (int thread = 0; thread < CACHES; thread++) hw_depot_close(depot, cache[thread]);
    for (uint32_t slot = 0; slot < now->slots; slot++) act(0, 'a');
    if (explore.broken != NULL) return explore.broken;
    return end_held[0] - first_held[0] == (int)now->slots ? NULL : "a slot that is lost";
}

static const char *explore_programs(unsigned long *runs) {
    const char *broken = NULL;
    for (size_t i = 0; i < sizeof PROGRAMS / sizeof *PROGRAMS && broken == NULL; i++) {
        now = &PROGRAMS[i];
        for (explore.threads = 0; explore.threads < CACHES && now->then[explore.threads] != NULL;) explore.threads++;
        broken = explore_all();
        *runs += explore.runs;
        if (explore.mutant == SOUND) printf("%-28s %d threads %8lu interleavings\n", now->name, explore.threads, explore.runs);
    }
    return broken;
}

int main(void) {
    static const char *const names[MUTANTS] = {"sound", "torn exchange", "blind exchange", "ignored failure", "no tag", "no link"};
    explore.preemptions = getenv("HEAPWRIGHT_FUZZ_SECONDS") ? 3 : 2; /* half a minute, or half a second */
    explore.reset = reset;
    explore.thread = run;
    explore.step = step;
    explore.end = end;
    int survivors = 0;
    for (explore.mutant = SOUND; explore.mutant < MUTANTS; explore.mutant++) {
        unsigned long runs = 0;
        const char *broken = explore_programs(&runs);
        if (explore.mutant == SOUND && broken == NULL) continue;
        if (broken == NULL) survivors++;
        printf("%-28s %s after %lu: %s (%s)\n", names[explore.mutant], broken ? "refuted" : "SURVIVES", runs,
               broken ? broken : "-", now->name);
        if (explore.mutant == SOUND) {
            for (int i = 0; i < explore.steps; i++) printf("%d", explore.ran[i]);
            printf(" in %s\n", now->name);
            return 1;
        }
    }
    return survivors;
}
