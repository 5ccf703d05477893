/* The chunks of a pool: blocks of whatever resource it draws from. The slow path; every call of the upstream is here. */
#include "binding/births.h"
#include "binding/pool_types.h"

#include "os/pages.h"

static int refuse(PyObject *upstream, const char *why) {
    PyObject *name = PyObject_Repr(upstream);
    if (name != NULL) hw_raise("UnsuitableUpstream", "{s:O,s:s}", "upstream", name, "why", why);
    Py_XDECREF(name);
    return -1;
}

/* Deallocates, and keeps the error that is set, if one is. */
void hw_chunk_give_quietly(PyObject *upstream, PyObject *block) {
    PyObject *error = hw_error_take();
    PyObject *done = PyObject_CallMethod(upstream, "deallocate", "O", block);
    if (done == NULL) PyErr_WriteUnraisable(upstream);
    Py_XDECREF(done);
    Py_DECREF(block);
    hw_error_put(error);
}

int hw_chunk_take(PyObject *upstream, size_t size_bytes, size_t alignment, bool raises, PyObject **block, Py_buffer *view) {
    if (upstream == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the cycle collector took this pool apart");
        return -1;
    }
    *block = PyObject_CallMethod(upstream, raises ? "allocate" : "try_allocate", "nn", (Py_ssize_t)size_bytes,
                                 (Py_ssize_t)alignment);
    if (*block == NULL) return -1;
    if (*block == Py_None) {
        Py_CLEAR(*block);
        return raises ? refuse(upstream, "its allocate() returned None instead of raising") : 0;
    }
    /* The export stays for as long as the chunk is ours: a resource frees, moves and protects no block with one. */
    if (PyObject_GetBuffer(*block, view, PyBUF_WRITABLE) < 0) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            refuse(upstream, "its blocks do not support the buffer protocol");
        }
        hw_chunk_give_quietly(upstream, *block);
        return -1;
    }
    const char *why = (size_t)view->len < size_bytes                 ? "its block is smaller than was asked for"
                      : ((uintptr_t)view->buf & (alignment - 1)) != 0 ? "its block is not aligned as was asked for"
                                                                     : NULL;
    if (why == NULL) {
        hw_birth_withdraw(*block);
        return 1;
    }
    PyBuffer_Release(view);
    refuse(upstream, why);
    hw_chunk_give_quietly(upstream, *block);
    return -1;
}

int hw_chunk_give(PyObject *upstream, PyObject *block) {
    PyObject *done = PyObject_CallMethod(upstream, "deallocate", "O", block);
    Py_DECREF(block);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

int hw_chunks_obtain(ChunkTable *table, uint32_t chunk, size_t size_bytes, size_t alignment, bool raises) {
    PyObject *block;
    Py_buffer view;
    int result = hw_chunk_take(table->upstream, size_bytes, alignment, raises, &block, &view);
    if (result <= 0) return result;
    if (table->base[chunk] != NULL) { /* another thread was faster, while the upstream ran */
        PyBuffer_Release(&view);
        hw_chunk_give_quietly(table->upstream, block);
        return 2;
    }
    table->base[chunk] = view.buf;
    table->block[chunk] = block;
    view.len = (Py_ssize_t)size_bytes; /* what we asked for, if it gave more */
    table->view[chunk] = view; /* a Py_buffer may be moved: only buf, obj and internal matter to its exporter */
    hw_totals_obtain(table->totals, size_bytes);
    return 1;
}

/* Before Python runs: nobody finds the chunk any more. */
static PyObject *detach(ChunkTable *table, uint32_t chunk) {
    PyObject *block = table->block[chunk];
    table->base[chunk] = NULL;
    table->block[chunk] = NULL;
    table->totals->committed -= (uint64_t)table->view[chunk].len;
    PyBuffer_Release(&table->view[chunk]);
    return block;
}

int hw_chunks_return(ChunkTable *table, uint32_t chunk) { return hw_chunk_give(table->upstream, detach(table, chunk)); }

void hw_chunks_return_quietly(ChunkTable *table, uint32_t chunk) { hw_chunk_give_quietly(table->upstream, detach(table, chunk)); }

int hw_chunks_traverse(ChunkTable *table, visitproc visit, void *arg) {
    for (uint32_t chunk = 0; chunk < HW_CHUNKS_MAX; chunk++) Py_VISIT(table->block[chunk]);
    return 0; /* the exports are not visited: they refer to the same blocks once more, which only makes them live longer */
}

uint32_t hw_chunks_at(const ChunkTable *table, const void *address) {
    for (uint32_t chunk = 0; chunk < HW_CHUNKS_MAX; chunk++)
        if (table->base[chunk] != NULL &&
            (uintptr_t)address - (uintptr_t)table->base[chunk] < (uintptr_t)table->view[chunk].len)
            return chunk;
    return HW_CHUNKS_MAX;
}

int hw_as_address(PyObject *object, void **address) {
    *address = PyLong_AsVoidPtr(object);
    if (*address != NULL || !PyErr_Occurred()) return 1;
    if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return -1;
    PyErr_Clear();
    return 0;
}

uint64_t hw_chunks_resident(const ChunkTable *table) {
    uintptr_t mask = hw_pages_size() - 1;
    struct {
        uintptr_t start, size_bytes;
    } range[HW_CHUNKS_MAX];
    for (uint32_t chunk = 0; chunk < HW_CHUNKS_MAX; chunk++) {
        range[chunk].start = (uintptr_t)table->base[chunk];
        range[chunk].size_bytes = table->base[chunk] ? (uintptr_t)table->view[chunk].len : 0;
    }
    uint64_t total_bytes = 0;
    Py_BEGIN_ALLOW_THREADS /* the ranges are only asked about: one that goes meanwhile is an error, which counts as 0 */
    for (uint32_t chunk = 0; chunk < HW_CHUNKS_MAX; chunk++) {
        if (range[chunk].size_bytes == 0) continue;
        uintptr_t start = range[chunk].start & ~mask, end = (range[chunk].start + range[chunk].size_bytes + mask) & ~mask;
        size_t bytes = 0;
        if (hw_pages_resident((void *)start, end - start, &bytes) != 0) continue;
        total_bytes += bytes < range[chunk].size_bytes ? bytes : range[chunk].size_bytes; /* the ends share their pages */
    }
    Py_END_ALLOW_THREADS
    return total_bytes;
}
