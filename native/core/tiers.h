/* Tiers: which size class a request goes to. Multiples of 16 up to 128 bytes, then eight classes per doubling:
 *
 *      16 32 48 ... 128 | 144 160 ... 256 | 288 320 ... 512 | 576 ...
 *
 * Laws, of all requests of `size` bytes at a multiple of `alignment` (a power of two), where r is size rounded up to the
 * alignment, and at least 1; tests/native/test_tiers.c walks every one of them up to the largest class:
 *   T1  r <= class bytes
 *   T2  class bytes - r < 16 for r <= 128, and < r / 8 above: at most 12.5 % of a request beyond 128 bytes is wasted
 *   T3  class bytes are a multiple of the alignment, if that is at most HW_TIERS_ALIGNMENT
 *   T4  no smaller class has T1 and T3
 *
 * Source: the geometric classes of jemalloc (Evans 2006), with eight steps to the doubling instead of four. */
#ifndef HW_CORE_TIERS_H
#define HW_CORE_TIERS_H

#include <stdint.h>

#define HW_TIERS_MAX 120u                         /* classes */
#define HW_TIERS_BYTES_MAX (UINT64_C(2) << 20)    /* the largest class */
#define HW_TIERS_ALIGNMENT 4096u

static inline uint64_t hw_tiers_bytes(uint32_t tier) {
    if (tier < 8) return 16 * (uint64_t)(tier + 1);
    uint32_t log = 7 + (tier - 8) / 8;
    return (UINT64_C(1) << log) + ((uint64_t)((tier - 8) % 8 + 1) << (log - 3));
}

/* The class of a request with size_bytes <= HW_TIERS_BYTES_MAX and alignment <= HW_TIERS_ALIGNMENT; HW_TIERS_MAX or more if
 * rounding up took it beyond the largest. Where classes are further apart than the alignment, each is a multiple of it;
 * where they are closer, every multiple of the alignment is a class: so the class of r is aligned (T3). */
static inline uint32_t hw_tiers_of(uint64_t size_bytes, uint64_t alignment) {
    uint64_t r = ((size_bytes ? size_bytes : 1) + alignment - 1) & ~(alignment - 1);
    if (r <= 128) return (uint32_t)((r - 1) / 16);
    uint32_t log = 63 - (uint32_t)__builtin_clzll(r - 1);
    return 8 + (log - 7) * 8 + (uint32_t)((r - 1) >> (log - 3) & 7);
}

/* What every slot of a class is aligned to, if its chunks are. */
static inline uint64_t hw_tiers_alignment(uint32_t tier) {
    uint64_t bytes = hw_tiers_bytes(tier), lowest = bytes & -bytes;
    return lowest < HW_TIERS_ALIGNMENT ? lowest : HW_TIERS_ALIGNMENT;
}

#endif
