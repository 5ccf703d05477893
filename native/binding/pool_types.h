/* The types of the pools room, and who keeps whom alive: a view keeps its buffer, a live buffer its pool, a pool its chunks,
 * a chunk is a block of the upstream with a view of ours exported, and the pool keeps the upstream. So no address that was
 * handed out outlives its memory, and the upstream refuses to free a chunk behind the pool's back.
 *
 * The lock is the GIL. Everything here is whole between any two calls into Python; what calls Python (growing, giving a
 * chunk back) looks again afterwards, since any thread may have done anything meanwhile. */
#ifndef HW_BINDING_POOL_TYPES_H
#define HW_BINDING_POOL_TYPES_H

#include "binding/binding.h"
#include "core/slots.h"

typedef struct BufferObject BufferObject;

/* The error that is set, taken away, or NULL; and put back. For what runs Python where an error may be under way. */
static inline PyObject *hw_error_take(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    if (type == NULL) return NULL;
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL) PyException_SetTraceback(error, traceback);
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return error;
#endif
}

static inline void hw_error_put(PyObject *error) {
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(error);
#else
    if (error == NULL) PyErr_Clear();
    else PyErr_Restore(Py_NewRef(Py_TYPE(error)), error, PyException_GetTraceback(error));
#endif
}

/* ---- pool_totals.c: the figures of a pool, over all its stores */

typedef struct {
    uint64_t requested, peak_requested, total_requested;
    uint64_t allocated, peak_allocated, total_allocated;
    uint64_t committed, peak_committed, total_committed; /* what the pool has of its upstream */
    uint64_t blocks, peak_blocks, total_blocks;
    uint64_t failed, grown;
} PoolTotals;

static inline uint64_t hw_greater(uint64_t a, uint64_t b) { return a > b ? a : b; }
static inline uint64_t hw_smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* A block was acquired; one was released; memory came from the upstream; some went back. */
static inline void hw_totals_take(PoolTotals *totals, uint64_t requested_bytes, uint64_t allocated_bytes) {
    totals->peak_requested = hw_greater(totals->peak_requested, totals->requested += requested_bytes);
    totals->peak_allocated = hw_greater(totals->peak_allocated, totals->allocated += allocated_bytes);
    totals->peak_blocks = hw_greater(totals->peak_blocks, ++totals->blocks);
    totals->total_requested += requested_bytes;
    totals->total_allocated += allocated_bytes;
    totals->total_blocks++;
}

static inline void hw_totals_give(PoolTotals *totals, uint64_t requested_bytes, uint64_t allocated_bytes) {
    totals->requested -= requested_bytes;
    totals->allocated -= allocated_bytes;
    totals->blocks--;
}

static inline void hw_totals_obtain(PoolTotals *totals, uint64_t size_bytes) {
    totals->peak_committed = hw_greater(totals->peak_committed, totals->committed += size_bytes);
    totals->total_committed += size_bytes;
}

typedef struct { /* what is looked up, not counted along */
    uint64_t resident, free, largest_free, releasable, control, chunks;
} PoolSeen;

/* The fields of PoolStatistics, as a dictionary. */
PyObject *hw_totals_figures(const PoolTotals *totals, const PoolSeen *seen);

/* ---- chunk_table.c: the memory of a pool */

typedef struct {
    PoolTotals *totals;
    PyObject *upstream; /* not owned: whoever has the table keeps it; NULL: the cycle collector took it away */
    char *base[HW_CHUNKS_MAX]; /* NULL: the chunk is absent */
    PyObject *block[HW_CHUNKS_MAX];
    Py_buffer view[HW_CHUNKS_MAX];
} ChunkTable;

/* A block of the upstream with a view of ours exported. 1; 0 if the upstream has no memory, and `raises` is false; -1 with
 * the error set. Calls Python. */
int hw_chunk_take(PyObject *upstream, size_t size_bytes, size_t alignment, bool raises, PyObject **block, Py_buffer *view);

/* Gives it back, with the export released; 0, or -1 with the error set. Calls Python, and steals the block. */
int hw_chunk_give(PyObject *upstream, PyObject *block);

/* The same; what goes wrong is reported as unraisable, and an error that is set stays. */
void hw_chunk_give_quietly(PyObject *upstream, PyObject *block);

/* Memory for an absent chunk: as hw_chunk_take, or 2 if somebody else had put it there when the upstream had answered. */
int hw_chunks_obtain(ChunkTable *table, uint32_t chunk, size_t size_bytes, size_t alignment, bool raises);

/* A chunk back to the upstream; 0, or -1 with the error set: it is absent in either case. */
int hw_chunks_return(ChunkTable *table, uint32_t chunk);

/* The same; what goes wrong is reported as unraisable, and an error that is set stays. */
void hw_chunks_return_quietly(ChunkTable *table, uint32_t chunk);

int hw_chunks_traverse(ChunkTable *table, visitproc visit, void *arg);

/* The chunk that an address lies in, or HW_CHUNKS_MAX. */
uint32_t hw_chunks_at(const ChunkTable *table, const void *address);

/* An address as Python gives it: 1, 0 if it is none of this machine, or -1 with the error set. */
int hw_as_address(PyObject *object, void **address);

/* Bytes in memory now, as the kernel says. Releases the GIL. */
uint64_t hw_chunks_resident(const ChunkTable *table);

/* ---- buffer.c: the handle of a pool's block */

typedef struct BlockStore { /* where buffers go back to; the head of what has them */
    void (*take_back)(struct BlockStore *store, BufferObject *buffer);
    size_t stride_bytes; /* what a block takes; 0: as much as was asked for */
} BlockStore;

struct BufferObject {
    PyObject_HEAD
    PyObject *pool;    /* the one that the user acquired it from; NULL: released */
    BlockStore *store; /* a part of the pool, which keeps it */
    char *address;
    Py_ssize_t size_bytes; /* as asked for */
    Py_ssize_t exports;
    void *detail;      /* the store's own */
    uint32_t slot;
    uint8_t alignment_log2; /* as asked for; 0 where requests name none */
    bool pinned;            /* the handle itself is one of the exports, until it dies: export.h */
    bool leased;            /* so is a lease, until it ends: leases.h */
    PyObject *weak_references;
};

extern PyTypeObject HwBuffer_Type;

/* A new handle, of HwBuffer_Type or a subtype; or NULL with the error set. */
BufferObject *hw_buffer_new(PyTypeObject *type, PyObject *pool, BlockStore *store, char *address, Py_ssize_t size_bytes, uint32_t slot);

/* The object is a live buffer of this pool, and nobody looks at it; returns it, or NULL with the error set. */
BufferObject *hw_buffer_require_own(PyObject *pool, PyObject *object, const char *what);

/* The handle means nothing from now on. The caller keeps the pool. */
static inline void hw_buffer_retire(BufferObject *buffer) {
    PyObject *pool = buffer->pool;
    buffer->pool = NULL;
    Py_DECREF(pool);
}

/* ---- large_store.c: blocks that the upstream itself serves, for as long as they live */

typedef struct {
    BlockStore head;
    PyObject *upstream; /* not owned; NULL: the cycle collector took it away */
    PoolTotals *totals;
    uint64_t blocks, bytes;
} LargeStore;

void hw_large_open(LargeStore *store, PyObject *upstream, PoolTotals *totals);

/* As hw_store_acquire. */
PyObject *hw_large_acquire(LargeStore *store, PyObject *pool, size_t size_bytes, size_t alignment, bool raises);

/* A live buffer of the store that nobody looks at. 0, or -1 with the error set: it is released in either case. Calls Python. */
int hw_large_release(LargeStore *store, BufferObject *buffer);

/* ---- slot_store.c: blocks of one size */

typedef struct {
    BlockStore head;
    hw_slots *slots;
    ChunkTable chunks;
    PyTypeObject *buffer_type; /* what acquire makes; not owned */
    size_t block_bytes, chunk_alignment;
    bool bounded; /* the capacity was chosen: it is full when that is reached */
    PoolTotals *totals; /* those of the pool that it is a part of */
} SlotStore;

/* 0, or -1 with the error set. `capacity` 0: as many as can be numbered. */
int hw_store_open(SlotStore *store, PyObject *upstream, PoolTotals *totals, size_t block_bytes, size_t alignment,
                  uint64_t capacity, size_t first_chunk_bytes);

/* Frees its book-keeping. No chunk is left. */
void hw_store_close(SlotStore *store);

/* Gives every chunk without a live block back; what goes wrong is reported as unraisable. */
void hw_store_drain(SlotStore *store);

/* A buffer for `pool`; None if `raises` is false and there is no memory; or NULL with the error set. */
PyObject *hw_store_acquire(SlotStore *store, PyObject *pool, size_t size_bytes, bool raises);

/* The same block under a new handle of another size, which fits; the old handle is dead. NULL with the error set: nothing
 * has changed. */
PyObject *hw_store_resize(SlotStore *store, BufferObject *old, size_t size_bytes);

/* Gives chunks without a live block back, the last ones first, while at least keep_bytes free bytes stay. The bytes given
 * back are added to *returned_bytes. 0, or -1 with the error set. */
int hw_store_trim(SlotStore *store, uint64_t keep_bytes, uint64_t *returned_bytes);

/* NULL, or the first broken invariant. */
const char *hw_store_check(const SlotStore *store, uint32_t *where);

/* Adds what the store has to what was seen; resident bytes are asked for, which releases the GIL, by another call. */
void hw_store_see(const SlotStore *store, PoolSeen *seen);

static inline void hw_store_release(SlotStore *store, BufferObject *buffer) {
    hw_slots_release(store->slots, buffer->slot); /* live, since the handle is: hw_buffer_require_own */
    hw_totals_give(store->totals, (uint64_t)buffer->size_bytes, store->head.stride_bytes);
}

/* ---- pool_request.c */

typedef struct {
    PyObject *size_object; /* as it was given; borrowed */
    uint64_t size_bytes, alignment; /* a power of two, 16 if none was named; UINT64_MAX: more than 64 bits hold */
} PoolRequest;

/* 0, or -1 with the error set. */
int hw_pool_request(const char *function, PyObject *const *args, Py_ssize_t n, PyObject *names, PoolRequest *r);

int hw_bind_buffer(PyObject *module);
int hw_bind_fixed_pool(PyObject *module);
int hw_bind_tiered_pool(PyObject *module);
int hw_bind_concurrent_pool(PyObject *module);

#endif
