/* Epochs: which blocks are still alive, where whole generations of them die at once. An epoch lasts from a mark to its
 * release; epochs nest. A block remembers the depth and the serial number of the epoch that it was born in, and lives while
 * that epoch is open: so to end the life of ten million blocks is to forget one number.
 *
 * Beside the serial each epoch has its sums, and the number of views that are out of its blocks.
 *
 * Cost: O(1) each; the sums over all open epochs O(depth). Not thread-safe.
 *
 * Invariants, walked by hw_epochs_check:
 *   E1  serials of open epochs ascend strictly with depth, and none is greater than the last one given out
 *   E2  no serial is given out twice, and none is 0
 *   E3  an epoch without blocks has 0 requested bytes
 *   E4  the totals are the sums over the open epochs, and the peak is not less */
#ifndef HW_CORE_EPOCHS_H
#define HW_CORE_EPOCHS_H

#include <stdbool.h>
#include <stdint.h>

enum { HW_EPOCHS_MAX = 64 };

typedef struct {
    uint64_t serial;
    uint64_t blocks, requested_bytes; /* of live blocks born in it */
    uint64_t exports;                 /* views of such blocks, of dropped handles too */
} hw_epoch;

typedef struct {
    uint64_t last_serial;
    uint64_t blocks, requested_bytes; /* of all live blocks */
    uint64_t peak_requested_bytes;
    uint32_t depth; /* of the latest; the first has 0 and is always open */
    hw_epoch open[HW_EPOCHS_MAX];
} hw_epochs;

/* The end of every epoch there is, and the beginning of the first. `epochs` is zeroed, or was initialised before: then no
 * earlier block is alive. */
static inline void hw_epochs_begin(hw_epochs *epochs) {
    epochs->depth = 0;
    epochs->blocks = epochs->requested_bytes = 0;
    epochs->open[0] = (hw_epoch){.serial = ++epochs->last_serial};
}

/* A new epoch inside the latest one; false if there are HW_EPOCHS_MAX. */
static inline bool hw_epochs_nest(hw_epochs *epochs) {
    if (epochs->depth + 1 == HW_EPOCHS_MAX) return false;
    epochs->open[++epochs->depth] = (hw_epoch){.serial = ++epochs->last_serial};
    return true;
}

static inline bool hw_epochs_is_open(const hw_epochs *epochs, uint64_t serial, uint32_t depth) {
    return depth <= epochs->depth && epochs->open[depth].serial == serial;
}

/* The sums of the epochs from a depth on: those that its end would end. */
static inline hw_epoch hw_epochs_since(const hw_epochs *epochs, uint32_t depth) {
    hw_epoch sum = {0};
    for (uint32_t i = depth; i <= epochs->depth; i++) {
        sum.blocks += epochs->open[i].blocks;
        sum.requested_bytes += epochs->open[i].requested_bytes;
        sum.exports += epochs->open[i].exports;
    }
    return sum;
}

/* Ends an open epoch and those inside it. The first one cannot be ended, only begun again. */
static inline void hw_epochs_end(hw_epochs *epochs, uint32_t depth) {
    hw_epoch since = hw_epochs_since(epochs, depth);
    epochs->blocks -= since.blocks;
    epochs->requested_bytes -= since.requested_bytes;
    epochs->depth = depth - 1;
}

static inline void hw_epochs_born(hw_epochs *epochs, uint64_t size_bytes) {
    hw_epoch *latest = &epochs->open[epochs->depth];
    latest->blocks++;
    latest->requested_bytes += size_bytes;
    epochs->blocks++;
    epochs->requested_bytes += size_bytes;
    if (epochs->requested_bytes > epochs->peak_requested_bytes) epochs->peak_requested_bytes = epochs->requested_bytes;
}

/* Of a block born in an open epoch. */
static inline void hw_epochs_died(hw_epochs *epochs, uint32_t depth, uint64_t size_bytes) {
    epochs->open[depth].blocks--;
    epochs->open[depth].requested_bytes -= size_bytes;
    epochs->blocks--;
    epochs->requested_bytes -= size_bytes;
}

/* NULL, or the name of the first invariant that does not hold. */
static inline const char *hw_epochs_check(const hw_epochs *epochs) {
    if (epochs->depth >= HW_EPOCHS_MAX) return "E1";
    for (uint32_t i = 0; i <= epochs->depth; i++) {
        const hw_epoch *epoch = &epochs->open[i];
        if (epoch->serial == 0) return "E2";
        if (epoch->serial > epochs->last_serial || (i > 0 && epoch->serial <= epoch[-1].serial)) return "E1";
        if (epoch->blocks == 0 && epoch->requested_bytes != 0) return "E3";
    }
    hw_epoch sums = hw_epochs_since(epochs, 0);
    if (sums.blocks != epochs->blocks || sums.requested_bytes != epochs->requested_bytes) return "E4";
    if (epochs->requested_bytes > epochs->peak_requested_bytes) return "E4";
    return (void *)0;
}

#endif
