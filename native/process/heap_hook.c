#include "process/heap_hook.h"

#include "process/array_heap.h"
#include "process/pooled.h"
#include "process/record.h"
#include "process/sampler.h"

#include <string.h>

bool hw_heap_hook_falls_back = true;
hw_array_functions hw_heap_hook_below;

/* A block from the heap that serves, or NULL with *refused: what lies below is not to be asked either. */
static void *serve(size_t size_bytes, bool zeroed, bool *refused) {
    *refused = false;
    if (hw_array_heap_serving == NULL || size_bytes < HW_POOLED_MIN_BYTES) return NULL;
    void *block = hw_array_heap_allocate(hw_array_heap_serving, size_bytes, zeroed);
    if (block != NULL) {
        hw_sampler_allocated(block, size_bytes);
        return block;
    }
    *refused = !hw_heap_hook_falls_back;
    if (*refused) hw_process_record->failed_blocks++;
    else hw_process_record->spilled_bytes += (int64_t)size_bytes;
    return NULL;
}

static void take_back(hw_array_heap *heap, void *address) {
    hw_sampler_freed(address);
    hw_array_heap_free(heap, address);
}

static void *heap_malloc(void *ctx, size_t size) {
    (void)ctx;
    bool refused;
    void *block = serve(size, false, &refused);
    if (block != NULL || refused) return block;
    return hw_heap_hook_below.malloc(hw_heap_hook_below.ctx, size);
}

static void *heap_calloc(void *ctx, size_t nelem, size_t elsize) {
    (void)ctx;
    bool refused;
    size_t size;
    if (__builtin_mul_overflow(nelem, elsize, &size)) return NULL;
    void *block = serve(size, true, &refused);
    if (block != NULL || refused) return block;
    return hw_heap_hook_below.calloc(hw_heap_hook_below.ctx, nelem, elsize);
}

static void heap_free(void *ctx, void *address, size_t size) {
    (void)ctx;
    hw_array_heap *heap = hw_array_heap_of(address);
    if (heap != NULL) take_back(heap, address);
    else hw_heap_hook_below.free(hw_heap_hook_below.ctx, address, size);
}

/* In place where the heap still serves and there is room behind the block, else to where a new block would come from. */
static void *heap_realloc(void *ctx, void *address, size_t size) {
    if (address == NULL) return heap_malloc(ctx, size);
    hw_array_heap *heap = hw_array_heap_of(address);
    if (heap == NULL) return hw_heap_hook_below.realloc(hw_heap_hook_below.ctx, address, size);
    if (heap == hw_array_heap_serving && size >= HW_POOLED_MIN_BYTES && hw_array_heap_resize(heap, address, size)) {
        hw_sampler_freed(address);
        hw_sampler_allocated(address, size);
        return address;
    }
    size_t held = hw_array_heap_size(heap, address);
    void *moved = heap_malloc(ctx, size);
    if (moved == NULL) return NULL;
    memcpy(moved, address, held < size ? held : size);
    take_back(heap, address);
    return moved;
}

const hw_array_functions hw_heap_hook = {NULL, heap_malloc, heap_calloc, heap_realloc, heap_free};
