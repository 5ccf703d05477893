/* Accounts against plain book-keeping: random programs at, below and above a limit, C1 and C2 after each step. */
#undef NDEBUG
#include "core/account.h"

#include <stdio.h>

static uint64_t state = 88172645463325252u;

static uint64_t random_below(uint64_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, xorshift64 */
    return (state >> 16) % n;
}

static void random_program(uint64_t limit_bytes, int steps) {
    hw_account account = {.limit_bytes = limit_bytes};
    uint64_t out[3] = {0}, peak[3] = {0}, total[3] = {0}, refused = 0;
    for (int i = 0; i < steps; i++) {
        hw_amounts a = {random_below(100), random_below(120), random_below(2)};
        uint64_t amounts[3] = {a.requested, a.allocated, a.blocks};
        if (random_below(2)) {
            int fits = out[0] + a.requested <= limit_bytes;
            assert(hw_account_take(&account, a) == fits);
            refused += !fits;
            for (int k = 0; fits && k < 3; k++) {
                out[k] += amounts[k], total[k] += amounts[k];
                if (out[k] > peak[k]) peak[k] = out[k];
            }
        } else {
            int there = a.requested <= out[0] && a.allocated <= out[1] && a.blocks <= out[2];
            assert(hw_account_give(&account, a) == there);
            for (int k = 0; there && k < 3; k++) out[k] -= amounts[k];
        }
        const hw_tally *tallies[3] = {&account.requested, &account.allocated, &account.blocks};
        for (int k = 0; k < 3; k++)
            assert(tallies[k]->current == out[k] && tallies[k]->peak == peak[k] && tallies[k]->total == total[k]);
        assert(account.refused == refused && hw_account_holds(&account));
    }
}

static void the_ends_of_the_numbers(void) {
    hw_account account = {.limit_bytes = UINT64_MAX};
    assert(hw_account_take(&account, (hw_amounts){UINT64_MAX, 0, 0}));
    assert(!hw_account_take(&account, (hw_amounts){1, 0, 0}));
    assert(hw_account_give(&account, (hw_amounts){UINT64_MAX, 0, 0}));
    assert(!hw_account_give(&account, (hw_amounts){1, 0, 0}));
    hw_account none = {.limit_bytes = 0};
    assert(hw_account_take(&none, (hw_amounts){0, 0, 1}) && !hw_account_take(&none, (hw_amounts){1, 0, 0}));
}

int main(void) {
    the_ends_of_the_numbers();
    for (uint64_t limit = 0; limit <= 4000; limit += 97) random_program(limit, 3000);
    random_program(UINT64_MAX, 3000);
    puts("accounts: ok");
    return 0;
}
