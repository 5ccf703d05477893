/* Poisson sampling of bytes: every byte that is allocated is a sampling point with the same small chance 1/mean,
 * independently of all others. The distance to the next point is then exponential with that mean, so a thread counts
 * down once per block instead of throwing dice once per byte, and a block of n bytes holds a point with probability
 *
 *      p(n) = 1 - exp(-n / mean).
 *
 * A block that was hit stands for n / p(n) bytes: the expectation over all blocks is exactly what was allocated
 * (Horvitz and Thompson, 1952), for blocks of a byte as for blocks of a terabyte. The exponential has no memory, so
 * the distance may be drawn afresh at the end of a sampled block, after a fork, or when sampling starts, without bias.
 *
 * Pure arithmetic: no state of its own. */
#ifndef HW_CORE_POISSON_H
#define HW_CORE_POISSON_H

#include <stdint.h>

/* A generator state that is never zero, however poor `seed` is (splitmix64, Steele et al. 2014). */
uint64_t hw_poisson_seed(uint64_t seed);

/* Bytes to the next sampling point: exponential with the given mean (> 0), rounded down, >= 0. Rounding is exact, not
 * an approximation: a block of n whole bytes is hit if and only if the unrounded distance is < n. Advances `state`
 * (xorshift64*, Vigna 2016), which must not be 0. */
int64_t hw_poisson_gap_bytes(uint64_t *state, uint64_t mean_bytes);

/* The bytes that a sampled block of `size_bytes` stands for, rounded to the nearest: size / (1 - exp(-size / mean)).
 * Never less than the size, nor than the mean (rounded down). */
uint64_t hw_poisson_weight_bytes(uint64_t size_bytes, uint64_t mean_bytes);

#endif
