/* Slots: which of a pool's equal blocks are free. The lowest free slot is taken, so that the last chunks empty first and
 * can be given back. Pure arithmetic on slot numbers: the blocks are never touched, and may be on a device or nowhere.
 *
 * A tree of bits, 64 wide: a leaf bit per slot that is set where the slot is free, and above it a bit per word of the level
 * below that is set where that word is not 0. Acquire goes down it, release goes up as far as something changes: at most
 * six words each, for 2^31 slots. A free slot costs one bit and 1/63 of another, outside the blocks, so nothing that is
 * written through a block, dangling or not, reaches the book-keeping.
 *
 * The control region holds numbers only and may be copied anywhere. It has room for the slots of the chunks that have been
 * added so far; for more the caller copies it into a larger one (hw_slots_grow). Release needs no memory and never fails.
 *
 * Source: the summary bits of Masmano, Ripoll, Crespo, Real, TLSF, ECRTS 2004, taken to any depth.
 *
 * Invariants, walked by hw_slots_check:
 *   F1  of a chunk that is present, live = slots - set leaf bits; of one that is absent, live = 0 and no bit is set
 *   F2  no leaf bit is set at or beyond the capacity, nor beyond what the region is numbered for
 *   F3  a bit of an upper level is set exactly where the word of the level below it is not 0
 *   F4  live_slots = sum of live, free_slots = sum of the set leaf bits; live_slots <= peak_slots <= capacity
 *   F5  acquired - released = live_slots
 *
 * Not thread-safe. */
#ifndef HW_CORE_SLOTS_H
#define HW_CORE_SLOTS_H

#include "core/chunks.h"

#include <stdbool.h>
#include <stddef.h>

#define HW_SLOTS_LEVELS 6 /* 64^6 > 2^31 */

typedef struct {
    hw_chunks chunks;
    uint32_t numbered;               /* slots that there are leaf bits for */
    uint32_t levels;                 /* the top one is a single word */
    uint32_t level[HW_SLOTS_LEVELS]; /* where each begins in words[], leaves first */
    uint64_t present;                /* bit k: chunk k is there */
    uint32_t live[HW_CHUNKS_MAX];    /* acquired slots of each chunk */
    uint32_t live_slots, free_slots, peak_slots;
    uint64_t acquired, released;
    uint64_t words[];
} hw_slots;

/* Bytes of a control region for the slots 0 .. numbered - 1. */
size_t hw_slots_control_bytes(uint32_t numbered);

/* No chunk is present. `control` is aligned to 8 and has hw_slots_control_bytes(numbered) bytes; 1 <= numbered <= capacity. */
hw_slots *hw_slots_init(void *control, hw_chunks chunks, uint32_t numbered);

/* Copies the region to one that is numbered for more. The old one is not changed. O(numbered / 64). */
hw_slots *hw_slots_grow(const hw_slots *slots, void *larger, uint32_t numbered);

/* The first chunk that is absent; HW_CHUNKS_MAX if the whole capacity is there. */
uint32_t hw_slots_absent(const hw_slots *slots);

/* An absent chunk that the region is numbered for is there from now on, all free. */
void hw_slots_add(hw_slots *slots, uint32_t chunk);

/* A present chunk without a live slot is absent from now on. false, and nothing has changed, if it is not that. */
bool hw_slots_remove(hw_slots *slots, uint32_t chunk);

/* NULL, or the name of the first invariant that does not hold, and a slot or word near it. */
const char *hw_slots_check(const hw_slots *slots, uint32_t *where);

static inline bool hw_slots_is_live(const hw_slots *slots, uint32_t slot) {
    if (slot >= slots->numbered || !(slots->present >> hw_chunks_of(slots->chunks, slot) & 1)) return false;
    return !(slots->words[slot / 64] >> slot % 64 & 1);
}

/* The lowest free slot, or HW_SLOT_NONE. */
static inline uint32_t hw_slots_acquire(hw_slots *slots) {
    if (__builtin_expect(slots->free_slots == 0, 0)) return HW_SLOT_NONE;
    uint32_t at = 0;
    for (uint32_t level = slots->levels; level-- > 0;)
        at = at * 64 + (uint32_t)__builtin_ctzll(slots->words[slots->level[level] + at]); /* not 0, by F3 and F4 */
    uint32_t slot = at;
    for (uint32_t level = 0; level < slots->levels; level++, at /= 64) {
        uint64_t *word = &slots->words[slots->level[level] + at / 64];
        *word &= *word - 1; /* the lowest bit: the way down took it */
        if (*word != 0) break;
    }
    slots->live[hw_chunks_of(slots->chunks, slot)]++;
    slots->free_slots--;
    slots->acquired++;
    if (++slots->live_slots > slots->peak_slots) slots->peak_slots = slots->live_slots;
    return slot;
}

/* false, and nothing has changed, if the slot is not live: released before, never acquired, or in no chunk. */
static inline bool hw_slots_release(hw_slots *slots, uint32_t slot) {
    if (__builtin_expect(!hw_slots_is_live(slots, slot), 0)) return false;
    uint32_t at = slot;
    for (uint32_t level = 0; level < slots->levels; level++, at /= 64) {
        uint64_t *word = &slots->words[slots->level[level] + at / 64], before = *word;
        *word |= UINT64_C(1) << at % 64;
        if (before != 0) break;
    }
    slots->live[hw_chunks_of(slots->chunks, slot)]--;
    slots->free_slots++;
    slots->live_slots--;
    slots->released++;
    return true;
}

#endif
