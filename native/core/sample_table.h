/* Live samples: address -> (stack, weight) for every sampled block that has not been freed. Open addressing with
 * linear probing; a removed entry is closed up by shifting its followers back (Knuth 6.4, algorithm R), so there are
 * no tombstones and a search ends at the first empty slot.
 *
 *   I1  capacity is a power of two, and 2 * count <= capacity: every probe sequence meets an empty slot.
 *   I2  an address is in at most one slot; address 0 marks an empty one.
 *   I3  between an entry's home slot and its slot there is no empty slot.
 *
 * Expected cost of each operation: O(1). The caller supplies the memory and serialises the calls. */
#ifndef HW_CORE_SAMPLE_TABLE_H
#define HW_CORE_SAMPLE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HW_SAMPLE_STACK_BITS 18
#define HW_SAMPLE_WEIGHT_MAX ((UINT64_C(1) << (64 - HW_SAMPLE_STACK_BITS)) - 1) /* 64 TiB */

typedef struct {
    uint64_t address; /* 0: empty */
    uint64_t packed;  /* weight << HW_SAMPLE_STACK_BITS | stack */
} hw_sample_slot;

typedef struct {
    hw_sample_slot *slots;
    size_t capacity; /* slots */
    size_t count;
} hw_sample_table;

typedef struct {
    uint32_t stack;        /* < 2^HW_SAMPLE_STACK_BITS */
    uint64_t weight_bytes; /* <= HW_SAMPLE_WEIGHT_MAX */
} hw_sample;

/* `slots` is zeroed memory for `capacity` slots, a power of two. */
void hw_sample_table_init(hw_sample_table *table, hw_sample_slot *slots, size_t capacity);

/* True when one more insert would break I1: first rehash into twice the memory. */
bool hw_sample_table_is_full(const hw_sample_table *table);

/* Moves every entry into `slots`: zeroed memory for more slots than before. The old memory is the caller's again. */
void hw_sample_table_rehash(hw_sample_table *table, hw_sample_slot *slots, size_t capacity);

/* Precondition: the table is not full, and the address is neither 0 nor in it. */
void hw_sample_table_insert(hw_sample_table *table, uint64_t address, hw_sample sample);

/* False, and no effect, if the address is not in the table. */
bool hw_sample_table_remove(hw_sample_table *table, uint64_t address, hw_sample *sample);

/* What is in slot number `slot` < capacity: false if nothing. For walking over all of them. */
bool hw_sample_table_at(const hw_sample_table *table, size_t slot, hw_sample *sample);

/* Walks I1 to I3. O(capacity). */
bool hw_sample_table_check(const hw_sample_table *table);

#endif
