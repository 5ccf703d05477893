#include "process/hook.h"

#include "os/process_figures.h"
#include "process/pooled.h"
#include "process/record.h"
#include "process/retention.h"
#include "process/sampler.h"

#include <stdint.h>
#include <string.h>

atomic_int hw_hook_mode;
bool hw_hook_knows_sizes;
hw_array_functions hw_array_original;
hw_raw_functions hw_raw_original;

/* ---- blocks of the original allocator ---- */

/* In the array hook the GIL guards the counters. In the raw hook they may lose a count when two threads without the GIL
 * meet, which is why they count only blocks that a raw caller is unlikely to need outside it; see `counts`. */
static void note_forwarded(void *address, size_t size_bytes) {
    hw_record *record = hw_process_record;
    if (address == NULL) {
        record->failed_blocks++;
        return;
    }
    hw_record_note_size(record, size_bytes);
    record->forwarded_blocks++;
    if (hw_hook_knows_sizes) {
        record->forwarded_bytes += (int64_t)hw_libc_usable_bytes(address);
        hw_record_note_peak(record);
    }
    hw_sampler_allocated(address, size_bytes);
    hw_keeper_ensure();
}

static void note_forwarded_freed(void *address) {
    hw_sampler_freed(address);
    hw_process_record->forwarded_blocks--;
    if (hw_hook_knows_sizes) hw_process_record->forwarded_bytes -= (int64_t)hw_libc_usable_bytes(address);
}

/* ---- blocks of ours ---- */

/* A block from the pool, or NULL when the original allocator is to serve. */
static inline void *pooled(size_t size_bytes, bool zeroed) {
    if (hw_hook_mode != HW_MODE_POOLED || size_bytes < HW_POOLED_MIN_BYTES) return NULL;
    void *block = hw_pooled_allocate(size_bytes, zeroed);
    if (block == NULL)
        hw_process_record->spilled_bytes += (int64_t)size_bytes;
    else
        hw_sampler_allocated(block, size_bytes);
    return block;
}

static inline void pooled_free(void *address) {
    hw_sampler_freed(address);
    hw_pooled_free(address);
}

/* Our block to its new size. Where the pool can't, or the block is too small for it now, it moves to the original
 * allocator, of which `malloc` hands out a block. */
static void *pooled_reallocate(void *address, size_t size_bytes, void *(*malloc)(void *ctx, size_t size)) {
    if (hw_hook_mode == HW_MODE_POOLED && size_bytes >= HW_POOLED_MIN_BYTES) {
        /* before the block goes: from then on another thread may own the address */
        hw_sampler_freed(address);
        void *moved = hw_pooled_reallocate(address, size_bytes);
        hw_sampler_allocated(moved != NULL ? moved : address, size_bytes);
        if (moved != NULL) return moved;
    }
    size_t held = hw_pooled_size(address);
    void *moved = malloc(NULL, size_bytes);
    if (moved == NULL) return NULL;
    memcpy(moved, address, held < size_bytes ? held : size_bytes);
    pooled_free(address);
    return moved;
}

static inline bool product(size_t a, size_t b, size_t *size) { return !__builtin_mul_overflow(a, b, size); }

/* ---- the array hook ---- */

static void *array_malloc(void *ctx, size_t size) {
    (void)ctx;
    void *block = pooled(size, false);
    if (block != NULL) return block;
    block = hw_array_original.malloc(hw_array_original.ctx, size);
    if (hw_hook_mode != HW_MODE_OFF) note_forwarded(block, size);
    return block;
}

static void *array_calloc(void *ctx, size_t nelem, size_t elsize) {
    (void)ctx;
    size_t size;
    void *block = product(nelem, elsize, &size) ? pooled(size, true) : NULL;
    if (block != NULL) return block;
    block = hw_array_original.calloc(hw_array_original.ctx, nelem, elsize);
    if (hw_hook_mode != HW_MODE_OFF) note_forwarded(block, nelem * elsize);
    return block;
}

static void array_free(void *ctx, void *address, size_t size) {
    (void)ctx;
    if (address == NULL) return;
    if (hw_pooled_owns(address)) {
        pooled_free(address);
        return;
    }
    if (hw_hook_mode != HW_MODE_OFF) note_forwarded_freed(address);
    hw_array_original.free(hw_array_original.ctx, address, size);
}

static void *array_realloc(void *ctx, void *address, size_t size) {
    if (address == NULL) return array_malloc(ctx, size);
    if (hw_pooled_owns(address)) return pooled_reallocate(address, size, array_malloc);
    bool counted = hw_hook_mode != HW_MODE_OFF;
    size_t before = counted && hw_hook_knows_sizes ? hw_libc_usable_bytes(address) : 0;
    if (counted) hw_sampler_freed(address);
    void *moved = hw_array_original.realloc(hw_array_original.ctx, address, size);
    if (counted && moved == NULL) hw_sampler_allocated(address, before);
    if (!counted || moved == NULL) return moved;
    hw_process_record->forwarded_blocks--;
    hw_process_record->forwarded_bytes -= (int64_t)before;
    note_forwarded(moved, size);
    return moved;
}

const hw_array_functions hw_array_hook = {NULL, array_malloc, array_calloc, array_realloc, array_free};

/* ---- the raw hook ---- */

/* The raw domain also serves CPython's own bookkeeping. Only blocks of this usable size are counted: arrays that are not
 * in NumPy's cache, large strings, lists, buffers. Without sizes nothing is. */
static inline bool counts(void *address) {
    return hw_hook_mode == HW_MODE_SYSTEM && address != NULL && hw_hook_knows_sizes &&
           hw_libc_usable_bytes(address) >= HW_POOLED_MIN_BYTES;
}

static void *raw_malloc(void *ctx, size_t size) {
    (void)ctx;
    void *block = pooled(size, false);
    if (block != NULL) return block;
    block = hw_raw_original.malloc(hw_raw_original.ctx, size);
    if (counts(block)) note_forwarded(block, size);
    return block;
}

static void *raw_calloc(void *ctx, size_t nelem, size_t elsize) {
    (void)ctx;
    size_t size;
    void *block = product(nelem, elsize, &size) ? pooled(size, true) : NULL;
    if (block != NULL) return block;
    block = hw_raw_original.calloc(hw_raw_original.ctx, nelem, elsize);
    if (counts(block)) note_forwarded(block, nelem * elsize);
    return block;
}

static void raw_free(void *ctx, void *address) {
    (void)ctx;
    if (address == NULL) return;
    if (hw_pooled_owns(address)) {
        pooled_free(address);
        return;
    }
    if (counts(address)) note_forwarded_freed(address);
    hw_raw_original.free(hw_raw_original.ctx, address);
}

static void *raw_realloc(void *ctx, void *address, size_t size) {
    if (address == NULL) return raw_malloc(ctx, size);
    if (hw_pooled_owns(address)) return pooled_reallocate(address, size, raw_malloc);
    bool counted = counts(address);
    size_t before = counted ? hw_libc_usable_bytes(address) : 0;
    if (counted) hw_sampler_freed(address);
    void *moved = hw_raw_original.realloc(hw_raw_original.ctx, address, size);
    if (moved == NULL) {
        if (counted) hw_sampler_allocated(address, before);
        return NULL;
    }
    if (counted) {
        hw_process_record->forwarded_blocks--;
        hw_process_record->forwarded_bytes -= (int64_t)before;
    }
    if (counts(moved)) note_forwarded(moved, size);
    return moved;
}

const hw_raw_functions hw_raw_hook = {NULL, raw_malloc, raw_calloc, raw_realloc, raw_free};
