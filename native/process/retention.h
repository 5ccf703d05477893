/* Retention: how much freed memory stays resident.
 *
 * One law, held twice (core/demand.h does the arithmetic):
 *
 *     live + retained    <=  recent peak of live     +  slack      of the arrays' heap
 *     need + retained    <=  recent peak of need     +  slack      of the process; need = resident - retained
 *
 * What recent demand has shown to be needed is kept for the next demand; what it has not is not. So retention never raises
 * a program's peak by more than the slack, a loop that allocates and frees the same again runs without page faults, and a
 * program that has shrunk for good gives the difference back within one window. The second line is there because the
 * arrays are not alone: when the C library's heap or Python's arenas grow to a new peak, memory kept for arrays must not
 * come on top of it.
 *
 *     recent   the last HW_DEMAND_EPOCHS epochs of HW_EPOCH_NS each, the running one included
 *     slack    1/16 of the peak, at least 8 MiB: room for fragmentation, so that a steady loop does not purge and fault
 *              the same few pages for ever (hysteresis)
 *     idle     no block allocated or freed, and the process all but asleep, for HW_IDLE_EPOCHS epochs: nothing is
 *              retained at all
 *
 * The first line is enforced where memory would grow: an allocation that takes fresh pages while too much is retained gives
 * back as much first. Both are enforced by the keeper, a thread that looks once an epoch, and HW_LOOKS times an epoch
 * while much is retained. The keeper also trims the C library's heap when the process idles: much of what pandas and SciPy
 * allocate is not NumPy's.
 *
 * The keeper is there from the moment NumPy has our hook, or the first block is served, and not before: a program without
 * arrays has no thread that it did not make. It blocks every signal, never touches Python, and is not there across a fork:
 * it is stopped before (so that the process has as many threads as it would have had, which Python >= 3.12 checks) and
 * starts again later, in the parent and the child, with the next block. */
#ifndef HW_PROCESS_RETENTION_H
#define HW_PROCESS_RETENTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HW_EPOCH_NS INT64_C(100000000) /* 0.1 s */
#define HW_IDLE_EPOCHS 3
#define HW_LOOKS 5
#define HW_RETAINED_SHARE 16

/* Most pages that may be live and retained together, given what is live now. Called with the heap's lock held. */
uint64_t hw_retention_limit_pages(uint64_t live_pages);

/* From now on a forked child has a heap at rest and a record of its own. Again: nothing. */
void hw_follow_forks(void);

/* Starts the keeper, which follows forks, unless it runs or another thread is just about to fork. Not from a signal handler, and not with the
 * heap's lock held. */
void hw_keeper_start(void);

/* Whether it was started and not stopped. */
extern atomic_bool hw_keeper_runs;

/* What every block asks for that is served or counted, so that there is a keeper from the first one on, and again after a
 * fork: one load as a rule. */
static inline void hw_keeper_ensure(void) {
    if (!atomic_load_explicit(&hw_keeper_runs, memory_order_relaxed)) hw_keeper_start();
}

/* Makes the C library's heap part of the policy: it keeps freed memory up to higher, fixed thresholds (its own move with
 * the largest block ever freed), and the keeper trims it when the process idles. */
void hw_retention_adopt_libc(void);

/* Looks at the C library's heap now, for the record. */
void hw_retention_look_at_libc(void);

#endif
