/* Account: what is out, the most that ever was, and all there ever was; and a limit that is never passed.
 *
 * Three quantities move together, so that one look at an account is consistent: requested bytes, allocated bytes, blocks.
 * The limit is on requested bytes. Nothing here can fail half-way, takes memory, or calls anybody; so whoever is called
 * with a lock held for its whole length (the binding: the GIL) is exact in every thread, in finalizers, in signal handlers
 * and after a fork, where a lock of its own would be a deadlock.
 *
 * Invariants, asserted after each change:
 *   C1  current <= peak <= total, of each quantity
 *   C2  requested.current <= limit */
#ifndef HW_CORE_ACCOUNT_H
#define HW_CORE_ACCOUNT_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t current, peak, total;
} hw_tally;

typedef struct {
    uint64_t limit_bytes; /* UINT64_MAX: none */
    hw_tally requested, allocated, blocks;
    uint64_t refused; /* requests that were not served: over the limit, or so says the owner */
} hw_account;

/* What a request takes, or a block gives back. */
typedef struct {
    uint64_t requested, allocated, blocks;
} hw_amounts;

static inline void hw_tally_take(hw_tally *tally, uint64_t amount) {
    tally->current += amount;
    tally->total += amount;
    if (tally->current > tally->peak) tally->peak = tally->current;
}

static inline bool hw_tally_holds(const hw_tally *tally) {
    return tally->current <= tally->peak && tally->peak <= tally->total;
}

static inline bool hw_account_holds(const hw_account *account) {
    return hw_tally_holds(&account->requested) && hw_tally_holds(&account->allocated) && hw_tally_holds(&account->blocks) &&
           account->requested.current <= account->limit_bytes;
}

/* All of it, or nothing and one more refusal. */
static inline bool hw_account_take(hw_account *account, hw_amounts amounts) {
    if (amounts.requested > account->limit_bytes - account->requested.current) { /* C2: no underflow */
        account->refused++;
        return false;
    }
    hw_tally_take(&account->requested, amounts.requested);
    hw_tally_take(&account->allocated, amounts.allocated);
    hw_tally_take(&account->blocks, amounts.blocks);
    assert(hw_account_holds(account));
    return true;
}

/* All of it, or nothing where that is more than is out. */
static inline bool hw_account_give(hw_account *account, hw_amounts amounts) {
    if (amounts.requested > account->requested.current || amounts.allocated > account->allocated.current ||
        amounts.blocks > account->blocks.current)
        return false;
    account->requested.current -= amounts.requested;
    account->allocated.current -= amounts.allocated;
    account->blocks.current -= amounts.blocks;
    assert(hw_account_holds(account));
    return true;
}

#endif
