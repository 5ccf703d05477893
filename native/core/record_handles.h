/* Handles: the roots of a record heap, and its weak handles, in one table. An entry says which record it is about; when
 * records move only the entries are rewritten, and whoever holds a handle holds the number of the entry, and the
 * generation that it had: an entry that was given up and given out again has another one, so a stale handle is found out
 * by one comparison. An entry whose generations are used up is not given out again.
 *
 * There is at most one strong handle of a record, found through a hash map from records to entries: so handles of the same
 * record are the same, whatever way led to it.
 *
 * The table is the caller's memory, grown in place (raise `capacity`). The map is the caller's too: when
 * hw_record_handles_map_full, give a larger one (hw_record_handles_remap).
 *
 * Source of generation-tagged handles: Noel Llopis, Managing Data Relationships, Game Developer, 2007. */
#ifndef HW_CORE_RECORD_HANDLES_H
#define HW_CORE_RECORD_HANDLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HW_HANDLE_NONE UINT32_MAX

enum hw_record_handle_kind {
    HW_HANDLE_FREE,
    HW_HANDLE_STRONG,
    HW_HANDLE_WEAK,
    HW_HANDLE_RUN, /* a root too: records one behind the other, which they stay, since all of them live and none is put between */
};

typedef struct {
    uint64_t id;    /* of a record, of a run the first; of a weak handle whose record is gone, and of a free entry, UINT64_MAX */
    uint64_t owner; /* the caller's; of a run, how many records; of a free entry, the next free one */
    uint32_t generation;
    uint32_t kind;
} hw_record_handle_entry;

typedef struct {
    uint32_t slot, generation;
} hw_record_handle;

typedef struct {
    hw_record_handle_entry *entries;
    uint32_t capacity, used, free;     /* entries; the first free one */
    uint32_t strong_count, weak_count, run_count;
    uint32_t *map;                     /* map_capacity slots, a power of two, at most half of them taken; HW_HANDLE_NONE: empty */
    uint32_t map_capacity;
} hw_record_handles;

/* No handles, over memory for `capacity` entries and `map_capacity` words. */
void hw_record_handles_init(hw_record_handles *handles, hw_record_handle_entry *entries, uint32_t capacity, uint32_t *map,
                            uint32_t map_capacity);

/* Whether the next handle would not fit: the entries are used up, or the map is. */
bool hw_record_handles_no_entry(const hw_record_handles *handles);
bool hw_record_handles_map_full(const hw_record_handles *handles);

/* Makes the map anew in another place. O(entries). */
void hw_record_handles_remap(hw_record_handles *handles, uint32_t *map, uint32_t map_capacity);

/* The strong handle of a record, or HW_HANDLE_NONE. */
uint32_t hw_record_handles_find(const hw_record_handles *handles, uint64_t id);

/* A new entry; the caller has looked that there is room, and for a strong one that the record has none. */
uint32_t hw_record_handles_add(hw_record_handles *handles, enum hw_record_handle_kind kind, uint64_t id, uint64_t owner);
void hw_record_handles_remove(hw_record_handles *handles, uint32_t slot);

/* NULL if the handle is stale. */
static inline hw_record_handle_entry *hw_record_handle_entry_of(const hw_record_handles *handles, hw_record_handle handle) {
    hw_record_handle_entry *entry = &handles->entries[handle.slot]; /* entries are never taken away: any slot ever given is there */
    return __builtin_expect(entry->generation == handle.generation, 1) ? entry : NULL;
}

/* How many records an entry keeps: the one that it is about and those behind it. */
static inline uint64_t hw_record_handle_roots(const hw_record_handle_entry *entry) {
    return entry->kind == HW_HANDLE_STRONG ? 1 : entry->kind == HW_HANDLE_RUN ? entry->owner : 0;
}

/* Walks the table: NULL, or the name of what does not hold, and the slot. O(entries). */
const char *hw_record_handles_check(const hw_record_handles *handles, uint32_t *slot);

#endif
