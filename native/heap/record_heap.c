#include "heap/record_heap.h"

#include <errno.h>
#include <stdlib.h>

#include "os/pages.h"

enum { ACCESS = HW_PAGES_READ | HW_PAGES_WRITE, PLANES = 7, GROWTH_BYTES = 256 << 10, HUGE_FROM_BYTES = 16 << 20, HANDLES_STEP = 4096, LISTS_KEPT_BYTES = 64 << 10 };

/* ---- lists ---------------------------------------------------------------------------------------------------------- */

/* Makes room for `wanted` entries, of `size` bytes each, at the start of the space; returns how many there is room for then. */
static uint32_t room_for(hw_space *space, size_t size, uint64_t wanted, uint32_t have) {
    uint64_t most = space->size_bytes / size;
    if (wanted > most) wanted = most;
    if (wanted > UINT32_MAX) wanted = UINT32_MAX;
    if (wanted <= have || hw_space_ensure(space, 0, (size_t)wanted * size) != 0) return have;
    return (uint32_t)wanted;
}

static void list_room(hw_record_list *list, hw_space *space, uint64_t wanted) {
    list->entries = (uint64_t *)(void *)space->base;
    list->capacity = room_for(space, sizeof(uint64_t), wanted, list->capacity);
}

/* Gives back what a list has beyond a little, `most_bytes` of it at most. */
static size_t list_trim(hw_space *space, uint32_t *capacity, size_t most_bytes) {
    size_t returned = 0;
    hw_space_run run = hw_space_next_committed(space, LISTS_KEPT_BYTES, space->reach_bytes);
    if (*capacity > LISTS_KEPT_BYTES / sizeof(uint64_t)) *capacity = LISTS_KEPT_BYTES / sizeof(uint64_t);
    if (run.size_bytes > most_bytes) run.size_bytes = most_bytes;
    return run.size_bytes != 0 && hw_space_decommit(space, &run, 1, &returned) == 0 ? returned : 0;
}

bool hw_record_heap_tidy(hw_record_heap *heap, size_t most_bytes) {
    hw_records *records = &heap->records;
    if (records->phase != HW_RECORDS_IDLE) return false;
    return list_trim(&heap->stack, &records->stack_capacity, most_bytes) != 0 ||
           list_trim(&heap->log, &records->log.capacity, most_bytes) != 0;
}

void hw_record_heap_prepare(hw_record_heap *heap) {
    hw_records *records = &heap->records;
    uint64_t live = 0, finalizers = 0;
    for (uint32_t p = 0; p < records->pools_count; p++) {
        live += records->pools[p]->live;
        if (records->pools[p]->finalized != NULL) finalizers += records->pools[p]->live;
    }
    hw_record_list stack = {.capacity = records->stack_capacity};
    list_room(&stack, &heap->stack, live + 4096);
    records->stack = stack.entries;
    records->stack_capacity = stack.capacity;
    list_room(&records->log, &heap->log, live);
    list_room(&records->remembered, &heap->remembered, records->promote_after != 0 ? live : 0);
    list_room(&records->finalizable, &heap->finalizable, finalizers);
}

bool hw_record_heap_grow_stack(void *context) {
    hw_record_heap *heap = context;
    uint32_t before = heap->records.stack_capacity;
    heap->records.stack_capacity = room_for(&heap->stack, sizeof(uint64_t), 2 * (uint64_t)before, before);
    return heap->records.stack_capacity > before;
}

/* ---- opening, closing ----------------------------------------------------------------------------------------------- */

static void release_payload(void *heap, hw_record_span span) { hw_record_heap_release(heap, span); }

static hw_space *lists_of(hw_record_heap *heap, unsigned i) {
    hw_space *lists[] = {&heap->stack, &heap->log, &heap->remembered, &heap->finalizable, &heap->handles, &heap->payload_space};
    return i < sizeof lists / sizeof *lists ? lists[i] : NULL;
}

/* Block 0 of the payload memory is nobody's, so that 0 says that there is none. */
static int open_payload(hw_record_heap *heap) {
    hw_strategy_handle nobody;
    int error = hw_heap_open(&heap->payload, &heap->payload_space, HW_TLSF);
    if (error != 0) return error;
    error = hw_heap_allocate_fused(&heap->payload, HW_TLSF, HW_RECORD_PAYLOAD_UNIT, HW_RECORD_PAYLOAD_UNIT, &nobody);
    if (error != 0) hw_heap_close(&heap->payload);
    return error < 0 ? ENOMEM : error;
}

int hw_record_heap_open(hw_record_heap *heap, uint64_t capacity_bytes, uint8_t promote_after) {
    size_t page = hw_pages_size();
    uint64_t payload_max = (uint64_t)UINT32_MAX * HW_RECORD_PAYLOAD_UNIT; /* blocks are numbered in 32 bits */
    memset(heap, 0, sizeof *heap);
    heap->capacity_bytes = capacity_bytes;
    int error = 0;
    for (unsigned i = 0; error == 0 && lists_of(heap, i) != NULL; i++) {
        uint64_t size = lists_of(heap, i) == &heap->payload_space && capacity_bytes > payload_max ? payload_max : capacity_bytes;
        error = hw_space_open(lists_of(heap, i), size < page ? page : (size_t)size, page, false, ACCESS);
    }
    if (error == 0) error = open_payload(heap);
    uint32_t *map = error == 0 ? malloc(HANDLES_STEP * 2 * sizeof *map) : NULL;
    if (error == 0 && map == NULL) {
        hw_heap_close(&heap->payload);
        error = ENOMEM;
    }
    if (error != 0) {
        for (unsigned i = 0; lists_of(heap, i) != NULL; i++) hw_space_close(lists_of(heap, i));
        return error;
    }
    hw_records *records = &heap->records;
    hw_records_init(records);
    hw_record_handles_init(&records->handles, (hw_record_handle_entry *)(void *)heap->handles.base, 0, map, HANDLES_STEP * 2);
    records->payload = (unsigned char *)heap->payload_space.base;
    records->promote_after = promote_after;
    records->barrier = promote_after != 0 ? HW_BARRIER_GENERATIONS : 0;
    records->release_payload = release_payload;
    records->context = heap;
    return 0;
}

void hw_record_heap_close(hw_record_heap *heap) {
    for (uint32_t p = 0; p < heap->records.pools_count; p++) {
        hw_record_store *store = hw_record_store_of(heap, p);
        hw_space_close(&store->planes);
        free(store);
    }
    free(heap->records.handles.map);
    hw_heap_close(&heap->payload);
    for (unsigned i = 0; lists_of(heap, i) != NULL; i++) hw_space_close(lists_of(heap, i));
}

int hw_record_heap_add(hw_record_heap *heap, const hw_record_pool *shape, bool finalizer, hw_space *space, uint32_t *number) {
    if (heap->records.pools_count == HW_RECORD_POOLS_MAX) return HW_RECORD_HEAP_FULL;
    hw_record_store *store = calloc(1, sizeof *store);
    if (store == NULL) return ENOMEM;
    uint64_t most = space->size_bytes / shape->stride_bytes / 64 * 64;
    store->capacity_max = most > HW_RECORD_CAPACITY_MAX ? HW_RECORD_CAPACITY_MAX : (uint32_t)most;
    store->records = space;
    size_t page = hw_pages_size();
    store->plane_bytes = ((size_t)store->capacity_max / 8 + page) / page * page;
    int error = hw_space_open(&store->planes, store->plane_bytes * PLANES, page, false, ACCESS);
    if (error != 0) {
        free(store);
        return error;
    }
    hw_record_pool *pool = &store->pool;
    uint64_t **planes[PLANES] = {&pool->allocated, &pool->marked, &pool->finalized, &pool->old, &pool->logged, &pool->age[0], &pool->age[1]};
    *pool = *shape;
    pool->records = (unsigned char *)space->base;
    pool->capacity = 0;
    for (unsigned i = 0; i < PLANES; i++) {
        bool wanted = i < 2 || (i == 2 ? finalizer : heap->records.promote_after != 0);
        *planes[i] = wanted ? (uint64_t *)(void *)(store->planes.base + i * store->plane_bytes) : NULL;
    }
    *number = hw_records_add(&heap->records, pool);
    return 0;
}

/* ---- making --------------------------------------------------------------------------------------------------------- */

/* Memory for `wanted` records, and somewhat more behind them: 0, HW_RECORD_HEAP_FULL or errno.
 *
 * A collector reads a large graph at random, and huge pages take two fifths off that. Only advice, and it costs no memory: the
 * kernel makes none that would reach beyond what is committed. None in pools below 16 MiB, as in heap/heap.c. */
static int grow(hw_record_store *store, uint64_t wanted) {
    hw_record_pool *pool = &store->pool;
    uint64_t more = (uint64_t)GROWTH_BYTES / pool->stride_bytes + 64, capacity = pool->capacity + pool->capacity / 8;
    if (wanted > store->capacity_max) return HW_RECORD_HEAP_FULL;
    if (capacity < pool->capacity + more) capacity = pool->capacity + more;
    if (capacity < wanted) capacity = wanted;
    capacity = (capacity + 63) / 64 * 64;
    if (capacity > store->capacity_max) capacity = store->capacity_max;
    size_t stride = pool->stride_bytes, added = (size_t)(capacity - pool->capacity);
    if (capacity * stride >= HUGE_FROM_BYTES && pool->capacity * stride < HUGE_FROM_BYTES)
        hw_pages_advise_huge(store->records->base, store->records->size_bytes, true);
    int error = hw_space_ensure(store->records, pool->capacity * stride, added * stride);
    for (unsigned i = 0; i < PLANES && error == 0; i++)
        error = hw_space_ensure(&store->planes, i * store->plane_bytes + pool->capacity / 8, added / 8);
    if (error == 0) pool->capacity = (uint32_t)capacity;
    return error;
}

static int account(hw_record_heap *heap, uint64_t bytes) {
    if (bytes > heap->capacity_bytes - heap->used_bytes) return HW_RECORD_HEAP_FULL;
    heap->used_bytes += bytes;
    heap->made_bytes += bytes;
    if (bytes > heap->largest_request_bytes) heap->largest_request_bytes = bytes;
    if (heap->used_bytes > heap->peak_bytes) heap->peak_bytes = heap->used_bytes;
    return 0;
}

static void unaccount(hw_record_heap *heap, uint64_t bytes) {
    heap->used_bytes -= bytes;
    heap->made_bytes -= bytes;
}

int hw_record_heap_make(hw_record_heap *heap, uint32_t number, uint32_t count, uint32_t *first) {
    hw_record_store *store = hw_record_store_of(heap, number);
    uint64_t bytes = (uint64_t)count * store->pool.stride_bytes;
    int error = account(heap, bytes);
    if (error != 0) return error;
    for (;;) {
        *first = count == 1 ? hw_record_make(&heap->records, number) : hw_record_make_run(&heap->records, number, count);
        if (*first != HW_RECORD_NONE) return 0;
        error = grow(store, (uint64_t)store->pool.used + count);
        if (error == 0) continue;
        unaccount(heap, bytes);
        return error;
    }
}

/* The memory of the map is as large as the handles need: at most half of it is taken. */
static int make_room_for_handle(hw_record_heap *heap) {
    hw_record_handles *handles = &heap->records.handles;
    if (hw_record_handles_no_entry(handles)) {
        uint64_t wanted = handles->capacity + handles->capacity / 2 + HANDLES_STEP;
        uint32_t room = room_for(&heap->handles, sizeof(hw_record_handle_entry), wanted, handles->capacity);
        if (room == handles->capacity) return ENOMEM;
        handles->capacity = room;
    }
    if (hw_record_handles_map_full(handles)) {
        uint32_t *before = handles->map, capacity = handles->map_capacity * 2;
        uint32_t *map = capacity == 0 ? NULL : malloc((size_t)capacity * sizeof *map);
        if (map == NULL) return ENOMEM;
        hw_record_handles_remap(handles, map, capacity);
        free(before);
    }
    return 0;
}

int hw_record_heap_handle(hw_record_heap *heap, uint64_t id, uint64_t owner, hw_record_handle *handle, bool *fresh) {
    while (!hw_records_handle(&heap->records, id, owner, handle, fresh)) {
        int error = make_room_for_handle(heap);
        if (error != 0) return error;
    }
    return 0;
}

int hw_record_heap_root(hw_record_heap *heap, enum hw_record_handle_kind kind, uint64_t id, uint64_t owner, hw_record_handle *handle) {
    hw_record_handles *handles = &heap->records.handles;
    int error = hw_record_handles_no_entry(handles) ? make_room_for_handle(heap) : 0;
    if (error != 0) return error;
    uint32_t slot = hw_record_handles_add(handles, kind, id, owner);
    *handle = (hw_record_handle){slot, handles->entries[slot].generation};
    return 0;
}

/* ---- payload -------------------------------------------------------------------------------------------------------- */

int hw_record_heap_span(hw_record_heap *heap, uint32_t number, uint64_t bytes, hw_record_span *span) {
    *span = (hw_record_span){0, 0};
    if (bytes == 0) return 0;
    if (bytes > UINT32_MAX - 2 * HW_RECORD_PAYLOAD_UNIT) return HW_RECORD_HEAP_FULL;
    uint64_t size = (bytes + HW_RECORD_PAYLOAD_UNIT - 1) / HW_RECORD_PAYLOAD_UNIT * HW_RECORD_PAYLOAD_UNIT + sizeof(hw_record_payload);
    hw_strategy_handle block;
    int error = account(heap, size);
    if (error != 0) return error;
    error = hw_heap_allocate_fused(&heap->payload, HW_TLSF, size, HW_RECORD_PAYLOAD_UNIT, &block);
    if (error != 0) {
        unaccount(heap, size);
        return error < 0 ? HW_RECORD_HEAP_FULL : error;
    }
    span->block = (uint32_t)(block.offset_bytes / HW_RECORD_PAYLOAD_UNIT);
    *hw_span_payload(&heap->records, *span) =
        (hw_record_payload){.number = block.number, .capacity_bytes = (uint32_t)(size - sizeof(hw_record_payload)), .pool = number};
    heap->payload_bytes += size;
    heap->records.pools[number]->payload_bytes += size;
    return 0;
}

static void release_now(hw_record_heap *heap, hw_record_span span) {
    hw_record_payload *payload = hw_span_payload(&heap->records, span);
    uint64_t size = payload->capacity_bytes + sizeof *payload;
    heap->used_bytes -= size;
    heap->payload_bytes -= size;
    heap->records.pools[payload->pool]->payload_bytes -= size;
    hw_strategy_handle block = {(uint64_t)span.block * HW_RECORD_PAYLOAD_UNIT, payload->number};
    int freed = hw_heap_free_fused(&heap->payload, HW_TLSF, block);
    assert(freed == 0);
    (void)freed;
}

void hw_record_heap_release(hw_record_heap *heap, hw_record_span span) {
    if (span.block == 0) return;
    if (heap->records.phase != HW_RECORDS_ROOTS && heap->records.phase != HW_RECORDS_TRACE) {
        release_now(heap, span);
        return;
    }
    hw_span_payload(&heap->records, span)->next = heap->waiting;
    heap->waiting = span.block;
}

void hw_record_heap_settle(hw_record_heap *heap) {
    hw_records *records = &heap->records;
    while (heap->waiting != 0) {
        hw_record_span span = {heap->waiting, 0};
        heap->waiting = hw_span_payload(records, span)->next;
        release_now(heap, span);
    }
    heap->used_bytes = heap->payload_bytes;
    for (uint32_t p = 0; p < records->pools_count; p++)
        heap->used_bytes += (uint64_t)records->pools[p]->live * records->pools[p]->stride_bytes;
}

/* ---- giving back ---------------------------------------------------------------------------------------------------- */

/* Pages wholly behind `from`: 0 or errno. */
static int trim_behind(hw_space *space, size_t from, size_t end, size_t *returned_bytes) {
    size_t page = space->page_bytes, returned;
    from = (from + page - 1) / page * page;
    for (;;) {
        hw_space_run run = from < end ? hw_space_next_committed(space, from, end) : (hw_space_run){0, 0};
        if (run.size_bytes == 0) return 0;
        int error = hw_space_decommit(space, &run, 1, &returned);
        *returned_bytes += returned;
        if (error != 0) return error;
    }
}

int hw_record_heap_trim(hw_record_heap *heap, size_t *returned_bytes) {
    size_t returned = 0;
    int error = hw_heap_trim(&heap->payload, 0, returned_bytes);
    for (uint32_t p = 0; p < heap->records.pools_count && error == 0; p++) {
        hw_record_store *store = hw_record_store_of(heap, p);
        hw_record_pool *pool = &store->pool;
        if (store->pins != 0) continue; /* a view reaches over all records that there were */
        uint32_t keep = (pool->used + 63) / 64 * 64;
        if (keep >= pool->capacity) continue;
        error = trim_behind(store->records, (size_t)keep * pool->stride_bytes, (size_t)pool->capacity * pool->stride_bytes, &returned);
        for (unsigned i = 0; i < PLANES && error == 0; i++)
            error = trim_behind(&store->planes, i * store->plane_bytes + keep / 8, i * store->plane_bytes + pool->capacity / 8, &returned);
        pool->capacity = keep;
    }
    *returned_bytes += returned;
    return error;
}

int hw_record_heap_compact(hw_record_heap *heap, hw_record_heap_compacted *result) {
    bool pinned[HW_RECORD_POOLS_MAX] = {false};
    void *scratch = malloc(hw_records_compact_bytes(&heap->records) + 1); /* of no pool, none */
    *result = (hw_record_heap_compacted){0};
    if (scratch == NULL) return ENOMEM;
    for (uint32_t p = 0; p < heap->records.pools_count; p++) {
        const hw_record_store *store = hw_record_store_of(heap, p);
        pinned[p] = store->pins != 0;
        result->pinned += pinned[p] && store->pool.live != store->pool.used;
    }
    result->moved = hw_records_compact(&heap->records, pinned, scratch).moved;
    free(scratch);
    return hw_record_heap_trim(heap, &result->returned_bytes);
}
