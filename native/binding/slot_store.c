/* Blocks of one size: core/slots.h over the chunks of an upstream. What FixedPool is, and TieredPool has one of per size. */
#include "binding/births.h"
#include "binding/pool_types.h"

static void take_back(BlockStore *head, BufferObject *buffer) { hw_store_release((SlotStore *)head, buffer); }

static uint32_t log2_below(size_t n) { return n == 0 ? 0 : 63 - (uint32_t)__builtin_clzll(n); }

int hw_store_open(SlotStore *store, PyObject *upstream, PoolTotals *totals, size_t block_bytes, size_t alignment,
                  uint64_t capacity, size_t first_chunk_bytes) {
    memset(store, 0, sizeof *store);
    store->head.take_back = take_back;
    store->chunks.upstream = upstream;
    store->chunks.totals = store->totals = totals;
    store->buffer_type = &HwBuffer_Type;
    store->bounded = capacity != 0;
    store->block_bytes = block_bytes;
    store->chunk_alignment = alignment;
    store->head.stride_bytes = (block_bytes + alignment - 1) & ~(alignment - 1);
    if (store->head.stride_bytes == 0) store->head.stride_bytes = alignment;
    hw_chunks chunks = {log2_below(first_chunk_bytes / store->head.stride_bytes),
                        (uint32_t)(store->bounded && capacity < HW_SLOTS_MAX ? capacity : HW_SLOTS_MAX)};
    uint32_t numbered = hw_chunks_end(chunks, 0);
    void *control = PyMem_RawMalloc(hw_slots_control_bytes(numbered));
    if (control == NULL) return PyErr_NoMemory(), -1;
    store->slots = hw_slots_init(control, chunks, numbered);
    return 0;
}

void hw_store_close(SlotStore *store) { PyMem_RawFree(store->slots); }

void hw_store_drain(SlotStore *store) {
    if (store->slots == NULL) return;
    for (uint32_t chunk = 0; chunk < HW_CHUNKS_MAX; chunk++)
        if (hw_slots_remove(store->slots, chunk)) hw_chunks_return_quietly(&store->chunks, chunk);
}

static PyObject *raise_exhausted(const SlotStore *store, PyObject *pool) {
    PyObject *name = PyObject_Repr(pool);
    if (name != NULL)
        hw_raise("PoolExhausted", "{s:O,s:n,s:k,s:k}", "pool", name, "block_bytes", (Py_ssize_t)store->block_bytes, "capacity",
                 (unsigned long)store->slots->chunks.capacity, "live_count", (unsigned long)store->slots->live_slots);
    Py_XDECREF(name);
    return NULL;
}

/* One more chunk: 1, 0 for bottom, or -1 with the error set. */
static int grow(SlotStore *store, PyObject *pool, bool raises) {
    uint32_t chunk = hw_slots_absent(store->slots);
    if (chunk == HW_CHUNKS_MAX || store->chunks.upstream == NULL) { /* full, or cleared by the cycle collector */
        if (raises) raise_exhausted(store, pool);
        return raises ? -1 : 0;
    }
    hw_chunks chunks = store->slots->chunks;
    size_t size_bytes;
    if (__builtin_mul_overflow(hw_chunks_slots(chunks, chunk), store->head.stride_bytes, &size_bytes) || size_bytes > PY_SSIZE_T_MAX) {
        if (raises) PyErr_NoMemory();
        return raises ? -1 : 0;
    }
    int result = hw_chunks_obtain(&store->chunks, chunk, size_bytes, store->chunk_alignment, raises);
    if (result != 1) return result > 0 ? 1 : result;
    uint32_t end = hw_chunks_end(chunks, chunk);
    if (end > store->slots->numbered) {
        void *larger = PyMem_RawMalloc(hw_slots_control_bytes(end));
        if (larger == NULL) {
            if (hw_chunks_return(&store->chunks, chunk) < 0) return -1;
            if (raises) PyErr_NoMemory();
            return raises ? -1 : 0;
        }
        hw_slots *grown = hw_slots_grow(store->slots, larger, end);
        PyMem_RawFree(store->slots);
        store->slots = grown;
    }
    hw_slots_add(store->slots, chunk);
    store->totals->grown++;
    return 1;
}

PyObject *hw_store_acquire(SlotStore *store, PyObject *pool, size_t size_bytes, bool raises) {
    uint32_t slot;
    while (__builtin_expect((slot = hw_slots_acquire(store->slots)) == HW_SLOT_NONE, 0)) {
        int result = grow(store, pool, raises);
        if (result > 0) continue;
        store->totals->failed++;
        return result == 0 ? Py_NewRef(Py_None) : NULL;
    }
    hw_chunks chunks = store->slots->chunks;
    uint32_t chunk = hw_chunks_of(chunks, slot);
    char *address = store->chunks.base[chunk] + (size_t)(slot - hw_chunks_first(chunks, chunk)) * store->head.stride_bytes;
    BufferObject *buffer = hw_buffer_new(store->buffer_type, pool, &store->head, address, (Py_ssize_t)size_bytes, slot);
    if (buffer == NULL) {
        hw_slots_release(store->slots, slot);
        return NULL;
    }
    hw_totals_take(store->totals, size_bytes, store->head.stride_bytes);
    return hw_born((PyObject *)buffer);
}

PyObject *hw_store_resize(SlotStore *store, BufferObject *old, size_t size_bytes) {
    size_t stride_bytes = store->head.stride_bytes, old_bytes = (size_t)old->size_bytes;
    BufferObject *new = hw_buffer_new(store->buffer_type, old->pool, &store->head, old->address, (Py_ssize_t)size_bytes, old->slot);
    if (new == NULL) return NULL;
    new->alignment_log2 = old->alignment_log2;
    hw_totals_give(store->totals, old_bytes, stride_bytes);
    hw_totals_take(store->totals, size_bytes, stride_bytes);
    store->totals->total_allocated -= stride_bytes; /* growth in place counts by its increase */
    store->totals->total_requested -= hw_smaller(old_bytes, size_bytes);
    store->totals->total_blocks--;
    hw_buffer_retire(old);
    return hw_reborn((PyObject *)new, (PyObject *)old);
}

int hw_store_trim(SlotStore *store, uint64_t keep_bytes, uint64_t *returned_bytes) {
    for (uint32_t chunk = HW_CHUNKS_MAX; chunk-- > 0;) {
        hw_slots *slots = store->slots; /* read again each time: giving back runs Python */
        if (!(slots->present >> chunk & 1)) continue;
        uint64_t size_bytes = (uint64_t)hw_chunks_slots(slots->chunks, chunk) * store->head.stride_bytes;
        uint64_t free_bytes = (uint64_t)slots->free_slots * store->head.stride_bytes;
        if (free_bytes < size_bytes || free_bytes - size_bytes < keep_bytes) continue;
        if (!hw_slots_remove(slots, chunk)) continue; /* a block in it is live */
        *returned_bytes += size_bytes;
        if (hw_chunks_return(&store->chunks, chunk) < 0) return -1;
    }
    return 0;
}

/*   F6  a chunk is present exactly where there is memory for it */
const char *hw_store_check(const SlotStore *store, uint32_t *where) {
    for (uint32_t chunk = 0; chunk < HW_CHUNKS_MAX; chunk++) {
        *where = chunk;
        if ((store->slots->present >> chunk & 1) != (store->chunks.base[chunk] != NULL)) return "F6";
    }
    return hw_slots_check(store->slots, where);
}

void hw_store_see(const SlotStore *store, PoolSeen *seen) {
    const hw_slots *slots = store->slots;
    seen->free += slots->free_slots * (uint64_t)store->head.stride_bytes;
    seen->control += hw_slots_control_bytes(slots->numbered);
    if (slots->free_slots > 0) seen->largest_free = hw_greater(seen->largest_free, store->head.stride_bytes);
    for (uint32_t chunk = 0; chunk < HW_CHUNKS_MAX; chunk++) {
        if (!(slots->present >> chunk & 1)) continue;
        seen->chunks++;
        if (slots->live[chunk] == 0) seen->releasable += hw_chunks_slots(slots->chunks, chunk) * (uint64_t)store->head.stride_bytes;
    }
}
