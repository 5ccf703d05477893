/* Depot: which slots of a pool are free, for many threads, without a lock. Magazines and a depot, as of the Solaris kernel:
 *
 *      cache of thread 1      cache of thread 2         ...      a cache has two magazines, `loaded` and `previous`
 *        [|||||  ] [|||||||]    [|      ] [       ]
 *               \                 /                              a magazine has room for M slot numbers
 *                full  [|||||||] [|||||||] [|||||||]             the depot: two stacks of magazines
 *                empty [       ] [       ]
 *
 * A thread acquires from and releases to its own magazines, without an atomic instruction and without sharing a line of
 * memory with anyone. Only when both are used up, or both full, it exchanges one with the depot: one pop and one push, by
 * compare-and-swap, for M operations. It makes no difference who acquired a slot: it goes into the cache of the thread that
 * releases it, so remote release is release. What a thread holds back from the others is bounded by 2 M slots.
 *
 * Progress: acquire and release are lock-free; a compare-and-swap fails only because another thread's succeeded. Everything
 * else (opening and closing caches, adding slots, taking the leftover) is serialised by the caller, and may run beside
 * acquire and release; hw_depot_remove, hw_depot_gather, hw_depot_count and hw_depot_check also need that no thread is inside
 * either: the GIL gives that, or a program that knows.
 *
 * Bottom: acquire answers HW_SLOT_NONE when both magazines are empty and no full one is in the depot. The caller then tries
 * hw_depot_take_leftover, adds slots, or, if it can stop the others, gathers what their caches hold back.
 *
 * A magazine is always to be had. Of N = ceil(slots / M) + 2 caches + 1 magazines, suppose that none is on the empty stack when
 * a thread with two full ones releases. It holds 2 M + 1 slots in 2 magazines, the f on the full stack hold f M, and every
 * other cache has 2, or while it exchanges 3, of which then at least one is full. So slots >= (f + 2) M + 1 + M e, with e the
 * others in exchange, and N <= f + 2 + 2 (caches - 1) + e + 1 (the leftover) < slots / M + 2 caches + 1 <= N: none such.
 *
 * The stacks are Treiber's, over magazine numbers. A head is 64 bits, a number and a tag that every exchange advances, so that
 * a head that was read, popped, popped and pushed again is not taken for the same (ABA), up to 2^32 exchanges between two
 * instructions of one thread. Numbers, not pointers: the control region may be copied while nobody uses it.
 *
 * Sources: Bonwick and Adams, Magazines and Vmem, USENIX 2001; Treiber, Coping with Parallelism, IBM RJ 5118, 1986.
 *
 * Invariants, walked by hw_depot_check when nothing is under way:
 *   M1  every magazine that was made is in one place: on a stack, in a cache, or the leftover
 *   M2  a free slot is in one magazine, once, and below the capacity
 *   M3  magazines on the full stack have M slots, those on the empty stack none; no other has more than M
 *   M4  `previous` is full or empty; a cache that is closed holds nothing back
 *   M5  slots - (slots in magazines) = acquired - released
 *
 * All of it is in this header, so that tests can compile it over other atomics. */
#ifndef HW_CORE_DEPOT_H
#define HW_CORE_DEPOT_H

#include "core/atomics.h"
#include "core/chunks.h"

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define HW_MAGAZINE_SLOTS 62u /* M at most: then a magazine is four cache lines */

typedef struct {
    alignas(64) _Atomic uint32_t next; /* on a stack: number + 1 of the one below; 0: none */
    uint32_t count;
    uint32_t slot[HW_MAGAZINE_SLOTS];
} hw_magazine;

typedef struct { /* one thread's, or nobody's */
    alignas(64) uint32_t loaded, previous;
    bool open;
    _Atomic uint64_t acquired, released;
} hw_depot_cache;

typedef struct {
    uint32_t capacity, caches, magazine_slots; /* slots and caches at most; M */
    uint32_t magazines;                        /* made so far */
    uint32_t slots;                            /* added and not removed */
    uint32_t leftover;                         /* the magazine that collects what is no magazine full */
    uint32_t equipped;                         /* caches that were open once, and have two magazines for ever */
    alignas(64) _Atomic uint64_t full;         /* tag << 32 | number + 1 */
    alignas(64) _Atomic uint64_t empty;
    hw_depot_cache cache[]; /* then the magazines */
} hw_depot;

static inline hw_magazine *hw_depot_magazine(const hw_depot *depot, uint32_t number) {
    return (hw_magazine *)(depot->cache + depot->caches) + number;
}

static inline uint64_t hw_depot_magazines_most(uint32_t capacity, uint32_t caches, uint32_t magazine_slots) {
    return ((uint64_t)capacity + magazine_slots - 1) / magazine_slots + 2 * (uint64_t)caches + 1;
}

/* Bytes of a control region, aligned to 64. Only what is used of it is ever touched. */
static inline size_t hw_depot_control_bytes(uint32_t capacity, uint32_t caches, uint32_t magazine_slots) {
    return sizeof(hw_depot) + caches * sizeof(hw_depot_cache) +
           hw_depot_magazines_most(capacity, caches, magazine_slots) * sizeof(hw_magazine);
}

/* ---------------------------------------------------------------------------------------------------- the stacks */

static inline void hw_depot_push(hw_depot *depot, _Atomic uint64_t *stack, uint32_t number) {
    hw_magazine *magazine = hw_depot_magazine(depot, number);
    uint64_t head = HW_LOAD(stack, memory_order_relaxed); /* a guess: the exchange finds out */
    do {
        /* relaxed: only the exchange below makes it count */
        HW_STORE(&magazine->next, (uint32_t)head, memory_order_relaxed);
        /* release: who pops this magazine sees what is in it, and `next`. Every change of a head is an exchange, so the
         * release sequence goes on through later pushes and pops, whichever of their heads the popper reads. */
    } while (!HW_CAS(stack, &head, ((head >> 32) + 1) << 32 | (number + 1), memory_order_release, memory_order_relaxed));
}

/* A magazine, or UINT32_MAX. */
static inline uint32_t hw_depot_pop(hw_depot *depot, _Atomic uint64_t *stack) {
    /* acquire, here and where the exchange fails: the magazine was filled, and linked, before it was pushed. */
    uint64_t head = HW_LOAD(stack, memory_order_acquire);
    while ((uint32_t)head != 0) {
        uint32_t number = (uint32_t)head - 1;
        /* relaxed: if another thread has popped it meanwhile, and even writes it, the tag moved and the exchange fails. */
        uint32_t next = HW_LOAD(&hw_depot_magazine(depot, number)->next, memory_order_relaxed);
        /* acquire only: nothing of ours is published; the pushes below us are, by their release sequences. */
        if (HW_CAS(stack, &head, ((head >> 32) + 1) << 32 | next, memory_order_acquire, memory_order_acquire)) return number;
    }
    return UINT32_MAX;
}

/* -------------------------------------------------------------------------------------------- acquire and release */

/* A free slot, or HW_SLOT_NONE. By the thread that the cache belongs to. */
static inline uint32_t hw_depot_acquire(hw_depot *depot, hw_depot_cache *cache) {
    hw_magazine *loaded = hw_depot_magazine(depot, cache->loaded);
    if (__builtin_expect(loaded->count == 0, 0)) {
        if (hw_depot_magazine(depot, cache->previous)->count > 0) {
            uint32_t swap = cache->loaded;
            cache->loaded = cache->previous;
            cache->previous = swap;
        } else {
            uint32_t full = hw_depot_pop(depot, &depot->full);
            if (full == UINT32_MAX) return HW_SLOT_NONE;
            hw_depot_push(depot, &depot->empty, cache->previous);
            cache->previous = cache->loaded;
            cache->loaded = full;
        }
        loaded = hw_depot_magazine(depot, cache->loaded);
    }
    HW_COUNT(&cache->acquired);
    return loaded->slot[--loaded->count];
}

/* Takes a slot that is live, whoever acquired it. By the thread that the cache belongs to. Never fails. */
static inline void hw_depot_release(hw_depot *depot, hw_depot_cache *cache, uint32_t slot) {
    hw_magazine *loaded = hw_depot_magazine(depot, cache->loaded);
    if (__builtin_expect(loaded->count == depot->magazine_slots, 0)) {
        if (hw_depot_magazine(depot, cache->previous)->count == 0) {
            uint32_t swap = cache->loaded;
            cache->loaded = cache->previous;
            cache->previous = swap;
        } else {
            uint32_t empty = hw_depot_pop(depot, &depot->empty);
            assert(empty != UINT32_MAX); /* "A magazine is always to be had" */
            hw_depot_push(depot, &depot->full, cache->previous);
            cache->previous = cache->loaded;
            cache->loaded = empty;
        }
        loaded = hw_depot_magazine(depot, cache->loaded);
    }
    HW_COUNT(&cache->released);
    loaded->slot[loaded->count++] = slot;
}

/* ---------------------------------------------------------- what the caller serialises; others may acquire and release */

static inline uint32_t hw_depot_make(hw_depot *depot) {
    assert(depot->magazines < hw_depot_magazines_most(depot->capacity, depot->caches, depot->magazine_slots));
    hw_depot_magazine(depot, depot->magazines)->count = 0;
    return depot->magazines++;
}

/* No slots yet, all caches closed. `control` is aligned to 64 and has hw_depot_control_bytes(...) bytes. */
static inline hw_depot *hw_depot_init(void *control, uint32_t capacity, uint32_t caches, uint32_t magazine_slots) {
    assert(magazine_slots >= 1 && magazine_slots <= HW_MAGAZINE_SLOTS && caches >= 1);
    hw_depot *depot = memset(control, 0, sizeof *depot + caches * sizeof(hw_depot_cache));
    depot->capacity = capacity;
    depot->caches = caches;
    depot->magazine_slots = magazine_slots;
    depot->leftover = hw_depot_make(depot);
    return depot;
}

/* A free slot into the leftover; a full leftover onto the stack. */
static inline void hw_depot_pour(hw_depot *depot, uint32_t slot) {
    hw_magazine *leftover = hw_depot_magazine(depot, depot->leftover);
    leftover->slot[leftover->count++] = slot;
    if (leftover->count < depot->magazine_slots) return;
    uint32_t empty = hw_depot_pop(depot, &depot->empty);
    assert(empty != UINT32_MAX); /* as in release: here the leftover is the full one, and one slot more than counted */
    hw_depot_push(depot, &depot->full, depot->leftover);
    depot->leftover = empty;
}

/* Slots first .. end - 1 are free from now on. */
static inline void hw_depot_add(hw_depot *depot, uint32_t first, uint32_t end) {
    depot->slots += end - first;
    while (depot->magazines < hw_depot_magazines_most(depot->slots, depot->equipped, depot->magazine_slots))
        hw_depot_push(depot, &depot->empty, hw_depot_make(depot));
    for (uint32_t slot = first; slot < end; slot++) hw_depot_pour(depot, slot);
}

/* A cache for a thread, or NULL: all are open. */
static inline hw_depot_cache *hw_depot_open(hw_depot *depot) {
    uint32_t i = 0;
    while (i < depot->equipped && depot->cache[i].open) i++;
    if (i == depot->caches) return NULL;
    hw_depot_cache *cache = &depot->cache[i];
    if (i == depot->equipped) {
        depot->equipped++;
        cache->loaded = hw_depot_make(depot);
        cache->previous = hw_depot_make(depot);
    }
    cache->open = true;
    return cache;
}

/* What a cache holds back goes to the others. Its thread is not inside acquire or release. */
static inline void hw_depot_gather(hw_depot *depot, hw_depot_cache *cache) {
    for (hw_magazine *magazine = hw_depot_magazine(depot, cache->loaded);;) {
        while (magazine->count > 0) hw_depot_pour(depot, magazine->slot[--magazine->count]);
        if (magazine == hw_depot_magazine(depot, cache->previous)) return;
        magazine = hw_depot_magazine(depot, cache->previous);
    }
}

/* The thread ends, or needs the cache no more. */
static inline void hw_depot_close(hw_depot *depot, hw_depot_cache *cache) {
    hw_depot_gather(depot, cache);
    cache->open = false;
}

/* For a cache from which acquire has just had bottom: true if it can try again. */
static inline bool hw_depot_take_leftover(hw_depot *depot, hw_depot_cache *cache) {
    if (hw_depot_magazine(depot, depot->leftover)->count == 0) return false;
    uint32_t empty = cache->loaded;
    cache->loaded = depot->leftover;
    depot->leftover = empty;
    return true;
}

/* -------------------------------------------------------------------------------- nothing else may be under way */

/* Adds the free slots of each chunk to free_slots[]. O(free slots). */
static inline void hw_depot_count(const hw_depot *depot, hw_chunks chunks, uint32_t free_slots[HW_CHUNKS_MAX]) {
    for (uint32_t number = 0; number < depot->magazines; number++) {
        const hw_magazine *magazine = hw_depot_magazine(depot, number);
        for (uint32_t i = 0; i < magazine->count; i++) free_slots[hw_chunks_of(chunks, magazine->slot[i])]++;
    }
}

/* The slots of a set of chunks (bit k: chunk k), all of them free, are none any more. O(free slots). */
static inline void hw_depot_remove(hw_depot *depot, hw_chunks chunks, uint64_t removed) {
    uint32_t taken = UINT32_MAX, number, kept[HW_MAGAZINE_SLOTS], count;
    for (uint32_t i = 0; i < depot->equipped; i++) hw_depot_gather(depot, &depot->cache[i]);
    while ((number = hw_depot_pop(depot, &depot->full)) != UINT32_MAX) { /* all of them, in a list of our own */
        HW_STORE(&hw_depot_magazine(depot, number)->next, taken, memory_order_relaxed);
        taken = number;
    }
    for (number = depot->leftover;; number = taken) { /* the leftover first; each is copied, since pouring fills others */
        hw_magazine *magazine = hw_depot_magazine(depot, number);
        count = magazine->count;
        memcpy(kept, magazine->slot, count * sizeof *kept);
        magazine->count = 0;
        if (number != depot->leftover) {
            taken = HW_LOAD(&magazine->next, memory_order_relaxed);
            hw_depot_push(depot, &depot->empty, number);
        }
        for (uint32_t i = 0; i < count; i++) {
            if (removed >> hw_chunks_of(chunks, kept[i]) & 1) depot->slots--;
            else hw_depot_pour(depot, kept[i]);
        }
        if (taken == UINT32_MAX) return;
    }
}

/* Bytes of scratch memory for the check. */
static inline size_t hw_depot_scratch_bytes(const hw_depot *depot) {
    return depot->magazines + ((size_t)depot->capacity + 7) / 8;
}

/* Marks a stack's magazines as seen; false: one was seen before, or the stack has no end. */
static inline bool hw_depot_walk(const hw_depot *depot, const _Atomic uint64_t *stack, unsigned char *seen, uint32_t count,
                                 const char **broken) {
    uint32_t next = (uint32_t)HW_LOAD((_Atomic uint64_t *)stack, memory_order_relaxed);
    for (; next != 0; next = HW_LOAD(&hw_depot_magazine(depot, next - 1)->next, memory_order_relaxed)) {
        if (next > depot->magazines || seen[next - 1]++) return *broken = "M1", false;
        if (hw_depot_magazine(depot, next - 1)->count != count) return *broken = "M3", false;
    }
    return true;
}

/* NULL, or the first invariant that does not hold. `scratch` has hw_depot_scratch_bytes(depot) bytes, all 0. */
static inline const char *hw_depot_check(const hw_depot *depot, unsigned char *scratch) {
    const char *broken = NULL;
    unsigned char *slots_seen = scratch + depot->magazines;
    uint64_t slots = 0, acquired = 0, released = 0;
    if (!hw_depot_walk(depot, &depot->full, scratch, depot->magazine_slots, &broken)) return broken;
    if (!hw_depot_walk(depot, &depot->empty, scratch, 0, &broken)) return broken;
    if (scratch[depot->leftover]++) return "M1";
    for (uint32_t i = 0; i < depot->equipped; i++) {
        const hw_depot_cache *cache = &depot->cache[i];
        acquired += HW_LOAD((_Atomic uint64_t *)&cache->acquired, memory_order_relaxed);
        released += HW_LOAD((_Atomic uint64_t *)&cache->released, memory_order_relaxed);
        if (scratch[cache->loaded]++ || scratch[cache->previous]++) return "M1";
        uint32_t count = hw_depot_magazine(depot, cache->previous)->count;
        if (count != 0 && count != depot->magazine_slots) return "M4";
        if (!cache->open && count + hw_depot_magazine(depot, cache->loaded)->count != 0) return "M4";
    }
    for (uint32_t number = 0; number < depot->magazines; number++) {
        const hw_magazine *magazine = hw_depot_magazine(depot, number);
        if (!scratch[number]) return "M1";
        if (magazine->count > depot->magazine_slots) return "M3";
        slots += magazine->count;
        for (uint32_t i = 0; i < magazine->count; i++) {
            uint32_t slot = magazine->slot[i];
            if (slot >= depot->capacity || slots_seen[slot / 8] >> slot % 8 & 1) return "M2";
            slots_seen[slot / 8] |= (unsigned char)(1 << slot % 8);
        }
    }
    return depot->slots - slots == acquired - released ? NULL : "M5";
}

#endif
