/* The atomic operations of the lock-free parts of core, by names of our own, so that a test can put a scheduler in their
 * place and try every interleaving (tests/native/explore.h does). Each says its memory order where it is used.
 *
 * HW_COUNT is a statistic with one writer: readers may come late, and nothing is decided by it. */
#ifndef HW_CORE_ATOMICS_H
#define HW_CORE_ATOMICS_H

#ifndef HW_ATOMICS_REPLACED
#include <stdatomic.h>

#define HW_LOAD(object, order) atomic_load_explicit(object, order)
#define HW_STORE(object, value, order) atomic_store_explicit(object, value, order)
/* On failure *expected is what was found, read with `otherwise`. */
#define HW_CAS(object, expected, value, order, otherwise)                                                              \
    atomic_compare_exchange_weak_explicit(object, expected, value, order, otherwise)
#endif

#define HW_COUNT(object)                                                                                               \
    atomic_store_explicit(object, atomic_load_explicit(object, memory_order_relaxed) + 1, memory_order_relaxed)

#endif
