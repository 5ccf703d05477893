#include "core/segregated.h"

#include <assert.h>

void hw_segregated_init(hw_segregated *lists, hw_segregated_link *links, uint32_t classes) {
    *lists = (hw_segregated){.heads = hw_segregated_heads(classes)};
    assert(lists->heads <= HW_SEGREGATED_ROWS_MAX * HW_SEGREGATED_ROW);
    for (uint32_t class = 0; class < lists->heads; class++) links[class] = (hw_segregated_link){class, class};
}

const char *hw_segregated_check(const hw_segregated *lists, const hw_segregated_link *links, uint32_t limit) {
    uint32_t heads = lists->heads, count = 0, nonempty_rows = 0;
    if (heads > HW_SEGREGATED_ROWS_MAX * HW_SEGREGATED_ROW || heads % HW_SEGREGATED_ROW != 0) return "L2";
    for (uint32_t row = 0; row < heads / HW_SEGREGATED_ROW; row++) {
        uint32_t nonempty = 0;
        for (uint32_t i = 0; i < HW_SEGREGATED_ROW; i++) {
            uint32_t head = row * HW_SEGREGATED_ROW + i, previous = head, at = links[head].next;
            if (at != head) nonempty |= (uint32_t)1 << i;
            for (; at != head; previous = at, at = links[at].next)
                if (at < heads || at - heads >= limit || ++count > limit || links[at].previous != previous) return "L1";
            if (links[head].previous != previous) return "L1";
        }
        if (lists->nonempty[row] != nonempty) return "L2";
        if (nonempty != 0) nonempty_rows |= (uint32_t)1 << row;
    }
    if (lists->nonempty_rows != nonempty_rows) return "L2";
    return lists->count == count ? NULL : "L3";
}
