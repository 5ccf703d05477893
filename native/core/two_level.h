/* Two levels: the classes of TLSF, as arithmetic. The first level of a size is its power of two; the second divides that
 * range evenly into S = 2^HW_TWO_LEVEL_SECOND classes. Below S granules every size is a class of its own. Numbered
 * through, the class of a size grows with the size.
 *
 * The law of good fit, for sizes of 1 to 2^32 - 1 granules:
 *   G1  the class of a hole grows with the hole
 *   G2  every hole of class search(n) or above has at least n granules
 *   G3  every hole of at least n + n/S granules is of class search(n) or above
 * so a strategy that takes any hole of the first class from search(n) on that has one takes one that fits (G2), and says
 * bottom only where no hole has n + n/S granules (G3).
 *
 * Source: Masmano et al., ECRTS 2004, sections 3 and 4. There is no loop here, so the laws can be checked for all sizes. */
#ifndef HW_CORE_TWO_LEVEL_H
#define HW_CORE_TWO_LEVEL_H

#include "core/strategy.h"

/* 5 is a row of core/segregated.h for each power of two, 3 % waste and 7 KiB of heads at most. A model checker may want
 * fewer, so that a small heap reaches both levels. */
#ifndef HW_TWO_LEVEL_SECOND
#define HW_TWO_LEVEL_SECOND 5
#endif

/* The power of two by which sizes around this one are divided: 0 for all below 2 S. */
HW_FUSED uint32_t hw_two_level_shift(uint32_t size) {
    return 31 - (uint32_t)__builtin_clz(size | (uint32_t)1 << HW_TWO_LEVEL_SECOND) - HW_TWO_LEVEL_SECOND;
}

/* The class of a hole of `size` granules. */
HW_FUSED uint32_t hw_two_level_class(uint32_t size) {
    uint32_t shift = hw_two_level_shift(size);
    return (shift << HW_TWO_LEVEL_SECOND) + (size >> shift);
}

/* The first class in which every hole has at least `size` >= 1 granules. */
HW_FUSED uint32_t hw_two_level_search(uint32_t size) {
    uint32_t shift = hw_two_level_shift(size); /* rounded up into the next power of two, this is its first class */
    return (shift << HW_TWO_LEVEL_SECOND) + ((size - 1) >> shift) + 1;
}

#endif
