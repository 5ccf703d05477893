/* The laws of good fit, G1 to G3, for all sizes below 2^17 and around every boundary beyond. */
#undef NDEBUG
#include "core/two_level.h"

#include <assert.h>
#include <stdio.h>

/* The least size of a class, by bisection over G1. */
static uint32_t least(uint32_t class) {
    uint64_t low = 1, high = (uint64_t)1 << 32;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (hw_two_level_class((uint32_t)middle) >= class) high = middle;
        else low = middle + 1;
    }
    return (uint32_t)low; /* 0: there is no such class */
}

static void laws(uint32_t size) {
    enum { S = 1 << HW_TWO_LEVEL_SECOND };
    if (size > 1) assert(hw_two_level_class(size - 1) <= hw_two_level_class(size)); /* G1 */
    uint32_t search = hw_two_level_search(size), smallest = least(search);
    assert(search - hw_two_level_class(size) <= 1);
    if (smallest == 0) return;
    assert(smallest >= size);                     /* G2, with G1 for all later classes */
    assert(smallest <= (uint64_t)size + size / S); /* G3, likewise */
    assert(hw_two_level_class(smallest) == search);
}

int main(void) {
    for (uint32_t size = 1; size < 1u << 17; size++) laws(size);
    for (uint32_t power = 1u << 16; power != 0; power <<= 1)
        for (uint32_t part = 0; part < 64; part++) /* both sides of every boundary of a class, and of half of one */
            for (int32_t beside = -2; beside <= 2; beside++) laws(power + power / 64 * part + (uint32_t)beside);
    laws(UINT32_MAX);
    for (uint32_t size = 1; size < 2u << HW_TWO_LEVEL_SECOND; size++) assert(hw_two_level_class(size) == size);
    puts("two_level: ok");
    return 0;
}
