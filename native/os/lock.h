/* A mutual-exclusion lock of one word (futex): 0 free, 1 held, 2 held and waited for. Drepper, "Futexes are tricky"
 * (2011), mutex 2. Uncontended lock and unlock are one atomic instruction each, inlined into the allocator's path. */
#ifndef HW_OS_LOCK_H
#define HW_OS_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    _Atomic uint32_t word;
} hw_lock;

void hw_lock_wait(hw_lock *lock);
void hw_lock_wake(hw_lock *lock);

static inline void hw_lock_acquire(hw_lock *lock) {
    uint32_t expected = 0;
    /* acquire: what the last holder wrote is visible from here on */
    if (!atomic_compare_exchange_strong_explicit(&lock->word, &expected, 1, memory_order_acquire, memory_order_relaxed))
        hw_lock_wait(lock);
}

/* False: somebody has it. */
static inline bool hw_lock_try(hw_lock *lock) {
    uint32_t expected = 0;
    return atomic_compare_exchange_strong_explicit(&lock->word, &expected, 1, memory_order_acquire, memory_order_relaxed);
}

static inline void hw_lock_release(hw_lock *lock) {
    /* release: what this holder wrote is visible to the next */
    if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2) hw_lock_wake(lock);
}

#endif
