#include "core/segregated.h"

#include <assert.h>

void hw_segregated_init(hw_segregated *lists, uint32_t *heads, uint32_t classes) {
    assert(hw_segregated_rows(classes) <= HW_SEGREGATED_ROWS_MAX);
    *lists = (hw_segregated){.rows = hw_segregated_rows(classes)};
    for (uint32_t class = 0; class < lists->rows * HW_SEGREGATED_ROW; class++) heads[class] = HW_STRATEGY_NONE;
}

const char *hw_segregated_check(const hw_segregated *lists, const uint32_t *heads, const hw_segregated_link *links,
                                uint32_t limit) {
    uint32_t count = 0, nonempty_rows = 0;
    if (lists->rows > HW_SEGREGATED_ROWS_MAX) return "L2";
    for (uint32_t row = 0; row < lists->rows; row++) {
        uint32_t nonempty = 0;
        for (uint32_t i = 0; i < HW_SEGREGATED_ROW; i++) {
            uint32_t previous = HW_STRATEGY_NONE, number = heads[row * HW_SEGREGATED_ROW + i];
            if (number != HW_STRATEGY_NONE) nonempty |= (uint32_t)1 << i;
            for (; number != HW_STRATEGY_NONE; previous = number, number = links[number].next)
                if (number >= limit || ++count > limit || links[number].previous != previous) return "L1";
        }
        if (lists->nonempty[row] != nonempty) return "L2";
        if (nonempty != 0) nonempty_rows |= (uint32_t)1 << row;
    }
    if (lists->nonempty_rows != nonempty_rows) return "L2";
    return lists->count == count ? NULL : "L3";
}
