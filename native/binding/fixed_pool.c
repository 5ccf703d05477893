/* _native.FixedPool: one slot store behind Python's calling convention. */
#include "binding/pool_types.h"

#include <stddef.h>

enum { FIRST_CHUNK_BYTES = 64 << 10 }; /* about; at least one block. Later chunks double: core/chunks.h */

typedef struct {
    PyObject_HEAD
    SlotStore store;
    PoolTotals totals;
    PyObject *upstream;
    PyObject *buffer_type;
    PyObject *weak_references;
} FixedPoolObject;

static PyObject *pool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *upstream, *buffer_type;
    Py_ssize_t block_bytes, alignment;
    unsigned long long capacity;
    if (!PyArg_ParseTuple(args, "OnnKO!:FixedPool", &upstream, &block_bytes, &alignment, &capacity, &PyType_Type, &buffer_type))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)buffer_type, &HwBuffer_Type))
        return PyErr_SetString(PyExc_TypeError, "what the pool makes is a Buffer"), NULL;
    if (block_bytes < 0 || alignment < 1 || (alignment & (alignment - 1)) || block_bytes > PY_SSIZE_T_MAX - alignment)
        return PyErr_SetString(PyExc_ValueError, "block_bytes is a size and alignment a power of two"), NULL;
    FixedPoolObject *self = (FixedPoolObject *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->upstream = Py_NewRef(upstream);
    self->buffer_type = Py_NewRef(buffer_type);
    if (hw_store_open(&self->store, upstream, &self->totals, (size_t)block_bytes, (size_t)alignment, capacity,
                      FIRST_CHUNK_BYTES) < 0) Py_CLEAR(self);
    else self->store.buffer_type = (PyTypeObject *)buffer_type;
    return (PyObject *)self;
}

static int pool_traverse(FixedPoolObject *self, visitproc visit, void *arg) {
    Py_VISIT(self->upstream);
    Py_VISIT(self->buffer_type);
    return hw_chunks_traverse(&self->store.chunks, visit, arg);
}

/* The chunks go back while the upstream is whole: the cycle collector finalizes all of a cycle before it clears any of it.
 * No buffer is live: each holds a reference to the pool. */
static void pool_finalize(FixedPoolObject *self) { hw_store_drain(&self->store); }

static int pool_clear(FixedPoolObject *self) {
    self->store.chunks.upstream = NULL;
    Py_CLEAR(self->upstream);
    return 0;
}

static void pool_dealloc(FixedPoolObject *self) {
    PyObject_GC_UnTrack(self);
    if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self);
    if (self->upstream != NULL) pool_finalize(self);
    pool_clear(self);
    Py_XDECREF(self->buffer_type); /* not before: acquire needs it */
    hw_store_close(&self->store);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *pool_acquire(FixedPoolObject *self, PyObject *unused) {
    return hw_store_acquire(&self->store, (PyObject *)self, self->store.block_bytes, true);
}

static PyObject *pool_try_acquire(FixedPoolObject *self, PyObject *unused) {
    return hw_store_acquire(&self->store, (PyObject *)self, self->store.block_bytes, false);
}

static PyObject *pool_release(FixedPoolObject *self, PyObject *object) {
    BufferObject *buffer = hw_buffer_require_own((PyObject *)self, object, "release the buffer");
    if (buffer == NULL) return NULL;
    hw_store_release(&self->store, buffer);
    hw_buffer_retire(buffer); /* the caller holds another reference to the pool */
    Py_RETURN_NONE;
}

/* A request of any size up to that of a block: 1 if it can be served from a block, 0 for bottom, -1 with the error set. */
static int fits(FixedPoolObject *self, const PoolRequest *r, bool raises) {
    if (r->alignment > self->store.chunk_alignment) {
        hw_raise("InvalidAlignment", "{s:K,s:K}", "alignment", (unsigned long long)r->alignment, "space_alignment",
                 (unsigned long long)self->store.chunk_alignment);
        return -1;
    }
    if (r->size_bytes <= self->store.block_bytes) return 1;
    self->totals.failed++;
    if (!raises) return 0;
    PyObject *name = PyObject_Repr((PyObject *)self);
    if (name != NULL)
        hw_raise("LargerThanBlock", "{s:K,s:K,s:O}", "size_bytes", (unsigned long long)r->size_bytes, "block_bytes",
                 (unsigned long long)self->store.block_bytes, "pool", name);
    Py_XDECREF(name);
    return -1;
}

static PyObject *allocate(FixedPoolObject *self, const char *function, bool raises, PyObject *const *args, Py_ssize_t n,
                          PyObject *names) {
    PoolRequest r;
    if (hw_pool_request(function, args, n, names, &r) < 0) return NULL;
    int result = fits(self, &r, raises);
    if (result <= 0) return result == 0 ? Py_NewRef(Py_None) : NULL;
    return hw_store_acquire(&self->store, (PyObject *)self, r.size_bytes, raises);
}

static PyObject *pool_allocate(FixedPoolObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    return allocate(self, "allocate", true, args, n, names);
}

static PyObject *pool_try_allocate(FixedPoolObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    return allocate(self, "try_allocate", false, args, n, names);
}

static PyObject *pool_reallocate(FixedPoolObject *self, PyObject *const *args, Py_ssize_t n) {
    PoolRequest r = {.alignment = 1};
    if (n != 2) return PyErr_SetString(PyExc_TypeError, "reallocate() takes a buffer and size_bytes"), NULL;
    if (hw_as_size(args[1], &r.size_bytes) < 0) return NULL;
    BufferObject *old = hw_buffer_require_own((PyObject *)self, args[0], "reallocate the buffer");
    return old == NULL || fits(self, &r, true) < 0 ? NULL : hw_store_resize(&self->store, old, r.size_bytes);
}

static PyObject *pool_owns(FixedPoolObject *self, PyObject *argument) {
    void *address;
    int is_one = hw_as_address(argument, &address);
    if (is_one < 0) return NULL;
    return PyBool_FromLong(is_one && hw_chunks_at(&self->store.chunks, address) != HW_CHUNKS_MAX);
}

static PyObject *pool_trim(FixedPoolObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"keep_bytes", NULL};
    PyObject *keep = NULL;
    uint64_t keep_bytes = 0, returned_bytes = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:trim", names, &keep)) return NULL;
    if (keep != NULL && hw_as_size(keep, &keep_bytes) < 0) return NULL;
    if (hw_store_trim(&self->store, keep_bytes, &returned_bytes) < 0) return NULL;
    return PyLong_FromUnsignedLongLong(returned_bytes);
}

static PyObject *pool_check(FixedPoolObject *self, PyObject *unused) {
    uint32_t where;
    const char *broken = hw_store_check(&self->store, &where);
    if (broken == NULL) Py_RETURN_NONE;
    return hw_raise("CorruptedHeap", "{s:s,s:K}", "invariant", broken, "offset_bytes",
                    (unsigned long long)where * self->store.head.stride_bytes);
}

static PyObject *pool_counters(FixedPoolObject *self, PyObject *unused) {
    PoolSeen seen = {.resident = hw_chunks_resident(&self->store.chunks)}; /* first: it releases the GIL */
    hw_store_see(&self->store, &seen);
    return hw_totals_figures(&self->totals, &seen);
}

static PyObject *get_upstream(FixedPoolObject *self, void *unused) {
    return Py_NewRef(self->upstream ? self->upstream : Py_None);
}
static PyObject *get_block_bytes(FixedPoolObject *self, void *unused) { return PyLong_FromSize_t(self->store.block_bytes); }
static PyObject *get_stride_bytes(FixedPoolObject *self, void *unused) { return PyLong_FromSize_t(self->store.head.stride_bytes); }
static PyObject *get_alignment(FixedPoolObject *self, void *unused) { return PyLong_FromSize_t(self->store.chunk_alignment); }
static PyObject *get_first_chunk(FixedPoolObject *self, void *unused) {
    return PyLong_FromUnsignedLong(hw_chunks_end(self->store.slots->chunks, 0));
}
static PyObject *get_capacity(FixedPoolObject *self, void *unused) {
    if (!self->store.bounded) Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(self->store.slots->chunks.capacity);
}

static PyMethodDef pool_methods[] = {
    {"acquire", (PyCFunction)pool_acquire, METH_NOARGS,
     "acquire($self, /)\n--\n\nReturn a buffer of `block_bytes` bytes: the free block with the lowest number. O(1).\n\n"
     "Its bytes are what they were. It goes back by release(), or when the last reference to it is gone.\n\n"
     "Raises\n------\nPoolExhausted\n    `capacity` buffers are live.\n"
     "OutOfMemory, LimitExceeded\n    The pool has to grow, and the upstream has no memory."},
    {"try_acquire", (PyCFunction)pool_try_acquire, METH_NOARGS,
     "try_acquire($self, /)\n--\n\nThe same as acquire, but None where that raises for want of memory."},
    {"release", (PyCFunction)pool_release, METH_O,
     "release($self, buffer, /)\n--\n\nGive a buffer back; its handle means nothing from now on. O(1).\n\n"
     "Raises\n------\nViewExported\n    A view of it is exported; it was not released.\nInvalidFree\n    It was released "
     "before, or is another pool's; nothing was released."},
    {"allocate", (PyCFunction)(void (*)(void))pool_allocate, METH_FASTCALL | METH_KEYWORDS,
     "allocate($self, /, size_bytes, alignment=16)\n--\n\n"
     "Return a buffer of `size_bytes` bytes in a block of the pool: acquire, for a memory resource.\n\n"
     "Raises\n------\nLargerThanBlock\n    It is larger than `block_bytes`.\nInvalidAlignment\n    The pool's alignment is less.\n"
     "PoolExhausted, OutOfMemory, LimitExceeded\n    As by acquire."},
    {"try_allocate", (PyCFunction)(void (*)(void))pool_try_allocate, METH_FASTCALL | METH_KEYWORDS,
     "try_allocate($self, /, size_bytes, alignment=16)\n--\n\n"
     "The same as allocate, but None where that raises for want of memory, or of a block that is large enough."},
    {"deallocate", (PyCFunction)pool_release, METH_O, "deallocate($self, buffer, /)\n--\n\nThe same as release."},
    {"reallocate", (PyCFunction)(void (*)(void))pool_reallocate, METH_FASTCALL,
     "reallocate($self, buffer, size_bytes, /)\n--\n\n"
     "Replace a buffer by one of another size in the same block. The handle that is passed in is dead afterwards.\n\n"
     "Raises\n------\nLargerThanBlock\n    It is larger than `block_bytes`; the buffer is as it was.\n"
     "ViewExported, InvalidFree\n    As by release."},
    {"owns", (PyCFunction)pool_owns, METH_O, "owns($self, address, /)\n--\n\nSay whether an address lies in the pool's memory."},
    {"trim", (PyCFunction)(void (*)(void))pool_trim, METH_VARARGS | METH_KEYWORDS,
     "trim($self, /, keep_bytes=0)\n--\n\n"
     "Give chunks without a live buffer back to the upstream, the last first; return the bytes given back.\n\n"
     "At least `keep_bytes` free bytes stay, if there are so many. The upstream keeps what it gets until it is trimmed itself."},
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
    {"capacity", (getter)get_capacity, NULL, "Buffers that can be live at a time; None: as many as the upstream has memory for.",
     NULL},
    {"first_chunk_count", (getter)get_first_chunk, NULL, "Blocks in the first chunk; every further one doubles the pool.", NULL},
    {NULL},
};

static PyTypeObject FixedPool_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.FixedPool",
    .tp_doc = "FixedPool(upstream, block_bytes, alignment, capacity, buffer_type, /)\n--\n\nBlocks of one size; capacity 0: unbounded.",
    .tp_basicsize = sizeof(FixedPoolObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = pool_new,
    .tp_traverse = (traverseproc)pool_traverse,
    .tp_clear = (inquiry)pool_clear,
    .tp_finalize = (destructor)pool_finalize,
    .tp_dealloc = (destructor)pool_dealloc,
    .tp_weaklistoffset = offsetof(FixedPoolObject, weak_references),
    .tp_methods = pool_methods,
    .tp_getset = pool_getset,
};

int hw_bind_fixed_pool(PyObject *module) { return PyModule_AddType(module, &FixedPool_Type); }
