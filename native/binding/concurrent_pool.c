/* _native.ConcurrentPool: core/depot.h over chunks of an upstream, with a cache per Python thread (thread_caches.c).
 *
 * What the depot asks its caller to serialise, the GIL serialises: nothing here lets go of it between two steps, except where
 * the upstream is called. For the same reason a pool that has run dry may gather what other threads' caches hold back: with
 * the GIL held none of them is inside acquire or release. So bottom is bottom: nothing is free anywhere. */
#include "binding/births.h"
#include "binding/concurrent_types.h"

#include "os/pages.h"

enum {
    FIRST_CHUNK_BYTES = 64 << 10,
    THREADS_MOST = 512, /* with a cache of their own; more share one, which the GIL lets them */
};

/* --------------------------------------------------------------------------------------------- acquire and release */

static void gather_all(ConcurrentPoolObject *self) {
    for (uint32_t i = 0; i < self->depot->equipped; i++) hw_depot_gather(self->depot, &self->depot->cache[i]);
}

static PyObject *raise_exhausted(ConcurrentPoolObject *self) {
    PyObject *name = PyObject_Repr((PyObject *)self);
    if (name != NULL)
        hw_raise("PoolExhausted", "{s:O,s:n,s:k,s:k}", "pool", name, "block_bytes", (Py_ssize_t)self->block_bytes, "capacity",
                 (unsigned long)self->chunking.capacity, "live_count", (unsigned long)self->totals.blocks);
    Py_XDECREF(name);
    return NULL;
}

static uint32_t absent_chunk(const ConcurrentPoolObject *self) {
    uint32_t chunk = 0;
    while (chunk < hw_chunks_count(self->chunking) && self->chunks.base[chunk] != NULL) chunk++;
    return chunk < hw_chunks_count(self->chunking) ? chunk : HW_CHUNKS_MAX;
}

/* Free slots where a cache found none: 1, 0 for bottom, or -1 with the error set. */
static int refill(ConcurrentPoolObject *self, hw_depot_cache *cache, bool raises) {
    if (hw_depot_take_leftover(self->depot, cache)) return 1;
    if (self->totals.blocks < self->depot->slots) { /* free, and held back by other threads */
        gather_all(self);
        return 1;
    }
    uint32_t chunk = absent_chunk(self);
    if (chunk == HW_CHUNKS_MAX || self->upstream == NULL) {
        if (raises) raise_exhausted(self);
        return raises ? -1 : 0;
    }
    size_t size_bytes = hw_chunks_slots(self->chunking, chunk) * self->head.stride_bytes; /* fits: checked by pool_new */
    int result = hw_chunks_obtain(&self->chunks, chunk, size_bytes, self->alignment, raises);
    if (result != 1) return result > 0 ? 1 : result;
    hw_depot_add(self->depot, hw_chunks_first(self->chunking, chunk), hw_chunks_end(self->chunking, chunk));
    self->totals.grown++;
    return 1;
}

static PyObject *acquire(ConcurrentPoolObject *self, bool raises) {
    uint32_t slot;
    hw_depot_cache *cache = hw_cache_of(self);
    while (__builtin_expect((slot = hw_depot_acquire(self->depot, cache)) == HW_SLOT_NONE, 0)) {
        int result = refill(self, cache, raises);
        if (result > 0) continue;
        self->totals.failed++;
        return result == 0 ? Py_NewRef(Py_None) : NULL;
    }
    uint32_t chunk = hw_chunks_of(self->chunking, slot);
    char *address = self->chunks.base[chunk] + (size_t)(slot - hw_chunks_first(self->chunking, chunk)) * self->head.stride_bytes;
    BufferObject *buffer =
        hw_buffer_new(&HwBuffer_Type, (PyObject *)self, &self->head, address, (Py_ssize_t)self->block_bytes, slot);
    if (buffer == NULL) hw_depot_release(self->depot, cache, slot);
    else hw_totals_take(&self->totals, self->block_bytes, self->head.stride_bytes);
    return hw_born((PyObject *)buffer);
}

static void take_back(BlockStore *head, BufferObject *buffer) {
    ConcurrentPoolObject *self = (ConcurrentPoolObject *)buffer->pool;
    hw_depot_release(self->depot, hw_cache_of(self), buffer->slot);
    hw_totals_give(&self->totals, self->block_bytes, self->head.stride_bytes);
}

static PyObject *pool_acquire(ConcurrentPoolObject *self, PyObject *unused) { return acquire(self, true); }
static PyObject *pool_try_acquire(ConcurrentPoolObject *self, PyObject *unused) { return acquire(self, false); }

static PyObject *pool_release(ConcurrentPoolObject *self, PyObject *object) {
    BufferObject *buffer = hw_buffer_require_own((PyObject *)self, object, "release the buffer");
    if (buffer == NULL) return NULL;
    take_back(&self->head, buffer);
    hw_buffer_retire(buffer); /* the caller holds another reference to the pool */
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------------------------------------- the whole pool */

/* The chunks without a live block, as a set; and their bytes. */
static uint64_t empty_chunks(const ConcurrentPoolObject *self, uint32_t free_slots[HW_CHUNKS_MAX]) {
    uint64_t empty = 0;
    hw_depot_count(self->depot, self->chunking, free_slots);
    for (uint32_t chunk = 0; chunk < hw_chunks_count(self->chunking); chunk++)
        if (self->chunks.base[chunk] != NULL && free_slots[chunk] == hw_chunks_slots(self->chunking, chunk))
            empty |= UINT64_C(1) << chunk;
    return empty;
}

static PyObject *pool_trim(ConcurrentPoolObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"keep_bytes", NULL};
    PyObject *keep = NULL;
    uint64_t keep_bytes = 0, returned_bytes = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:trim", names, &keep)) return NULL;
    if (keep != NULL && hw_as_size(keep, &keep_bytes) < 0) return NULL;
    uint32_t free_slots[HW_CHUNKS_MAX] = {0};
    uint64_t empty = empty_chunks(self, free_slots), removed = 0;
    uint64_t free_bytes = (self->depot->slots - self->totals.blocks) * (uint64_t)self->head.stride_bytes;
    for (uint32_t chunk = HW_CHUNKS_MAX; chunk-- > 0;) {
        uint64_t size_bytes = free_slots[chunk] * (uint64_t)self->head.stride_bytes;
        if (!(empty >> chunk & 1) || free_bytes - size_bytes < keep_bytes) continue; /* they are among the free */
        removed |= UINT64_C(1) << chunk;
        free_bytes -= size_bytes;
        returned_bytes += size_bytes;
    }
    hw_depot_remove(self->depot, self->chunking, removed); /* before Python runs: nobody gets a block of them any more */
    int result = 0;
    for (uint32_t chunk = 0; chunk < HW_CHUNKS_MAX; chunk++) {
        if (!(removed >> chunk & 1)) continue;
        if (result == 0) result = hw_chunks_return(&self->chunks, chunk);
        else hw_chunks_return_quietly(&self->chunks, chunk);
    }
    return result < 0 ? NULL : PyLong_FromUnsignedLongLong(returned_bytes);
}

/*   M6  the slots of the depot are those of the chunks that are there; M7  those that are live are the buffers out */
static const char *broken_invariant(ConcurrentPoolObject *self, unsigned char *scratch) {
    uint64_t slots = 0;
    for (uint32_t chunk = 0; chunk < hw_chunks_count(self->chunking); chunk++)
        if (self->chunks.base[chunk] != NULL) slots += hw_chunks_slots(self->chunking, chunk);
    if (slots != self->depot->slots) return "M6";
    uint32_t free_slots[HW_CHUNKS_MAX] = {0};
    hw_depot_count(self->depot, self->chunking, free_slots);
    for (uint32_t chunk = 0; chunk < HW_CHUNKS_MAX; chunk++) slots -= free_slots[chunk];
    return slots != self->totals.blocks ? "M7" : hw_depot_check(self->depot, scratch);
}

static PyObject *pool_check(ConcurrentPoolObject *self, PyObject *unused) {
    unsigned char *scratch = PyMem_Calloc(1, hw_depot_scratch_bytes(self->depot));
    if (scratch == NULL) return PyErr_NoMemory();
    const char *broken = broken_invariant(self, scratch);
    PyMem_Free(scratch);
    if (broken != NULL) return hw_raise("CorruptedHeap", "{s:s,s:i}", "invariant", broken, "offset_bytes", 0);
    Py_RETURN_NONE;
}

static PyObject *pool_counters(ConcurrentPoolObject *self, PyObject *unused) {
    PoolSeen seen = {.resident = hw_chunks_resident(&self->chunks)}; /* first: it releases the GIL */
    uint32_t free_slots[HW_CHUNKS_MAX] = {0};
    uint64_t empty = empty_chunks(self, free_slots);
    for (uint32_t chunk = 0; chunk < HW_CHUNKS_MAX; chunk++) {
        seen.chunks += self->chunks.base[chunk] != NULL;
        seen.free += free_slots[chunk] * (uint64_t)self->head.stride_bytes;
        if (empty >> chunk & 1) seen.releasable += free_slots[chunk] * (uint64_t)self->head.stride_bytes;
    }
    seen.largest_free = seen.free > 0 ? self->head.stride_bytes : 0;
    seen.control = self->depot->magazines * sizeof(hw_magazine) + sizeof(hw_depot) +
                   self->depot->equipped * sizeof(hw_depot_cache); /* what is touched of the region */
    return hw_totals_figures(&self->totals, &seen);
}

static PyObject *pool_owns(ConcurrentPoolObject *self, PyObject *argument) {
    void *address;
    int is_one = hw_as_address(argument, &address);
    if (is_one < 0) return NULL;
    return PyBool_FromLong(is_one && hw_chunks_at(&self->chunks, address) != HW_CHUNKS_MAX);
}

/* ---------------------------------------------------------------------------------------------------- the type */

static int open_depot(ConcurrentPoolObject *self, uint32_t magazine_slots) {
    size_t page = hw_pages_size();
    self->control_bytes = hw_depot_control_bytes(self->chunking.capacity, THREADS_MOST, magazine_slots);
    self->control_bytes = (self->control_bytes + page - 1) & ~(page - 1);
    void *control = NULL;
    int error = hw_pages_reserve(self->control_bytes, page, &control);
    if (error == 0 && (error = hw_pages_commit(control, self->control_bytes)) != 0)
        hw_pages_release(control, self->control_bytes);
    if (error != 0) {
        hw_raise("SystemCallFailed", "{s:s,s:i}", "call", "making room for the control data of a pool", "errno", error);
        return -1;
    }
    self->depot = hw_depot_init(control, self->chunking.capacity, THREADS_MOST, magazine_slots);
    hw_depot_open(self->depot); /* cache 0, which is shared: hw_cache_shared */
    return 0;
}

static PyObject *pool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *upstream;
    Py_ssize_t block_bytes, alignment, size_bytes;
    unsigned int capacity, magazine_slots;
    int bounded;
    if (!PyArg_ParseTuple(args, "OnnIpI:ConcurrentPool", &upstream, &block_bytes, &alignment, &capacity, &bounded,
                          &magazine_slots))
        return NULL;
    if (block_bytes < 0 || alignment < 1 || (alignment & (alignment - 1)) || block_bytes > PY_SSIZE_T_MAX - alignment ||
        capacity < 1 || capacity > HW_SLOTS_MAX || magazine_slots < 1 || magazine_slots > HW_MAGAZINE_SLOTS)
        return PyErr_SetString(PyExc_ValueError, "block_bytes is a size, alignment a power of two, capacity below 2^31"), NULL;
    size_t stride_bytes = ((size_t)(block_bytes ? block_bytes : 1) + (size_t)alignment - 1) & ~((size_t)alignment - 1);
    if (__builtin_mul_overflow((Py_ssize_t)stride_bytes, capacity, &size_bytes))
        return PyErr_SetString(PyExc_ValueError, "capacity blocks of block_bytes are more than there are addresses"), NULL;
    ConcurrentPoolObject *self = (ConcurrentPoolObject *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->head.take_back = take_back;
    self->upstream = Py_NewRef(upstream);
    self->chunks.upstream = upstream;
    self->chunks.totals = &self->totals;
    self->block_bytes = (size_t)block_bytes;
    self->head.stride_bytes = stride_bytes;
    self->alignment = (size_t)alignment;
    self->bounded = bounded;
    size_t first = FIRST_CHUNK_BYTES / stride_bytes;
    self->chunking = (hw_chunks){first ? 63 - (uint32_t)__builtin_clzll(first) : 0, capacity};
    self->serial = hw_pool_serial();
    if (open_depot(self, magazine_slots) < 0) Py_CLEAR(self);
    return (PyObject *)self;
}

static int pool_traverse(ConcurrentPoolObject *self, visitproc visit, void *arg) {
    Py_VISIT(self->upstream);
    return hw_chunks_traverse(&self->chunks, visit, arg);
}

/* As for FixedPool: no buffer is live, and the upstream is whole. Should a finalizer of the same cycle still acquire, the
 * pool grows again. */
static void pool_finalize(ConcurrentPoolObject *self) {
    uint32_t free_slots[HW_CHUNKS_MAX] = {0};
    if (self->depot == NULL) return;
    uint64_t empty = empty_chunks(self, free_slots);
    hw_depot_remove(self->depot, self->chunking, empty);
    for (uint32_t chunk = 0; chunk < HW_CHUNKS_MAX; chunk++)
        if (empty >> chunk & 1) hw_chunks_return_quietly(&self->chunks, chunk);
}

static int pool_clear(ConcurrentPoolObject *self) {
    self->chunks.upstream = NULL;
    Py_CLEAR(self->upstream);
    return 0;
}

static void pool_dealloc(ConcurrentPoolObject *self) {
    PyObject_GC_UnTrack(self);
    if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self); /* now no ThreadCaches finds it */
    if (self->upstream != NULL) pool_finalize(self);
    pool_clear(self);
    if (self->depot != NULL) hw_pages_release(self->depot, self->control_bytes);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *get_upstream(ConcurrentPoolObject *self, void *unused) {
    return Py_NewRef(self->upstream ? self->upstream : Py_None);
}
static PyObject *get_block_bytes(ConcurrentPoolObject *self, void *unused) { return PyLong_FromSize_t(self->block_bytes); }
static PyObject *get_stride_bytes(ConcurrentPoolObject *self, void *unused) { return PyLong_FromSize_t(self->head.stride_bytes); }
static PyObject *get_alignment(ConcurrentPoolObject *self, void *unused) { return PyLong_FromSize_t(self->alignment); }
static PyObject *get_capacity(ConcurrentPoolObject *self, void *unused) {
    if (!self->bounded) Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(self->chunking.capacity);
}
static PyObject *get_cache_count(ConcurrentPoolObject *self, void *unused) {
    return PyLong_FromUnsignedLong(2 * self->depot->magazine_slots);
}
static PyObject *get_thread_count(ConcurrentPoolObject *self, void *unused) {
    long open = -1; /* the shared one is nobody's */
    for (uint32_t i = 0; i < self->depot->equipped; i++) open += self->depot->cache[i].open;
    return PyLong_FromLong(open);
}

static PyMethodDef pool_methods[] = {
    {"acquire", (PyCFunction)pool_acquire, METH_NOARGS,
     "acquire($self, /)\n--\n\nReturn a buffer of `block_bytes` bytes, most often from this thread's cache. O(1).\n\n"
     "Its bytes are what they were. It goes back by release(), on any thread, or when the last reference to it is gone.\n\n"
     "Raises\n------\nPoolExhausted\n    `capacity` buffers are live.\n"
     "OutOfMemory, LimitExceeded\n    The pool has to grow, and the upstream has no memory."},
    {"try_acquire", (PyCFunction)pool_try_acquire, METH_NOARGS,
     "try_acquire($self, /)\n--\n\nThe same as acquire, but None where that raises for want of memory."},
    {"release", (PyCFunction)pool_release, METH_O,
     "release($self, buffer, /)\n--\n\n"
     "Give a buffer back, whichever thread acquired it; its handle means nothing from now on. O(1).\n\n"
     "Raises\n------\nViewExported\n    A view of it is exported; it was not released.\nInvalidFree\n    It was released "
     "before, or is another pool's; nothing was released."},
    {"owns", (PyCFunction)pool_owns, METH_O, "owns($self, address, /)\n--\n\nSay whether an address lies in the pool's memory."},
    {"trim", (PyCFunction)(void (*)(void))pool_trim, METH_VARARGS | METH_KEYWORDS,
     "trim($self, /, keep_bytes=0)\n--\n\n"
     "Give chunks without a live buffer back to the upstream; return the bytes given back. Empties all caches. O(free blocks).\n\n"
     "At least `keep_bytes` free bytes stay, if there are so many."},
    {"check", (PyCFunction)pool_check, METH_NOARGS,
     "check($self, /)\n--\n\nWalk every invariant of the pool; raise CorruptedHeap with the evidence. O(blocks)."},
    {"counters", (PyCFunction)pool_counters, METH_NOARGS,
     "counters($self, /)\n--\n\nReturn the fields of PoolStatistics as a dictionary. Asks the kernel for resident pages."},
    {NULL},
};

static PyGetSetDef pool_getset[] = {
    {"upstream", (getter)get_upstream, NULL, "The resource that the chunks come from; the pool owns it.", NULL},
    {"block_bytes", (getter)get_block_bytes, NULL, "What every buffer has.", NULL},
    {"stride_bytes", (getter)get_stride_bytes, NULL, "From one block to the next: block_bytes, rounded up to the alignment.", NULL},
    {"alignment", (getter)get_alignment, NULL, "In bytes, of every buffer.", NULL},
    {"capacity", (getter)get_capacity, NULL, "Buffers that can be live at a time; None: none was chosen.", NULL},
    {"cache_count", (getter)get_cache_count, NULL, "Free blocks that a thread's cache holds back from the others, at most.", NULL},
    {"thread_count", (getter)get_thread_count, NULL, "Threads that have a cache of this pool now.", NULL},
    {NULL},
};

static PyTypeObject ConcurrentPool_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.ConcurrentPool",
    .tp_doc = "ConcurrentPool(upstream, block_bytes, alignment, capacity, bounded, magazine_slots, /)\n--\n\n"
              "Blocks of one size, with a cache per thread.",
    .tp_basicsize = sizeof(ConcurrentPoolObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = pool_new,
    .tp_traverse = (traverseproc)pool_traverse,
    .tp_clear = (inquiry)pool_clear,
    .tp_finalize = (destructor)pool_finalize,
    .tp_dealloc = (destructor)pool_dealloc,
    .tp_weaklistoffset = offsetof(ConcurrentPoolObject, weak_references),
    .tp_methods = pool_methods,
    .tp_getset = pool_getset,
};

int hw_bind_concurrent_pool(PyObject *module) {
    return PyType_Ready(&HwThreadCaches_Type) < 0 ? -1 : PyModule_AddType(module, &ConcurrentPool_Type);
}
