/* Size classes: every size up to 16 units is a class of its own; beyond, each doubling is divided into eight. So a class
 * exceeds the sizes in it by less than an eighth of them, or by less than a unit: two sizes of one class that differ by a
 * unit or more are greater than 16 units.
 *
 * A size that is a multiple of 2^k units has a class that is, too: above 2^k the classes lie 2^j apart; for j >= k all of
 * them are multiples, and for j < k the size itself is a class. */
#ifndef HW_CORE_SIZE_CLASS_H
#define HW_CORE_SIZE_CLASS_H

#include <stdint.h>

/* The class of a size of 1 to 2^31 units: 0 for 1, and growing with the size. */
static inline uint32_t hw_size_class(uint32_t units) {
    uint32_t n = units - 1, shift = 28 - (uint32_t)__builtin_clz(n | 8);
    return (shift << 3) + (n >> shift);
}

/* The greatest size in a class. */
static inline uint32_t hw_size_class_units(uint32_t class) {
    uint32_t shift = class < 8 ? 0 : (class >> 3) - 1;
    return (class - (shift << 3) + 1) << shift;
}

#endif
