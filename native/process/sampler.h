/* The sampler: which call sites hold the bytes. Every allocated byte has the same small chance of being sampled (a
 * Poisson process with a mean of `mean_bytes`), so a block of n bytes is sampled with probability 1 - exp(-n/mean) and
 * then stands for n / (1 - exp(-n/mean)) bytes: an unbiased estimate. The allocator calls the two functions below for
 * every block it hands out or takes back; the common case is one subtraction and one test. */
#ifndef HW_PROCESS_SAMPLER_H
#define HW_PROCESS_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

/* Called from any thread, with or without the GIL, never inside the allocator's own lock. */
void hw_sampler_allocated(void *address, size_t size_bytes);
void hw_sampler_freed(void *address);

#endif
