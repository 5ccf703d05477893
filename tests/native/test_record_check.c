/* What the check of records says when something is wrong: each invariant is broken by hand in a heap that is sound, found, and
 * mended. And handles whose generations are used up. */
#undef NDEBUG
#include "core/record_check.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/record_sweep.h"

enum { CAPACITY = 128, WORDS = CAPACITY / 64, LIVE = 70, HANDLES = 8, MAP = 16 };

typedef struct {
    uint32_t next, weak;
    hw_record_span text;
} link;

static const hw_record_edge NEXT = {offsetof(link, next), HW_EDGE_NARROW, 0}, WEAK = {offsetof(link, weak), HW_EDGE_NARROW, 0};
static const uint16_t TEXT = offsetof(link, text);
static const link BLANK = {HW_RECORD_NONE, HW_RECORD_NONE, {0, 0}};

static hw_records records;
static hw_record_pool pool;
static link memory[CAPACITY];
static uint64_t planes[7][WORDS], stack[CAPACITY], list[2][CAPACITY], scratch[2 * WORDS + LIVE];
static hw_record_handle_entry entries[HANDLES];
static uint32_t map[MAP];
static hw_record_payload payload[4];

/* A chain of LIVE records, from a handle; all but the last two are old. */
static void open_heap(void) {
    memset(planes, 0, sizeof planes);
    hw_records_init(&records);
    hw_record_handles_init(&records.handles, entries, HANDLES, map, MAP);
    pool = (hw_record_pool){.records = (unsigned char *)memory, .stride_bytes = sizeof(link), .capacity = CAPACITY, .allocated = planes[0],
                            .marked = planes[1], .old = planes[2], .logged = planes[3], .age = {planes[4], planes[5]},
                            .finalized = planes[6], .edges = &NEXT, .weak = &WEAK, .payloads = &TEXT, .edges_count = 1, .narrow_count = 1,
                            .weak_count = 1, .payloads_count = 1, .blank = (const unsigned char *)&BLANK};
    hw_records_add(&records, &pool);
    records.stack = stack, records.stack_capacity = CAPACITY, records.payload = (unsigned char *)payload;
    records.log.entries = list[0], records.log.capacity = CAPACITY;
    records.remembered.entries = list[1], records.remembered.capacity = CAPACITY;
    records.promote_after = 1, records.barrier = HW_BARRIER_GENERATIONS;
    assert(hw_record_make_run(&records, 0, LIVE - 2) == 0);
    hw_record_handle handle;
    bool fresh;
    for (uint32_t i = 0; i < LIVE; i++) {
        if (i == LIVE - 2) {
            assert(hw_records_handle(&records, 0, 0, &handle, &fresh));
            hw_records_begin(&records, false);
            while (hw_records_mark_roots(&records, 8) != HW_MARK_DONE);
            while (hw_records_mark(&records, 8, false) != HW_MARK_DONE);
            while (hw_records_sweep(&records, 8) != HW_MARK_DONE);
        }
        if (i >= LIVE - 2) assert(hw_record_make(&records, 0) == i);
        if (i != 0) hw_edge_store(&records, i - 1, &NEXT, false, &memory[i - 1].next, i);
    }
}

static void sound(void) {
    uint64_t where;
    assert(hw_records_check_bytes(&records) <= sizeof scratch && hw_records_check(&records, scratch, &where) == NULL);
}

static void amiss(const char *invariant) {
    uint64_t where;
    const char *said = hw_records_check(&records, scratch, &where);
    if (said == NULL || strncmp(said, invariant, strlen(invariant)) != 0) fprintf(stderr, "not %s: %s\n", invariant, said), assert(false);
}

/* Something has another value for a moment. */
#define WITH(place, value, invariant) do { __typeof__(place) was = (place); (place) = (value); amiss(invariant); (place) = was; sound(); } while (0)

static void each_invariant(void) {
    open_heap();
    sound();
    WITH(pool.live, LIVE - 1, "G1");
    WITH(pool.used, LIVE - 1, "G1");
    WITH(planes[0][1], planes[0][1] | UINT64_C(1) << 63, "G1");
    WITH(planes[0][0], planes[0][0] & ~UINT64_C(2), "G1");
    WITH(memory[3].next, LIVE, "G2");
    WITH(memory[3].weak, CAPACITY + 1, "G2");
    WITH(memory[3].text, ((hw_record_span){1, 1}), "G2");
    WITH(memory[3].text, ((hw_record_span){0, 1}), "G2");
    WITH(planes[1][0], 1, "G3");
    WITH(records.stack_count, 1, "G3");
    WITH(records.barrier, HW_BARRIER_MARKING, "G3");
    WITH(planes[2][1], planes[2][1] | UINT64_C(1) << 60, "G5");
    WITH(planes[4][0], 1, "G5");
    WITH(planes[6][1], UINT64_C(1) << 63, "G5");
    WITH(planes[3][0], 1, "G6");
    WITH(planes[2][1], planes[2][1] & ~UINT64_C(1), "G6"); /* what refers to it is old */
    WITH(list[1][0], 5, "G6");
    WITH(entries[0].id, 1, "G7");
    WITH(map[0], map[0] == HW_HANDLE_NONE ? 0 : HW_HANDLE_NONE, "G7");
    WITH(entries[0].generation, UINT32_MAX, "handles are counted");
    WITH(entries[0].kind, HW_HANDLE_RUN, "G7");
}

/* While marking: the chain is white but for its first record, which is grey; then nobody is. */
static void tri_colour(void) {
    open_heap();
    hw_records_begin(&records, false);
    while (hw_records_mark_roots(&records, 1) != HW_MARK_DONE) sound();
    WITH(records.log.count, 0, "G4");
}

static void unreachable(void) {
    open_heap();
    uint64_t where;
    assert(hw_records_unreachable(&records, scratch, &where) == 0);
    hw_edge_store(&records, 9, &NEXT, false, &memory[9].next, HW_RECORD_NO_ID);
    assert(hw_records_unreachable(&records, scratch, &where) == LIVE - 10 && where == 10);
    hw_records_drop(&records, 0);
    assert(hw_records_unreachable(&records, scratch, &where) == LIVE && where == 0);
}

/* The generations of an entry end; then it is not given out again, and none of its handles comes back to life. */
static void used_up(void) {
    open_heap();
    hw_records_drop(&records, 0);
    hw_record_handle handle, later;
    bool fresh;
    entries[0].generation = UINT32_MAX - 1;
    assert(hw_records_handle(&records, 0, 0, &handle, &fresh) && handle.slot == 0 && fresh);
    hw_records_drop(&records, 0);
    assert(hw_records_handle(&records, 0, 0, &later, &fresh) && later.slot == 1);
    assert(hw_record_handle_entry_of(&records.handles, handle) == NULL);
    hw_records_drop(&records, 1);
    uint32_t slot;
    assert(hw_record_handles_check(&records.handles, &slot) == NULL);
}

int main(void) {
    each_invariant();
    tri_colour();
    unreachable();
    used_up();
    puts("record check: every invariant, broken, is named");
    return 0;
}
