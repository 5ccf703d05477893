#include "os/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPINS 64

/* Neither touches errno: free() must not, and callers of free rely on it. */
static void futex(hw_lock *lock, int operation, uint32_t value) {
    int saved = errno;
    syscall(SYS_futex, &lock->word, operation, value, NULL, NULL, 0);
    errno = saved;
}

void hw_lock_wait(hw_lock *lock) {
    for (int i = 0; i < SPINS; i++) { /* the holder needs some tens of nanoseconds as a rule */
        uint32_t expected = 0;
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_weak_explicit(&lock->word, &expected, 1, memory_order_acquire, memory_order_relaxed))
            return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0)
        futex(lock, FUTEX_WAIT_PRIVATE, 2);
}

void hw_lock_wake(hw_lock *lock) { futex(lock, FUTEX_WAKE_PRIVATE, 1); }
