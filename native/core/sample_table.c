#include "core/sample_table.h"

#include <assert.h>

#define STACK_MASK ((UINT64_C(1) << HW_SAMPLE_STACK_BITS) - 1)

static size_t home(const hw_sample_table *table, uint64_t address) {
    uint64_t mixed = address * UINT64_C(0x9E3779B97F4A7C15); /* the good bits of a product are the high ones */
    return (size_t)(mixed >> 32) & (table->capacity - 1);
}

static size_t next(const hw_sample_table *table, size_t slot) { return (slot + 1) & (table->capacity - 1); }

static hw_sample unpack(uint64_t packed) {
    return (hw_sample){(uint32_t)(packed & STACK_MASK), packed >> HW_SAMPLE_STACK_BITS};
}

void hw_sample_table_init(hw_sample_table *table, hw_sample_slot *slots, size_t capacity) {
    assert(capacity != 0 && (capacity & (capacity - 1)) == 0);
    *table = (hw_sample_table){.slots = slots, .capacity = capacity, .count = 0};
}

bool hw_sample_table_is_full(const hw_sample_table *table) { return 2 * (table->count + 1) > table->capacity; }

static void put(hw_sample_table *table, hw_sample_slot entry) {
    size_t slot = home(table, entry.address);
    while (table->slots[slot].address != 0) {
        assert(table->slots[slot].address != entry.address);
        slot = next(table, slot);
    }
    table->slots[slot] = entry;
    table->count++;
}

void hw_sample_table_rehash(hw_sample_table *table, hw_sample_slot *slots, size_t capacity) {
    hw_sample_table old = *table;
    hw_sample_table_init(table, slots, capacity);
    for (size_t slot = 0; slot < old.capacity; slot++)
        if (old.slots[slot].address != 0) put(table, old.slots[slot]);
    assert(table->count == old.count);
}

void hw_sample_table_insert(hw_sample_table *table, uint64_t address, hw_sample sample) {
    assert(address != 0 && !hw_sample_table_is_full(table));
    assert(sample.stack <= STACK_MASK && sample.weight_bytes <= HW_SAMPLE_WEIGHT_MAX);
    put(table, (hw_sample_slot){address, sample.weight_bytes << HW_SAMPLE_STACK_BITS | sample.stack});
}

bool hw_sample_table_remove(hw_sample_table *table, uint64_t address, hw_sample *sample) {
    size_t hole = home(table, address);
    while (table->slots[hole].address != address) {
        if (table->slots[hole].address == 0) return false;
        hole = next(table, hole);
    }
    *sample = unpack(table->slots[hole].packed);
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

bool hw_sample_table_at(const hw_sample_table *table, size_t slot, hw_sample *sample) {
    *sample = unpack(table->slots[slot].packed);
    return table->slots[slot].address != 0;
}

bool hw_sample_table_check(const hw_sample_table *table) {
    size_t count = 0;
    for (size_t slot = 0; slot < table->capacity; slot++) {
        uint64_t address = table->slots[slot].address;
        if (address == 0) continue;
        count++;
        for (size_t at = home(table, address); at != slot; at = next(table, at))
            if (table->slots[at].address == 0 || table->slots[at].address == address) return false; /* I3, I2 */
    }
    return count == table->count && 2 * count <= table->capacity; /* I1 */
}
