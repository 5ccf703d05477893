#include "core/record_handles.h"

#include <assert.h>
#include <string.h>

#define NOBODY UINT64_MAX
#define RETIRED UINT32_MAX /* a generation that no handle has */

static uint32_t home(const hw_record_handles *handles, uint64_t id) {
    /* Fibonacci hashing, Knuth 6.4: neighbours, which records mostly are, spread out */
    return (uint32_t)((id * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (handles->map_capacity - 1);
}

static uint32_t after(const hw_record_handles *handles, uint32_t place) { return (place + 1) & (handles->map_capacity - 1); }

static void map_insert(hw_record_handles *handles, uint32_t slot) {
    uint32_t place = home(handles, handles->entries[slot].id);
    while (handles->map[place] != HW_HANDLE_NONE) place = after(handles, place);
    handles->map[place] = slot;
}

/* No tombstones: what would not be found past the gap is moved into it (Knuth 6.4, algorithm R). */
static void map_remove(hw_record_handles *handles, uint32_t slot) {
    uint32_t gap = home(handles, handles->entries[slot].id);
    while (handles->map[gap] != slot) gap = after(handles, gap);
    handles->map[gap] = HW_HANDLE_NONE;
    for (uint32_t place = after(handles, gap); handles->map[place] != HW_HANDLE_NONE; place = after(handles, place)) {
        uint32_t wanted = home(handles, handles->entries[handles->map[place]].id);
        bool reachable = gap <= place ? gap < wanted && wanted <= place : gap < wanted || wanted <= place;
        if (reachable) continue;
        handles->map[gap] = handles->map[place];
        handles->map[place] = HW_HANDLE_NONE;
        gap = place;
    }
}

void hw_record_handles_init(hw_record_handles *handles, hw_record_handle_entry *entries, uint32_t capacity, uint32_t *map,
                            uint32_t map_capacity) {
    *handles = (hw_record_handles){.entries = entries, .capacity = capacity, .free = HW_HANDLE_NONE};
    hw_record_handles_remap(handles, map, map_capacity);
}

bool hw_record_handles_no_entry(const hw_record_handles *handles) {
    return handles->free == HW_HANDLE_NONE && handles->used == handles->capacity;
}

bool hw_record_handles_map_full(const hw_record_handles *handles) {
    return 2 * (uint64_t)(handles->strong_count + 1) > handles->map_capacity;
}

void hw_record_handles_remap(hw_record_handles *handles, uint32_t *map, uint32_t map_capacity) {
    assert((map_capacity & (map_capacity - 1)) == 0 && map_capacity >= 2 * (uint64_t)handles->strong_count);
    handles->map = map;
    handles->map_capacity = map_capacity;
    memset(map, 0xFF, (size_t)map_capacity * sizeof *map);
    for (uint32_t slot = 0; slot < handles->used; slot++)
        if (handles->entries[slot].kind == HW_HANDLE_STRONG) map_insert(handles, slot);
}

uint32_t hw_record_handles_find(const hw_record_handles *handles, uint64_t id) {
    for (uint32_t place = home(handles, id);; place = after(handles, place)) {
        uint32_t slot = handles->map[place];
        if (slot == HW_HANDLE_NONE || handles->entries[slot].id == id) return slot;
    }
}

uint32_t hw_record_handles_add(hw_record_handles *handles, enum hw_record_handle_kind kind, uint64_t id, uint64_t owner) {
    assert(!hw_record_handles_no_entry(handles));
    uint32_t slot = handles->free;
    hw_record_handle_entry *entry;
    if (slot != HW_HANDLE_NONE) {
        entry = &handles->entries[slot];
        handles->free = (uint32_t)entry->owner;
    } else {
        slot = handles->used++;
        entry = &handles->entries[slot];
        entry->generation = 1; /* so that a handle of zeros is stale */
    }
    entry->id = id;
    entry->owner = owner;
    entry->kind = kind;
    if (kind == HW_HANDLE_STRONG) {
        assert(!hw_record_handles_map_full(handles));
        handles->strong_count++;
        map_insert(handles, slot);
    }
    handles->weak_count += kind == HW_HANDLE_WEAK;
    handles->run_count += kind == HW_HANDLE_RUN;
    return slot;
}

void hw_record_handles_remove(hw_record_handles *handles, uint32_t slot) {
    hw_record_handle_entry *entry = &handles->entries[slot];
    assert(entry->kind != HW_HANDLE_FREE);
    if (entry->kind == HW_HANDLE_STRONG) {
        map_remove(handles, slot);
        handles->strong_count--;
    }
    handles->weak_count -= entry->kind == HW_HANDLE_WEAK;
    handles->run_count -= entry->kind == HW_HANDLE_RUN;
    entry->id = NOBODY;
    entry->kind = HW_HANDLE_FREE;
    if (++entry->generation == RETIRED) return;
    entry->owner = handles->free;
    handles->free = slot;
}

const char *hw_record_handles_check(const hw_record_handles *handles, uint32_t *slot) {
    uint32_t strong = 0, weak = 0, runs = 0, free = 0, retired = 0, mapped = 0;
    for (*slot = 0; *slot < handles->used; ++*slot) {
        const hw_record_handle_entry *entry = &handles->entries[*slot];
        strong += entry->kind == HW_HANDLE_STRONG;
        weak += entry->kind == HW_HANDLE_WEAK;
        runs += entry->kind == HW_HANDLE_RUN;
        retired += entry->generation == RETIRED;
        if (entry->kind == HW_HANDLE_FREE && entry->id != NOBODY) return "a free entry is about nothing";
        if (entry->kind == HW_HANDLE_STRONG && hw_record_handles_find(handles, entry->id) != *slot)
            return "G7: the map finds the one strong handle of a record";
    }
    for (*slot = handles->free; *slot != HW_HANDLE_NONE; *slot = (uint32_t)handles->entries[*slot].owner) {
        if (*slot >= handles->used || handles->entries[*slot].kind != HW_HANDLE_FREE || ++free > handles->used)
            return "the free list is of free entries";
    }
    for (uint32_t place = 0; place < handles->map_capacity; place++) mapped += handles->map[place] != HW_HANDLE_NONE;
    *slot = 0;
    if (mapped != strong) return "G7: the map has the strong handles and nothing else";
    if (strong != handles->strong_count || weak != handles->weak_count || runs != handles->run_count ||
        strong + weak + runs + free + retired != handles->used)
        return "handles are counted";
    return NULL;
}
