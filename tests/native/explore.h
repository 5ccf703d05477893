/* A scheduler in the place of the atomic operations: threads of a small program are coroutines that stop before each of them,
 * and every interleaving with at most PREEMPTIONS preemptions is run, one after the other, from the start. Deterministic, so
 * what is found is found again.
 *
 * What it tells: whether any interleaving of whole atomic operations breaks something (sequential consistency). Whether the
 * memory orders suffice is ThreadSanitizer's part: test_concurrent_pool.c, and its own mutant. Source of the method: Musuvathi and
 * Qadeer, Iterative Context Bounding for Systematic Testing of Multithreaded Programs, PLDI 2007.
 *
 * Include this first: it replaces the operations of core/atomics.h. A mutant is a wrong operation; explore.mutant chooses one. */
#ifndef HW_TESTS_EXPLORE_H
#define HW_TESTS_EXPLORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#define HW_ATOMICS_REPLACED
#define HW_LOAD(object, order) (explore_stop(), atomic_load(object))
#define HW_STORE(object, value, order) (explore_stop(), explore_store(object, value))
#define HW_CAS(object, expected, value, order, otherwise) (explore_stop(), explore_exchange(object, expected, value))

enum explore_mutant {
    SOUND,
    TORN_EXCHANGE,    /* compare and swap in two steps, between which others run */
    BLIND_EXCHANGE,   /* swap without compare */
    IGNORED_FAILURE,  /* a failed compare-and-swap is taken for done */
    NO_TAG,           /* only the number is compared: ABA */
    NO_LINK,          /* the store of `next` is lost */
    MUTANTS
};

enum { THREADS_MOST = 4, STEPS_MOST = 4096, STACK_BYTES = 64 << 10 };

static struct {
    enum explore_mutant mutant;
    int threads, preemptions;
    void (*reset)(void);            /* the start of every run */
    void (*thread)(int number);     /* what each thread does */
    const char *(*step)(void);      /* after every step: NULL, or what is broken */
    const char *(*end)(void);       /* when all threads are through */
    /* the run */
    bool running;                   /* off: operations happen without a stop */
    ucontext_t scheduler, context[THREADS_MOST];
    char *stack[THREADS_MOST];
    bool done[THREADS_MOST];
    int current;
    const char *broken;             /* found by a thread itself */
    /* the search: at each step, which of the possible choices this run takes */
    unsigned char choice[STEPS_MOST], choices[STEPS_MOST], ran[STEPS_MOST];
    int steps, longest;
    unsigned long runs;
} explore;

static void explore_stop(void) {
    if (explore.running) swapcontext(&explore.context[explore.current], &explore.scheduler);
}

static uint64_t explore_exchanged(_Atomic uint64_t *object, uint64_t *expected, uint64_t value, bool same) {
    if (explore.mutant == TORN_EXCHANGE && same) explore_stop();
    if (same || explore.mutant == BLIND_EXCHANGE) return atomic_store(object, value), true;
    *expected = atomic_load(object);
    return explore.mutant == IGNORED_FAILURE;
}

static bool explore_exchange(_Atomic uint64_t *object, uint64_t *expected, uint64_t value) {
    uint64_t found = atomic_load(object);
    bool same = explore.mutant == NO_TAG ? (uint32_t)found == (uint32_t)*expected : found == *expected;
    return explore_exchanged(object, expected, value, same);
}

static void explore_store(_Atomic uint32_t *object, uint32_t value) {
    if (explore.mutant != NO_LINK) atomic_store(object, value);
}

static void explore_entry(int number) {
    explore.thread(number);
    explore.done[number] = true;
    swapcontext(&explore.context[number], &explore.scheduler); /* for ever */
}

/* One run, taking the choices that are laid down and the first one beyond them. NULL, or what broke. */
static const char *explore_run(void) {
    explore.running = false;
    explore.broken = NULL;
    explore.reset();
    for (int i = 0; i < explore.threads; i++) {
        if (explore.stack[i] == NULL) explore.stack[i] = malloc(STACK_BYTES);
        getcontext(&explore.context[i]);
        explore.context[i].uc_stack.ss_sp = explore.stack[i];
        explore.context[i].uc_stack.ss_size = STACK_BYTES;
        explore.context[i].uc_link = NULL;
        makecontext(&explore.context[i], (void (*)(void))explore_entry, 1, i);
        explore.done[i] = false;
    }
    int before = -1, left = explore.preemptions;
    for (explore.steps = 0;; explore.steps++) {
        int able[THREADS_MOST], count = 0;
        bool going = before >= 0 && !explore.done[before];
        if (going) able[count++] = before; /* first: to go on costs nothing */
        for (int i = 0; i < explore.threads; i++)
            if (!explore.done[i] && !(going && i == before)) able[count++] = i;
        if (count == 0) return explore.end();
        if (going && left == 0) count = 1;
        if (explore.steps == STEPS_MOST) return "it does not end";
        int choice = explore.steps < explore.longest ? explore.choice[explore.steps] : 0;
        explore.choice[explore.steps] = (unsigned char)choice;
        explore.choices[explore.steps] = (unsigned char)count;
        explore.ran[explore.steps] = (unsigned char)able[choice];
        left -= going && choice > 0;
        before = explore.current = able[choice];
        explore.running = true;
        swapcontext(&explore.scheduler, &explore.context[before]);
        explore.running = false;
        const char *broken = explore.broken ? explore.broken : explore.step();
        if (broken != NULL) return explore.steps++, broken;
    }
}

/* All runs. NULL, or what broke in the last one, whose schedule is explore.ran[0 .. steps - 1]. */
static const char *explore_all(void) {
    explore.runs = 0;
    explore.longest = 0;
    for (;;) {
        const char *broken = explore_run();
        explore.runs++;
        if (broken != NULL) return broken;
        int last = explore.steps - 1;
        while (last >= 0 && explore.choice[last] + 1 == explore.choices[last]) last--;
        if (last < 0) return NULL;
        explore.choice[last]++;
        explore.longest = last + 1;
    }
}

#endif
