#include "core/demand.h"

/* Notes what is wanted now, and returns the most that may be resident for it. */
static uint64_t limit(uint64_t ring[HW_DEMAND_EPOCHS], unsigned epoch, uint64_t now) {
    if (now > ring[epoch]) ring[epoch] = now;
    uint64_t peak = 0;
    for (unsigned i = 0; i < HW_DEMAND_EPOCHS; i++)
        if (ring[i] > peak) peak = ring[i];
    uint64_t slack = peak >> HW_SLACK_SHIFT;
    return peak + (slack > HW_SLACK_MIN_PAGES ? slack : HW_SLACK_MIN_PAGES);
}

uint64_t hw_demand_limit(hw_demand *demand, uint64_t live) { return limit(demand->live_peak, demand->epoch, live); }

uint64_t hw_demand_look(hw_demand *demand, unsigned epochs, uint64_t live, uint64_t retained, uint64_t resident) {
    uint64_t ours = live + retained;
    uint64_t outside = resident > ours ? resident - ours : 0; /* a live block may have pages that nobody has touched */
    /* D1: the epoch is booked before it ends. */
    (void)limit(demand->need_peak, demand->epoch, demand->live_peak[demand->epoch] + outside);
    for (unsigned i = 0; i < epochs && i < HW_DEMAND_EPOCHS; i++) {
        demand->epoch = (demand->epoch + 1) % HW_DEMAND_EPOCHS;
        demand->live_peak[demand->epoch] = demand->need_peak[demand->epoch] = 0;
    }
    uint64_t need = live + outside;
    uint64_t by_heap = hw_demand_limit(demand, live) - live;
    uint64_t by_process = limit(demand->need_peak, demand->epoch, need) - need;
    return by_heap < by_process ? by_heap : by_process;
}
