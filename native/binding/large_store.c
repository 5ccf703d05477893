/* Blocks that the upstream itself serves: a pool's handle on each, with a view of ours exported like that of a chunk. */
#include "binding/births.h"
#include "binding/pool_types.h"

typedef struct { /* buffer->detail */
    PyObject *block;
    Py_buffer view;
} LargeBlock;

/* The block, out of the books and with no view of ours any more. */
static PyObject *detach(LargeStore *store, BufferObject *buffer) {
    LargeBlock *large = buffer->detail;
    PyObject *block = large->block;
    uint64_t size_bytes = (uint64_t)buffer->size_bytes;
    PyBuffer_Release(&large->view);
    PyMem_Free(large);
    store->blocks--;
    store->bytes -= size_bytes;
    store->totals->committed -= size_bytes;
    hw_totals_give(store->totals, size_bytes, size_bytes);
    return block;
}

static void take_back(BlockStore *head, BufferObject *buffer) {
    LargeStore *store = (LargeStore *)head;
    hw_chunk_give_quietly(store->upstream, detach(store, buffer));
}

void hw_large_open(LargeStore *store, PyObject *upstream, PoolTotals *totals) {
    *store = (LargeStore){.head.take_back = take_back, .upstream = upstream, .totals = totals};
}

PyObject *hw_large_acquire(LargeStore *store, PyObject *pool, size_t size_bytes, size_t alignment, bool raises) {
    LargeBlock *large = PyMem_New(LargeBlock, 1);
    if (large == NULL) return PyErr_NoMemory();
    int result = hw_chunk_take(store->upstream, size_bytes, alignment, raises, &large->block, &large->view);
    if (result <= 0) {
        PyMem_Free(large);
        store->totals->failed++;
        return result == 0 ? Py_NewRef(Py_None) : NULL;
    }
    BufferObject *buffer =
        hw_buffer_new(&HwBuffer_Type, pool, &store->head, large->view.buf, (Py_ssize_t)size_bytes, HW_SLOT_NONE);
    if (buffer == NULL) {
        PyBuffer_Release(&large->view);
        hw_chunk_give_quietly(store->upstream, large->block);
        PyMem_Free(large);
        return NULL;
    }
    buffer->detail = large;
    store->blocks++;
    store->bytes += size_bytes;
    hw_totals_obtain(store->totals, size_bytes);
    hw_totals_take(store->totals, size_bytes, size_bytes);
    return hw_born((PyObject *)buffer);
}

int hw_large_release(LargeStore *store, BufferObject *buffer) {
    PyObject *block = detach(store, buffer);
    hw_buffer_retire(buffer); /* the caller keeps the pool, and that the upstream */
    return hw_chunk_give(store->upstream, block);
}
