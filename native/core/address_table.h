/* Address table: address -> one 64-bit value. Open addressing with linear probing; a removed entry is closed up by
 * shifting its followers back (Knuth 6.4, algorithm R), so there are no tombstones and a search ends at the first empty
 * slot.
 *
 *   I1  capacity is a power of two, and 2 * count <= capacity: every probe sequence meets an empty slot.
 *   I2  an address is in at most one slot; address 0 marks an empty one.
 *   I3  between an entry's home slot and its slot there is no empty slot.
 *
 * Expected cost of each operation: O(1). The caller supplies the memory and serialises the calls. */
#ifndef HW_CORE_ADDRESS_TABLE_H
#define HW_CORE_ADDRESS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t address; /* 0: empty */
    uint64_t value;
} hw_address_slot;

typedef struct {
    hw_address_slot *slots;
    size_t capacity; /* slots */
    size_t count;
} hw_address_table;

/* `slots` is zeroed memory for `capacity` slots, a power of two. */
void hw_address_table_init(hw_address_table *table, hw_address_slot *slots, size_t capacity);

/* True when one more insert would break I1: first rehash into twice the memory. */
bool hw_address_table_is_full(const hw_address_table *table);

/* Moves every entry into `slots`: zeroed memory for more slots than before. The old memory is the caller's again. */
void hw_address_table_rehash(hw_address_table *table, hw_address_slot *slots, size_t capacity);

/* Precondition: the table is not full, and the address is neither 0 nor in it. */
void hw_address_table_insert(hw_address_table *table, uint64_t address, uint64_t value);

/* False if the address is not in the table. */
bool hw_address_table_find(const hw_address_table *table, uint64_t address, uint64_t *value);

/* False, and no effect, if the address is not in the table. */
bool hw_address_table_remove(hw_address_table *table, uint64_t address, uint64_t *value);

/* Walks I1 to I3. O(capacity). */
bool hw_address_table_check(const hw_address_table *table);

#endif
