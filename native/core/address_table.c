#include "core/address_table.h"

#include <assert.h>

static size_t home(const hw_address_table *table, uint64_t address) {
    uint64_t mixed = address * UINT64_C(0x9E3779B97F4A7C15); /* the good bits of a product are the high ones */
    return (size_t)(mixed >> 32) & (table->capacity - 1);
}

static size_t next(const hw_address_table *table, size_t slot) { return (slot + 1) & (table->capacity - 1); }

/* The address's slot, or the empty one that ends the search for it. */
static size_t search(const hw_address_table *table, uint64_t address) {
    size_t slot = home(table, address);
    while (table->slots[slot].address != address && table->slots[slot].address != 0) slot = next(table, slot);
    return slot;
}

static void put(hw_address_table *table, hw_address_slot entry) {
    size_t slot = search(table, entry.address);
    assert(table->slots[slot].address == 0);
    table->slots[slot] = entry;
    table->count++;
}

void hw_address_table_init(hw_address_table *table, hw_address_slot *slots, size_t capacity) {
    assert(capacity != 0 && (capacity & (capacity - 1)) == 0);
    *table = (hw_address_table){.slots = slots, .capacity = capacity, .count = 0};
}

bool hw_address_table_is_full(const hw_address_table *table) { return 2 * (table->count + 1) > table->capacity; }

void hw_address_table_rehash(hw_address_table *table, hw_address_slot *slots, size_t capacity) {
    hw_address_table old = *table;
    hw_address_table_init(table, slots, capacity);
    for (size_t slot = 0; slot < old.capacity; slot++)
        if (old.slots[slot].address != 0) put(table, old.slots[slot]);
    assert(table->count == old.count);
}

void hw_address_table_insert(hw_address_table *table, uint64_t address, uint64_t value) {
    assert(address != 0 && !hw_address_table_is_full(table));
    put(table, (hw_address_slot){address, value});
}

bool hw_address_table_find(const hw_address_table *table, uint64_t address, uint64_t *value) {
    const hw_address_slot *slot = &table->slots[search(table, address)];
    *value = slot->value;
    return slot->address != 0;
}

bool hw_address_table_remove(hw_address_table *table, uint64_t address, uint64_t *value) {
    size_t hole = search(table, address);
    if (table->slots[hole].address == 0) return false;
    *value = table->slots[hole].value;
    /* Close the hole: an entry further on may move into it if its home is not strictly between the two (cyclically),
     * for then it stays reachable (I3). The last hole is a slot before an empty one. */
    for (size_t slot = next(table, hole); table->slots[slot].address != 0; slot = next(table, slot)) {
        size_t mask = table->capacity - 1;
        size_t from_home = (slot - home(table, table->slots[slot].address)) & mask;
        size_t from_hole = (slot - hole) & mask;
        if (from_home >= from_hole) {
            table->slots[hole] = table->slots[slot];
            hole = slot;
        }
    }
    table->slots[hole].address = 0;
    table->count--;
    return true;
}

bool hw_address_table_check(const hw_address_table *table) {
    size_t count = 0;
    for (size_t slot = 0; slot < table->capacity; slot++) {
        uint64_t address = table->slots[slot].address;
        if (address == 0) continue;
        count++;
        if (search(table, address) != slot) return false; /* I2, I3 */
    }
    return count == table->count && 2 * count <= table->capacity; /* I1 */
}
