/* The marker on its thread, under a mutator that does everything that one may do (records_program.h): what is compared, when the
 * marker has been stopped at a random moment and the cycle has ended, is the same as without. And processes forked meanwhile
 * have the same heap, and end the cycle alone. Under ThreadSanitizer (make sanitize-threads) this says, too, that every
 * access that the two can meet in is ordered. */
#undef NDEBUG
#define WORLD_NODES 500
#include "records_program.h"

#include <sys/wait.h>
#include <unistd.h>

#include "heap/record_marker.h"

enum { CYCLES = 40, OPERATIONS_MOST = 1500 };

static world w;
static hw_marker marker;
static uint64_t scanned_beside;

/* The rest of the cycle, by the mutator; and everything is compared. */
static void end_cycle(void) {
    w.beside = false;
    world_look(&w);
    while (w.records.phase != HW_RECORDS_IDLE) step(&w, 64);
    world_look(&w);
}

static void fork_once(void) {
    pid_t child = fork();
    assert(child >= 0);
    if (child == 0) {
        end_cycle();
        _exit(0);
    }
    int status;
    assert(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void cycle(void) {
    for (uint32_t i = random_below(OPERATIONS_MOST); i != 0; i--) mutate(&w);
    w.beside = true;
    hw_records_begin(&w.records, false);
    while (hw_records_mark_roots(&w.records, 1 + random_below(8)) == HW_MARK_MORE) mutate(&w);
    assert(hw_marker_start(&marker));
    for (uint32_t i = random_below(OPERATIONS_MOST); i != 0; i--) {
        mutate(&w);
        if (hw_marker_state_of(&marker) == HW_MARKER_DONE) assert(hw_marker_start(&marker)); /* more has been shaded */
    }
    if (random_below(8) == 0) fork_once();
    hw_marker_stop(&marker);
    scanned_beside += w.records.scanned;
    end_cycle();
    compact(&w);
}

int main(void) {
    static const setup SET = {"beside", .slice = 64, .poison = true, .stack = STACK_MOST, .log = NODES, .finalizable = NODES};
    state = 88172645463325252u;
    world_init(&w, &SET);
    hw_marker_init(&marker, &w.records);
    for (int i = 0; i < CYCLES; i++) cycle();
    hw_marker_end(&marker);
    assert(scanned_beside != 0);
    printf("records: %d cycles with a marker beside, which scanned %llu\n", CYCLES, (unsigned long long)scanned_beside);
    return 0;
}
