/* Live samples: address -> (stack, weight) for every sampled block that has not been freed: an address table
 * (core/address_table.h, which has the invariants and the contracts) whose values are packed pairs. */
#ifndef HW_CORE_SAMPLE_TABLE_H
#define HW_CORE_SAMPLE_TABLE_H

#include "core/address_table.h"

#include <assert.h>

#define HW_SAMPLE_STACK_BITS 18
#define HW_SAMPLE_STACK_MASK ((UINT64_C(1) << HW_SAMPLE_STACK_BITS) - 1)
#define HW_SAMPLE_WEIGHT_MAX ((UINT64_C(1) << (64 - HW_SAMPLE_STACK_BITS)) - 1) /* 64 TiB */

typedef hw_address_slot hw_sample_slot; /* value: weight << HW_SAMPLE_STACK_BITS | stack */
typedef hw_address_table hw_sample_table;

typedef struct {
    uint32_t stack;        /* < 2^HW_SAMPLE_STACK_BITS */
    uint64_t weight_bytes; /* <= HW_SAMPLE_WEIGHT_MAX */
} hw_sample;

static inline hw_sample hw_sample_unpack(uint64_t value) {
    return (hw_sample){(uint32_t)(value & HW_SAMPLE_STACK_MASK), value >> HW_SAMPLE_STACK_BITS};
}

static inline void hw_sample_table_init(hw_sample_table *table, hw_sample_slot *slots, size_t capacity) {
    hw_address_table_init(table, slots, capacity);
}

static inline bool hw_sample_table_is_full(const hw_sample_table *table) { return hw_address_table_is_full(table); }

static inline void hw_sample_table_rehash(hw_sample_table *table, hw_sample_slot *slots, size_t capacity) {
    hw_address_table_rehash(table, slots, capacity);
}

static inline void hw_sample_table_insert(hw_sample_table *table, uint64_t address, hw_sample sample) {
    assert(sample.stack <= HW_SAMPLE_STACK_MASK && sample.weight_bytes <= HW_SAMPLE_WEIGHT_MAX);
    hw_address_table_insert(table, address, sample.weight_bytes << HW_SAMPLE_STACK_BITS | sample.stack);
}

static inline bool hw_sample_table_remove(hw_sample_table *table, uint64_t address, hw_sample *sample) {
    uint64_t value = 0;
    bool found = hw_address_table_remove(table, address, &value);
    if (found) *sample = hw_sample_unpack(value);
    return found;
}

/* What is in slot number `slot` < capacity: false if nothing. For walking over all of them. */
static inline bool hw_sample_table_at(const hw_sample_table *table, size_t slot, hw_sample *sample) {
    *sample = hw_sample_unpack(table->slots[slot].value);
    return table->slots[slot].address != 0;
}

static inline bool hw_sample_table_check(const hw_sample_table *table) { return hw_address_table_check(table); }

#endif
