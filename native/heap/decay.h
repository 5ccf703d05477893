/* Decay: a heap gives back by itself what recent demand has not needed.
 *
 *     committed  <=  limit,     or no whole unit of free memory is committed              (the law, once a tick says 0)
 *
 *     limit   recent peak of allocated + slack, in bytes
 *     recent  the running epoch and the HW_DECAY_EPOCHS before it: all of the last window, and at most a tenth more. A peak
 *             belongs to the epoch of the first tick after it
 *     slack   1/16 of the peak, so that a steady program does not give back and fault in the same pages for ever
 *
 * So a loop that needs the same again runs without page faults, a heap that has shrunk for good gives the difference back
 * within a window and a tenth, and an empty heap gives back everything. Peaks are exact, however rarely it ticks.
 *
 * Given back are whole units: a huge page that is split comes back as small ones, which costs more than it saves. The first
 * holes by address keep what the limit allows.
 *
 * There is no thread: who uses the heap ticks in passing, and who lets it lie ticks when idle. Ticks in passing begin at most
 * one round in an epoch, and take at most one part in HW_DECAY_SHARE of the time. */
#ifndef HW_HEAP_DECAY_H
#define HW_HEAP_DECAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HW_DECAY_EPOCHS 10
#define HW_DECAY_SLACK_SHIFT 4
#define HW_DECAY_SHARE 20

/* Differs whenever a block has come, gone, grown or shrunk: equal sums alone could be one that went and one that came. */
typedef struct {
    uint64_t limit, allocated, total_allocated, freed_blocks;
} hw_decay_state;

typedef struct {
    int64_t epoch_ns; /* 0: there is no decay */
    int64_t epoch_start_ns, due_ns;
    uint64_t peaks[HW_DECAY_EPOCHS + 1]; /* of allocated bytes: a ring */
    unsigned epoch;                      /* the running one */
    uint64_t own_round;                  /* the number of the last round that was begun for the law */
    size_t keep_bytes;                   /* what that round was to leave */
    size_t shared_bytes;                 /* what it found free and could not give back: its units have live blocks too */
    hw_decay_state begun;   /* when it began: what is freed from then on it may pass by */
    hw_decay_state settled; /* when all that can go had gone: there is nothing to do until this changes */
} hw_decay;

struct hw_heap;

/* Decay over a window from now on; a negative one ends it. 0: whatever is not needed now. */
void hw_decay_set(struct hw_heap *heap, int64_t window_ns, int64_t now_ns);

/* Gives back for about `budget_ns` what the law asks for at `now_ns`, which never goes back. 0: the law holds;
 * HW_PURGE_MORE; or errno. *returned_bytes is what was given back in any case. A round that somebody else began is ended
 * first. O(1) where there is nothing to do. */
int hw_decay_tick(struct hw_heap *heap, int64_t now_ns, int64_t budget_ns, size_t *returned_bytes);

/* Whether who uses the heap should tick. */
static inline bool hw_decay_is_due(const hw_decay *decay, int64_t now_ns) {
    return decay->epoch_ns != 0 && now_ns >= decay->due_ns;
}

/* The tick of who uses the heap; and when the next one is due. Returns what hw_decay_tick does. */
int hw_decay_tick_in_passing(struct hw_heap *heap, int64_t budget_ns);

#endif
