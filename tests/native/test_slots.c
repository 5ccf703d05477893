/* Slots against a plain array of booleans: chunks that come and go, acquire and release, refused releases, a control region
 * that is copied elsewhere now and then; and damage, which the check must name. HEAPWRIGHT_FUZZ_SECONDS=n goes on with new
 * seeds for that long. */
#undef NDEBUG
#include "core/slots.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 5000 };
enum { ABSENT, FREE, LIVE };

static uint32_t random_below(uint64_t *state, uint32_t n) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17; /* Marsaglia, xorshift64 */
    return (uint32_t)((*state >> 16) % n);
}

static void chunks_tile_the_slots(void) {
    for (uint32_t shift = 0; shift < 6; shift++)
        for (uint32_t capacity = 1; capacity < 600; capacity++) {
            hw_chunks chunks = {shift, capacity};
            uint32_t expected = 0;
            for (uint32_t chunk = 0; chunk < hw_chunks_count(chunks); chunk++) {
                assert(hw_chunks_first(chunks, chunk) == expected && hw_chunks_slots(chunks, chunk) > 0);
                for (; expected < hw_chunks_end(chunks, chunk); expected++) assert(hw_chunks_of(chunks, expected) == chunk);
            }
            assert(expected == capacity);
            assert(hw_chunks_count(chunks) <= HW_CHUNKS_MAX);
            assert(UINT64_C(1) << hw_chunks_count(chunks) <= ((uint64_t)capacity * 4 >> shift) || capacity <= 1u << shift);
        }
    for (uint32_t shift = 0; shift < 32; shift++) {
        hw_chunks chunks = {shift, HW_SLOTS_MAX};
        assert(hw_chunks_count(chunks) <= HW_CHUNKS_MAX);
        assert(hw_chunks_end(chunks, hw_chunks_count(chunks) - 1) == HW_SLOTS_MAX);
    }
}

static void expect_sound(const hw_slots *slots) {
    uint32_t where;
    const char *broken = hw_slots_check(slots, &where);
    if (broken != NULL) fprintf(stderr, "%s at %u\n", broken, where), abort();
}

static hw_slots *moved(hw_slots *slots, uint32_t numbered) {
    hw_slots *larger = malloc(hw_slots_control_bytes(numbered));
    assert(larger != NULL);
    hw_slots_grow(slots, larger, numbered);
    memset(slots, 0xDD, sizeof *slots); /* nothing in the new one may point here */
    free(slots);
    return larger;
}

static void random_program(uint64_t seed) {
    static char model[MOST];
    uint64_t state = seed * 2654435761u + 1;
    hw_chunks chunks = {random_below(&state, 8), 1 + random_below(&state, random_below(&state, 2) ? MOST : 100)};
    memset(model, ABSENT, sizeof model);
    uint32_t numbered = 1 + random_below(&state, chunks.capacity);
    hw_slots *slots = hw_slots_init(malloc(hw_slots_control_bytes(numbered)), chunks, numbered);
    for (int step = 0; step < 3000; step++) {
        uint32_t slot = random_below(&state, chunks.capacity), chunk = hw_chunks_of(chunks, slot), op = random_below(&state, 100);
        if (op < 50) {
            uint32_t lowest = 0;
            while (lowest < chunks.capacity && model[lowest] != FREE) lowest++;
            uint32_t got = hw_slots_acquire(slots);
            assert(got == (lowest < chunks.capacity ? lowest : HW_SLOT_NONE));
            if (got != HW_SLOT_NONE) model[got] = LIVE;
        } else if (op < 93) {
            assert(hw_slots_is_live(slots, slot) == (model[slot] == LIVE));
            assert(hw_slots_release(slots, slot) == (model[slot] == LIVE));
            if (model[slot] == LIVE) model[slot] = FREE;
            assert(!hw_slots_release(slots, slot) && !hw_slots_release(slots, chunks.capacity + slot));
        } else if (op < 96) {
            chunk = hw_slots_absent(slots);
            if (chunk == HW_CHUNKS_MAX) continue;
            uint32_t end = hw_chunks_end(chunks, chunk);
            if (end > slots->numbered || op == 95) slots = moved(slots, end > slots->numbered ? end : slots->numbered);
            hw_slots_add(slots, chunk);
            memset(model + hw_chunks_first(chunks, chunk), FREE, hw_chunks_slots(chunks, chunk));
        } else {
            bool empty = model[slot] != ABSENT;
            for (uint32_t i = hw_chunks_first(chunks, chunk); i < hw_chunks_end(chunks, chunk); i++) empty &= model[i] == FREE;
            assert(hw_slots_remove(slots, chunk) == empty);
            if (empty) memset(model + hw_chunks_first(chunks, chunk), ABSENT, hw_chunks_slots(chunks, chunk));
        }
        if (step % 200 == 0) slots = moved(slots, slots->numbered + random_below(&state, chunks.capacity - slots->numbered + 1));
        if (step % 40 == 0) expect_sound(slots);
    }
    expect_sound(slots);
    free(slots);
}

/* Every kind of damage is named. */
static void damage(void) {
    hw_chunks chunks = {3, 1000};
    uint32_t where;
    hw_slots *slots = hw_slots_init(malloc(hw_slots_control_bytes(1000)), chunks, 1000);
    for (uint32_t chunk = 0; chunk < 5; chunk++) hw_slots_add(slots, chunk);
    for (int i = 0; i < 70; i++) hw_slots_acquire(slots);
    expect_sound(slots);
#define EXPECT(name, breaking, mending)                                                                                    \
    do {                                                                                                                   \
        breaking;                                                                                                          \
        const char *found = hw_slots_check(slots, &where);                                                                 \
        assert(found != NULL && strcmp(found, name) == 0);                                                                 \
        mending;                                                                                                           \
        expect_sound(slots);                                                                                               \
    } while (0)
    EXPECT("F1", slots->words[0] ^= 2, slots->words[0] ^= 2);
    EXPECT("F1", slots->words[600 / 64] ^= 1, slots->words[600 / 64] ^= 1);
    EXPECT("F2", slots->words[15] ^= UINT64_C(1) << 63, slots->words[15] ^= UINT64_C(1) << 63);
    EXPECT("F3", slots->words[slots->level[1]] ^= 1, slots->words[slots->level[1]] ^= 1);
    EXPECT("F4", slots->free_slots++, slots->free_slots--);
    EXPECT("F4", slots->peak_slots = 3, slots->peak_slots = 70);
    EXPECT("F5", slots->acquired++, slots->acquired--);
    free(slots);
}

static void six_levels(void) {
    hw_chunks chunks = {31, HW_SLOTS_MAX};
    size_t size_bytes = hw_slots_control_bytes(HW_SLOTS_MAX);
    assert(size_bytes < HW_SLOTS_MAX / 8 + HW_SLOTS_MAX / 8 / 63 + 4096); /* a bit, and 1/63 of one */
    chunks = (hw_chunks){10, 70 * 64 * 64}; /* three levels, then a fourth that is hardly there */
    hw_slots *slots = hw_slots_init(malloc(hw_slots_control_bytes(chunks.capacity)), chunks, chunks.capacity);
    for (uint32_t chunk = 0; chunk < hw_chunks_count(chunks); chunk++) hw_slots_add(slots, chunk);
    for (uint32_t i = 0; i < chunks.capacity; i++) assert(hw_slots_acquire(slots) == i);
    assert(hw_slots_acquire(slots) == HW_SLOT_NONE);
    assert(hw_slots_release(slots, chunks.capacity - 1) && hw_slots_acquire(slots) == chunks.capacity - 1);
    expect_sound(slots);
    free(slots);
}

int main(void) {
    const char *seconds = getenv("HEAPWRIGHT_FUZZ_SECONDS");
    time_t end = time(NULL) + (seconds ? atoi(seconds) : 0);
    chunks_tile_the_slots();
    damage();
    six_levels();
    uint64_t seed = seconds ? (uint64_t)time(NULL) : 1;
    for (int i = 0; i < 60 || time(NULL) < end; i++) random_program(seed + (uint64_t)i);
    return 0;
}
