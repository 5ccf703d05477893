#include "core/poisson.h"

#include <assert.h>
#include <math.h>

uint64_t hw_poisson_seed(uint64_t seed) {
    seed += UINT64_C(0x9E3779B97F4A7C15);
    seed = (seed ^ (seed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    seed = (seed ^ (seed >> 27)) * UINT64_C(0x94D049BB133111EB);
    seed ^= seed >> 31;
    return seed != 0 ? seed : 1;
}

int64_t hw_poisson_gap_bytes(uint64_t *state, uint64_t mean_bytes) {
    assert(*state != 0 && mean_bytes > 0);
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    /* 53 random bits, as a double in (0, 1]: 0 is left out because its logarithm does not exist. */
    double uniform = (double)(((x * UINT64_C(0x2545F4914F6CDD1D)) >> 11) + 1) * 0x1p-53;
    double gap = -log(uniform) * (double)mean_bytes;
    return gap < 0x1p62 ? (int64_t)gap : INT64_C(1) << 62;
}

uint64_t hw_poisson_weight_bytes(uint64_t size_bytes, uint64_t mean_bytes) {
    double ratio = (double)size_bytes / (double)mean_bytes;
    if (ratio > 40.0) return size_bytes; /* exp(-40) is below half a byte in 2^56 */
    if (ratio < 1e-12) return mean_bytes;
    return (uint64_t)((double)size_bytes / -expm1(-ratio) + 0.5);
}
