/* Recent demand against plain book-keeping: everything that ever happened, in a list, and the law applied to it. */
#undef NDEBUG
#include "core/demand.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { EVENTS = 4000 };

typedef struct {
    unsigned epoch;
    uint64_t live, need; /* need: 0 until a look says what lay outside */
} event;

static uint64_t random_below(uint64_t *state, uint64_t n) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17; /* Marsaglia, xorshift64 */
    return (*state >> 16) % n;
}

static uint64_t with_slack(uint64_t peak) {
    return peak + (peak / 16 > HW_SLACK_MIN_PAGES ? peak / 16 : HW_SLACK_MIN_PAGES);
}

/* A loop whose peaks lie between two looks, one of which ends an epoch. */
static void a_peak_just_before_an_epoch_ends(void) {
    hw_demand demand = {0};
    const uint64_t idle = 1000, peak = 100000, outside = 50000;
    for (int turn = 0; turn < 3 * HW_DEMAND_EPOCHS; turn++) {
        hw_demand_limit(&demand, peak); /* an allocation */
        uint64_t may_stay = hw_demand_look(&demand, 1, idle, peak - idle, outside + peak);
        assert(may_stay == with_slack(peak) - idle); /* all of it: the next turn needs it again */
    }
}

static void what_is_long_gone_does_not_count(void) {
    hw_demand demand = {0};
    hw_demand_limit(&demand, 1 << 20);
    for (int epoch = 1; epoch < HW_DEMAND_EPOCHS; epoch++)
        assert(hw_demand_look(&demand, 1, 0, 1 << 20, 1 << 20) == with_slack(1 << 20));
    assert(hw_demand_look(&demand, 1, 0, 1 << 20, 1 << 20) == HW_SLACK_MIN_PAGES);
}

static void outside_leaves_less(void) {
    hw_demand demand = {0};
    hw_demand_limit(&demand, 100000);
    hw_demand_look(&demand, 1, 0, 100000, 100000);
    /* an epoch later as much has come to live elsewhere in the process */
    assert(hw_demand_look(&demand, 0, 0, 100000, 200000) == 100000 / 16);
}

static void random_histories(uint64_t seed) {
    static event events[EVENTS];
    hw_demand demand = {0};
    uint64_t state = seed * 7919 + 1;
    unsigned now = 0;
    for (int n = 0; n < EVENTS; n++) {
        uint64_t live = random_below(&state, 20) == 0 ? random_below(&state, 1 << 22) : random_below(&state, 1 << 14);
        bool look = random_below(&state, 3) == 0;
        unsigned ends = look ? (unsigned)random_below(&state, random_below(&state, 30) == 0 ? 15 : 3) : 0;
        uint64_t outside = random_below(&state, 1 << 16), retained = random_below(&state, 1 << 14);
        uint64_t limit = look ? 0 : hw_demand_limit(&demand, live);
        if (look) {
            for (int i = n - 1; i >= 0 && events[i].epoch == now; i--) /* D1 */
                if (events[i].live + outside > events[i].need) events[i].need = events[i].live + outside;
            limit = hw_demand_look(&demand, ends, live, retained, live + retained + outside);
        }
        now += ends;
        events[n] = (event){now, live, look ? live + outside : 0};

        uint64_t live_peak = 0, need_peak = 0;
        for (int i = n; i >= 0 && now - events[i].epoch < HW_DEMAND_EPOCHS; i--) {
            if (events[i].live > live_peak) live_peak = events[i].live;
            if (events[i].need > need_peak) need_peak = events[i].need;
        }
        uint64_t by_heap = with_slack(live_peak) - live, by_process = with_slack(need_peak) - live - outside;
        assert(limit == (!look ? by_heap + live : by_heap < by_process ? by_heap : by_process));
    }
}

int main(void) {
    const char *fuzz = getenv("HEAPWRIGHT_FUZZ_SECONDS");
    time_t end = time(NULL) + (fuzz == NULL ? 0 : atoi(fuzz));
    uint64_t seed = fuzz == NULL ? 1 : (uint64_t)time(NULL);
    a_peak_just_before_an_epoch_ends();
    what_is_long_gone_does_not_count();
    outside_leaves_less();
    do random_histories(seed++);
    while (time(NULL) < end);
    puts("demand: ok");
    return 0;
}
