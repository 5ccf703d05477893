#include "core/slots.h"

#include <assert.h>
#include <string.h>

static uint64_t words_for(uint64_t bits) { return (bits + 63) / 64; }

/* Where each level begins and how many there are; returns the words of all. */
static uint64_t lay_out(uint32_t numbered, uint32_t level[HW_SLOTS_LEVELS], uint32_t *levels) {
    uint64_t words = 0, of_level = words_for(numbered);
    for (*levels = 0;; of_level = words_for(of_level)) {
        level[(*levels)++] = (uint32_t)words;
        words += of_level;
        if (of_level == 1) return words;
    }
}

size_t hw_slots_control_bytes(uint32_t numbered) {
    uint32_t level[HW_SLOTS_LEVELS], levels;
    return sizeof(hw_slots) + sizeof(uint64_t) * lay_out(numbered, level, &levels);
}

hw_slots *hw_slots_init(void *control, hw_chunks chunks, uint32_t numbered) {
    assert(chunks.first_shift < 32 && chunks.capacity >= 1 && chunks.capacity <= HW_SLOTS_MAX);
    assert(numbered >= 1 && numbered <= chunks.capacity);
    hw_slots *slots = control;
    memset(slots, 0, hw_slots_control_bytes(numbered));
    slots->chunks = chunks;
    slots->numbered = numbered;
    lay_out(numbered, slots->level, &slots->levels);
    return slots;
}

/* Sets the upper levels from the leaves. */
static void summarise(hw_slots *slots) {
    uint64_t below = words_for(slots->numbered);
    for (uint32_t level = 1; level < slots->levels; level++) {
        uint64_t *words = slots->words + slots->level[level];
        const uint64_t *under = slots->words + slots->level[level - 1];
        memset(words, 0, words_for(below) * sizeof *words);
        for (uint64_t i = 0; i < below; i++) words[i / 64] |= (uint64_t)(under[i] != 0) << i % 64;
        below = words_for(below);
    }
}

hw_slots *hw_slots_grow(const hw_slots *slots, void *larger, uint32_t numbered) {
    assert(numbered >= slots->numbered);
    hw_slots *grown = hw_slots_init(larger, slots->chunks, numbered);
    grown->present = slots->present;
    memcpy(grown->live, slots->live, sizeof slots->live);
    grown->live_slots = slots->live_slots;
    grown->free_slots = slots->free_slots;
    grown->peak_slots = slots->peak_slots;
    grown->acquired = slots->acquired;
    grown->released = slots->released;
    memcpy(grown->words, slots->words, words_for(slots->numbered) * sizeof *grown->words);
    summarise(grown);
    return grown;
}

uint32_t hw_slots_absent(const hw_slots *slots) {
    uint32_t chunk = (uint32_t)__builtin_ctzll(~slots->present);
    return chunk < hw_chunks_count(slots->chunks) ? chunk : HW_CHUNKS_MAX;
}

/* Sets or clears the leaf bits of a whole chunk. */
static void mark(hw_slots *slots, uint32_t chunk, bool free) {
    uint32_t end = hw_chunks_end(slots->chunks, chunk);
    for (uint32_t slot = hw_chunks_first(slots->chunks, chunk), next; slot < end; slot = next) {
        next = (slot / 64 + 1) * 64 < end ? (slot / 64 + 1) * 64 : end;
        uint64_t mask = (next - slot == 64 ? UINT64_MAX : (UINT64_C(1) << (next - slot)) - 1) << slot % 64;
        if (free) slots->words[slot / 64] |= mask;
        else slots->words[slot / 64] &= ~mask;
    }
    summarise(slots);
}

void hw_slots_add(hw_slots *slots, uint32_t chunk) {
    assert(chunk < hw_chunks_count(slots->chunks) && !(slots->present >> chunk & 1));
    assert(hw_chunks_end(slots->chunks, chunk) <= slots->numbered);
    slots->present |= UINT64_C(1) << chunk;
    slots->free_slots += hw_chunks_slots(slots->chunks, chunk);
    mark(slots, chunk, true);
}

bool hw_slots_remove(hw_slots *slots, uint32_t chunk) {
    if (chunk >= HW_CHUNKS_MAX || !(slots->present >> chunk & 1) || slots->live[chunk] != 0) return false;
    slots->present &= ~(UINT64_C(1) << chunk);
    slots->free_slots -= hw_chunks_slots(slots->chunks, chunk);
    mark(slots, chunk, false);
    return true;
}

const char *hw_slots_check(const hw_slots *slots, uint32_t *where) {
    uint64_t live_slots = 0, free_slots = 0, leaves = 0;
    for (uint32_t chunk = 0; chunk < HW_CHUNKS_MAX; chunk++) {
        *where = chunk;
        bool numbered = chunk < hw_chunks_count(slots->chunks) && hw_chunks_end(slots->chunks, chunk) <= slots->numbered;
        bool present = slots->present >> chunk & 1;
        if (present && !numbered) return "F2";
        uint32_t set = 0;
        uint32_t end = chunk < hw_chunks_count(slots->chunks) ? hw_chunks_end(slots->chunks, chunk) : 0;
        if (end > slots->numbered) end = slots->numbered;
        for (uint32_t slot = end ? hw_chunks_first(slots->chunks, chunk) : 0; slot < end; slot++)
            set += slots->words[slot / 64] >> slot % 64 & 1;
        if (slots->live[chunk] != (present ? hw_chunks_slots(slots->chunks, chunk) - set : 0) || (!present && set)) return "F1";
        live_slots += slots->live[chunk];
        free_slots += set;
    }
    uint64_t below = words_for(slots->numbered);
    for (uint64_t i = 0; i < below; i++) leaves += (uint64_t)__builtin_popcountll(slots->words[i]);
    if (leaves != free_slots) return "F2";
    for (uint32_t level = 1; level < slots->levels; below = words_for(below), level++)
        for (uint64_t i = 0; i < words_for(below) * 64; i++) {
            *where = (uint32_t)i;
            bool set = slots->words[slots->level[level] + i / 64] >> i % 64 & 1;
            if (set != (i < below && slots->words[slots->level[level - 1] + i] != 0)) return "F3";
        }
    *where = 0;
    if (slots->live_slots != live_slots || slots->free_slots != free_slots) return "F4";
    if (live_slots > slots->peak_slots || slots->peak_slots > slots->chunks.capacity) return "F4";
    return slots->acquired - slots->released == live_slots ? NULL : "F5";
}
