/* The laws of the size classes, for every request that there is. */
#undef NDEBUG
#include "core/tiers.h"

#include <assert.h>

int main(void) {
    assert(hw_tiers_bytes(HW_TIERS_MAX - 1) == HW_TIERS_BYTES_MAX);
    for (uint32_t tier = 1; tier < HW_TIERS_MAX; tier++) assert(hw_tiers_bytes(tier - 1) < hw_tiers_bytes(tier));
    for (uint64_t alignment = 1; alignment <= HW_TIERS_ALIGNMENT; alignment *= 2)
        for (uint64_t size = 0; size <= HW_TIERS_BYTES_MAX; size++) {
            uint64_t r = ((size ? size : 1) + alignment - 1) / alignment * alignment;
            uint32_t tier = hw_tiers_of(size, alignment);
            uint64_t bytes = hw_tiers_bytes(tier);
            assert(tier < HW_TIERS_MAX);
            assert(r <= bytes);                                                      /* T1 */
            assert(r <= 128 ? bytes - r < 16 : (bytes - r) * 8 < r);                 /* T2 */
            assert(bytes % alignment == 0 && hw_tiers_alignment(tier) >= alignment); /* T3 */
            assert(tier == 0 || hw_tiers_bytes(tier - 1) < r ||
                   (alignment > 16 && hw_tiers_bytes(tier - 1) % alignment != 0));   /* T4 */
        }
    return 0;
}
