/* Ten million records in a chain, on a thread with a stack of 256 KiB: whatever recursed would be found out. Marked whole, marked
 * without room for more than one grey record, halved, moved together, checked, and let go. */
#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/record_check.h"
#include "core/record_compact.h"
#include "core/record_sweep.h"

enum { LENGTH = 10000000, STACK_BYTES = 256 << 10 };

typedef struct {
    uint32_t number, next;
} link;

static const hw_record_edge NEXT = {offsetof(link, next), HW_EDGE_NARROW, 0};
static const link BLANK = {0, HW_RECORD_NONE};
static hw_records records;
static hw_record_pool pool = {.stride_bytes = sizeof(link), .capacity = LENGTH, .edges = &NEXT, .edges_count = 1, .narrow_count = 1,
                              .narrow_offset_bytes = offsetof(link, next), .blank = (const unsigned char *)&BLANK};

static bool no_more(void *unused) { return false; }

static void check(uint32_t live) {
    uint64_t where, *scratch = malloc(hw_records_check_bytes(&records));
    const char *broken = hw_records_check(&records, scratch, &where);
    if (broken != NULL) fprintf(stderr, "%s at %llx\n", broken, (unsigned long long)where), abort();
    assert(hw_records_unreachable(&records, scratch, &where) == 0 && pool.live == live);
    free(scratch);
}

static hw_record_handle hold(uint32_t index) {
    hw_record_handle handle;
    bool fresh, room = hw_records_handle(&records, hw_record_id(0, index), 0, &handle, &fresh);
    assert(room && fresh);
    return handle;
}

static void *program(void *unused) {
    size_t plane_bytes = (LENGTH + 63) / 64 * sizeof(uint64_t);
    hw_record_handle_entry entries[4];
    uint32_t map[8];
    uint64_t stack[64], log[4];
    hw_records_init(&records);
    hw_record_handles_init(&records.handles, entries, 4, map, 8);
    records.stack = stack, records.stack_capacity = 64, records.log.entries = log, records.log.capacity = 4;
    pool.records = malloc((size_t)LENGTH * sizeof(link)), pool.allocated = calloc(1, plane_bytes), pool.marked = calloc(1, plane_bytes);
    hw_records_add(&records, &pool);
    assert(hw_record_make_run(&records, 0, LENGTH) == 0);
    link *chain = (void *)pool.records;
    for (uint32_t i = 0; i < LENGTH; i++) {
        chain[i].number = i;
        if (i + 1 < LENGTH) hw_edge_store(&records, hw_record_id(0, i), &NEXT, false, &chain[i].next, hw_record_id(0, i + 1));
    }
    hw_record_handle head = hold(0);
    hw_records_collect(&records, false, no_more, NULL);
    assert(pool.live == LENGTH && records.scanned == LENGTH);
    hw_record_handle middle = hold(LENGTH / 2);
    hw_records_drop(&records, head.slot);
    records.stack_capacity = 1;
    hw_records_collect(&records, false, no_more, NULL);
    check(LENGTH / 2);
    void *scratch = malloc(hw_records_compact_bytes(&records));
    hw_records_compacted result = hw_records_compact(&records, NULL, scratch);
    free(scratch);
    assert(result.moved == LENGTH / 2 && result.freed_bytes == (uint64_t)LENGTH / 2 * sizeof(link) && entries[middle.slot].id == 0);
    check(LENGTH / 2);
    uint32_t at = 0;
    for (uint32_t i = LENGTH / 2; i < LENGTH; i++, at = chain[at].next) assert(chain[at].number == i);
    assert(at == HW_RECORD_NONE);
    hw_records_drop(&records, middle.slot);
    hw_records_collect(&records, false, no_more, NULL);
    check(0);
    free(pool.records), free(pool.allocated), free(pool.marked);
    return NULL;
}

int main(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    assert(pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 && pthread_create(&thread, &attributes, program, NULL) == 0);
    pthread_join(thread, NULL);
    printf("records: a chain of %d on a stack of %d bytes\n", LENGTH, STACK_BYTES);
    return 0;
}
