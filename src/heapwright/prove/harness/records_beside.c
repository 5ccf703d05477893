/* A marker beside a mutator, as two coroutines that stop before each access that the two may meet in: every program of N
 * operations of the mutator, under every schedule with at most PREEMPTIONS preemptions.
 *
 *     records_beside N
 *
 * Prints "holds: N schedules" and ends with 0, or "fails: ..." with the program and the steps at which it was switched, and ends with
 * 3. Whole accesses in one order: whether the memory orders suffice is the race detector's part (tests/native/test_records_beside.c).
 * The core is compiled into this file, with its atomic operations replaced. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

static void stop(void);

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#define __atomic_load_n(object, order) (stop(), *(object))
#define __atomic_store_n(object, value, order) (stop(), (void)(*(object) = (value)))
#define __atomic_fetch_or(object, value, order) ({ stop(); __typeof__(*(object)) before_ = *(object); *(object) = before_ | (value); before_; })
#define atomic_load_explicit(object, order) (stop(), *(object))
#define atomic_store_explicit(object, value, order) (stop(), (void)(*(object) = (value)))
#define atomic_exchange_explicit(object, value, order) ({ stop(); bool before_ = *(object); *(object) = (value); before_; })

#include "core/record_check.c"
#include "core/record_compact.c"
#include "core/record_handles.c"
#include "core/record_mark.c"
#include "core/record_sweep.c"
#include "core/records.c"
#undef NOBODY
#define RECORDS_MOST 5
#include "records_heap.h"

enum { PREEMPTIONS = 2, PROGRAM_MOST = 4, STACK_BYTES = 64 << 10 };

/* ---- a schedule ------------------------------------------------------------------------------------------------------ */

enum { MUTATOR, MARKER, THREADS };

static ucontext_t scheduler, context[THREADS];
static char stacks[THREADS][STACK_BYTES];
static bool running, done[THREADS];
static int current, steps, switches, at[PREEMPTIONS]; /* at which steps the other goes on */
static int kinds[PROGRAM_MOST], variants[PROGRAM_MOST], length;
static unsigned long long schedules;
static world first;

static void stop(void) {
    if (!running) return;
    int step = steps++;
    for (int i = 0; i < switches; i++)
        if (at[i] == step) swapcontext(&context[current], &scheduler);
}

static void thread(int number) {
    if (number == MUTATOR)
        for (int i = 0; i < length; i++) operate(kinds[i], variants[i]);
    for (int i = 0; number == MARKER && i < 2; i++) hw_records_mark(&now.records, UINT64_MAX, true); /* once more: for what is shaded */
    done[number] = true;
}

static void fail(const char *what, int starts) {
    printf("fails: %s, after", what);
    for (int i = 0; i < length; i++) print_operation(kinds[i], variants[i]);
    printf(" the %s first, %d switches", starts == MUTATOR ? "mutator" : "marker", switches);
    for (int i = 0; i < switches; i++) printf("%s %d", i == 0 ? " at" : "", at[i]);
    printf(" of %d steps\n", steps);
    exit(3);
}

/* The cycle ends as it would: with the marker stopped, and what it left done by the mutator. */
static const char *ended(void) {
    if (broken != NULL) return broken;
    const char *said = safe();
    if (said != NULL) return said;
    do
        while (hw_records_mark(&now.records, 1, false) != HW_MARK_DONE);
    while (hw_records_sweep(&now.records, UINT64_MAX) != HW_MARK_DONE);
    return safe();
}

static void run(int starts) {
    memcpy(&now, &first, sizeof now);
    steps = 0, done[MUTATOR] = done[MARKER] = false, schedules++;
    for (int t = 0; t < THREADS; t++) {
        getcontext(&context[t]);
        context[t].uc_stack.ss_sp = stacks[t], context[t].uc_stack.ss_size = STACK_BYTES, context[t].uc_link = &scheduler;
        makecontext(&context[t], (void (*)(void))thread, 1, t);
    }
    running = true;
    for (current = starts; !done[MUTATOR] || !done[MARKER]; current = !done[!current] ? !current : current)
        swapcontext(&scheduler, &context[current]);
    running = false;
    const char *said = ended();
    if (said != NULL) fail(said, starts);
}

/* This schedule, and all that are like it up to its last switch and have another. */
static void explore(int starts) {
    run(starts);
    if (switches == PREEMPTIONS) return;
    int from = switches == 0 ? 0 : at[switches - 1] + 1, to = steps;
    switches++;
    for (int step = from; step < to; step++) at[switches - 1] = step, explore(starts);
    switches--;
}

/* ---- all programs ---------------------------------------------------------------------------------------------------- */

/* In its first state a has been shaded, a.0 and a.w refer to a record that refers to another, and b was made black. */
static void init_first(void) {
    init();
    make(1), make(0), store(now.variable[0], 0, id_of(now.variable[1]));
    make(1), store(now.variable[1], 0, id_of(now.variable[0])), operate(WEAK_STORE, 1);
    assign(0, id_of(now.variable[1]));
    hw_records_begin(&now.records, false);
    while (hw_records_mark_roots(&now.records, 1) == HW_MARK_MORE);
    make(1);
    memcpy(&first, &now, sizeof now);
}

static void extend(int most) {
    if (length != 0)
        for (int starts = 0; starts < THREADS; starts++) explore(starts);
    if (length == most) return;
    for (int kind = MAKE; kind < KINDS; kind++)
        for (int variant = 0; kind != FINALIZE && variant < VARIANTS[kind]; variant++) {
            memcpy(&now, &first, sizeof now);
            for (int i = 0; i < length; i++) operate(kinds[i], variants[i]);
            if (!operate(kind, variant)) continue; /* not possible, whatever the marker does: that changes nothing that is read */
            kinds[length] = kind, variants[length++] = variant;
            extend(most);
            length--;
        }
}

int main(int argc, char **argv) {
    init_first();
    extend(atoi(argv[1]));
    printf("holds: %llu schedules\n", schedules);
    return 0;
}
