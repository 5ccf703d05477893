/* "Surely not sampled": one byte load that answers the question for nearly every block that is freed. A counting Bloom
 * filter with one hash: slot k counts the live samples whose address hashes to k, so 0 means that there are none.
 *
 * With s live samples a block that was not sampled is taken for one with probability below s / 131072, and then costs
 * one look into the table. The counters stick at 255: such a slot only ever says "perhaps", which is safe.
 *
 * Readers take no lock. A thread that frees a block got its address from the thread that allocated it, so whatever
 * carried the address over also orders the increment before the load. Writers hold the sampler's lock. */
#ifndef HW_CORE_ADDRESS_FILTER_H
#define HW_CORE_ADDRESS_FILTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HW_FILTER_BITS 17
#define HW_FILTER_STUCK 255

typedef struct {
    _Atomic uint8_t count[1u << HW_FILTER_BITS]; /* where nothing was counted, all pages are the kernel's one zero page */
} hw_address_filter;

/* Fibonacci hashing (Knuth 6.4): the high bits of the product depend on all bits of the address. */
static inline uint32_t hw_filter_slot(uint64_t address) {
    return (uint32_t)((address * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - HW_FILTER_BITS));
}

static inline bool hw_filter_may_hold(const hw_address_filter *filter, uint64_t address) {
    return atomic_load_explicit(&filter->count[hw_filter_slot(address)], memory_order_relaxed) != 0;
}

static inline void hw_filter_add(hw_address_filter *filter, uint64_t address) {
    _Atomic uint8_t *count = &filter->count[hw_filter_slot(address)];
    uint8_t now = atomic_load_explicit(count, memory_order_relaxed);
    if (now != HW_FILTER_STUCK) atomic_store_explicit(count, (uint8_t)(now + 1), memory_order_relaxed);
}

static inline void hw_filter_remove(hw_address_filter *filter, uint64_t address) {
    _Atomic uint8_t *count = &filter->count[hw_filter_slot(address)];
    uint8_t now = atomic_load_explicit(count, memory_order_relaxed);
    if (now != HW_FILTER_STUCK && now != 0) atomic_store_explicit(count, (uint8_t)(now - 1), memory_order_relaxed);
}

/* Readers that run meanwhile see some slots before and some after. Pages where nothing was counted stay zero pages. */
static inline void hw_filter_clear(hw_address_filter *filter) {
    for (uint32_t slot = 0; slot < 1u << HW_FILTER_BITS; slot++)
        if (atomic_load_explicit(&filter->count[slot], memory_order_relaxed) != 0)
            atomic_store_explicit(&filter->count[slot], 0, memory_order_relaxed);
}

#endif
