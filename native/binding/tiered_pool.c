/* _native.TieredPool: a slot store per size class (core/tiers.h), made when it is first needed, over one upstream; what is
 * larger than the largest class, or aligned to more than classes are, is a block of the upstream for as long as it lives. */
#include "binding/births.h"
#include "binding/pool_types.h"

#include "core/tiers.h"

#include <stddef.h>

enum {
    FIRST_CHUNK_BYTES = 16 << 10, /* of each class: there are many */
    LONG_COPY_BYTES = 64 << 10,
};

typedef struct {
    PyObject_HEAD
    SlotStore *tier[HW_TIERS_MAX]; /* NULL: never needed */
    uint32_t tiers;                /* those that are used */
    LargeStore large;
    PoolTotals totals;
    PyObject *upstream;
    PyObject *weak_references;
} TieredPoolObject;

/* --------------------------------------------------------------------------------------------- acquire and release */

/* HW_TIERS_MAX: none, the upstream has to serve it. */
static uint32_t tier_of(const TieredPoolObject *self, const PoolRequest *r) {
    if (r->size_bytes > HW_TIERS_BYTES_MAX || r->alignment > HW_TIERS_ALIGNMENT) return HW_TIERS_MAX;
    uint32_t tier = hw_tiers_of(r->size_bytes, r->alignment);
    return tier < self->tiers ? tier : HW_TIERS_MAX;
}

static SlotStore *store_of(TieredPoolObject *self, uint32_t tier) {
    if (self->tier[tier] != NULL) return self->tier[tier];
    SlotStore *store = PyMem_New(SlotStore, 1);
    if (store == NULL) return (SlotStore *)PyErr_NoMemory();
    if (hw_store_open(store, self->upstream, &self->totals, hw_tiers_bytes(tier), hw_tiers_alignment(tier), 0,
                      FIRST_CHUNK_BYTES) < 0) {
        PyMem_Free(store);
        return NULL;
    }
    return self->tier[tier] = store;
}

/* More than this machine has addresses for: the upstream says so, with figures of its own. */
static PyObject *refuse_size(TieredPoolObject *self, const PoolRequest *r, bool raises) {
    self->totals.failed++;
    if (!raises) Py_RETURN_NONE;
    PyObject *block = PyObject_CallMethod(self->upstream, "allocate", "OK", r->size_object, (unsigned long long)r->alignment);
    if (block == NULL) return NULL;
    Py_DECREF(block); /* it does not have that much, whatever it says */
    return PyErr_NoMemory();
}

static PyObject *acquire(TieredPoolObject *self, const PoolRequest *r, bool raises) {
    if (r->size_bytes > PY_SSIZE_T_MAX) return refuse_size(self, r, raises);
    uint32_t tier = tier_of(self, r);
    PyObject *buffer;
    if (tier == HW_TIERS_MAX) {
        buffer = hw_large_acquire(&self->large, (PyObject *)self, r->size_bytes, r->alignment, raises);
    } else {
        SlotStore *store = store_of(self, tier);
        buffer = store ? hw_store_acquire(store, (PyObject *)self, r->size_bytes, raises) : NULL;
    }
    if (buffer != NULL && buffer != Py_None) ((BufferObject *)buffer)->alignment_log2 = (uint8_t)__builtin_ctzll(r->alignment);
    return buffer;
}

/* A live buffer of this pool that nobody looks at. 0, or -1 with the error set: it is released in either case. */
static int release(TieredPoolObject *self, BufferObject *buffer) {
    if (buffer->store == &self->large.head) return hw_large_release(&self->large, buffer);
    hw_store_release((SlotStore *)buffer->store, buffer);
    hw_buffer_retire(buffer); /* the caller keeps the pool */
    return 0;
}

static PyObject *pool_acquire(TieredPoolObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    PoolRequest r;
    return hw_pool_request("acquire", args, n, names, &r) < 0 ? NULL : acquire(self, &r, true);
}

static PyObject *pool_try_acquire(TieredPoolObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    PoolRequest r;
    return hw_pool_request("try_acquire", args, n, names, &r) < 0 ? NULL : acquire(self, &r, false);
}

static PyObject *pool_release(TieredPoolObject *self, PyObject *object) {
    BufferObject *buffer = hw_buffer_require_own((PyObject *)self, object, "release the buffer");
    if (buffer == NULL || release(self, buffer) < 0) return NULL;
    Py_RETURN_NONE;
}

/* Copies while nobody can release the source. */
static void copy_pinned(BufferObject *from, char *to, size_t size_bytes) {
    from->exports++;
    PyThreadState *thread = size_bytes >= LONG_COPY_BYTES ? PyEval_SaveThread() : NULL;
    memcpy(to, from->address, size_bytes); /* the target is not known to anybody else yet */
    if (thread != NULL) PyEval_RestoreThread(thread);
    from->exports--;
}

static PyObject *pool_reallocate(TieredPoolObject *self, PyObject *const *args, Py_ssize_t n) {
    PoolRequest r;
    if (n != 2) return PyErr_SetString(PyExc_TypeError, "reallocate() takes a buffer and size_bytes"), NULL;
    r.size_object = args[1];
    if (hw_as_size(args[1], &r.size_bytes) < 0) return NULL;
    BufferObject *old = hw_buffer_require_own((PyObject *)self, args[0], "reallocate the buffer");
    if (old == NULL) return NULL;
    r.alignment = UINT64_C(1) << old->alignment_log2;
    uint32_t tier = tier_of(self, &r);
    if (tier != HW_TIERS_MAX && (BlockStore *)self->tier[tier] == old->store)
        return hw_store_resize(self->tier[tier], old, r.size_bytes);
    BufferObject *new = (BufferObject *)acquire(self, &r, true);
    if (new == NULL) return NULL;
    if (hw_buffer_require_own((PyObject *)self, (PyObject *)old, "reallocate the buffer") == NULL) {
        Py_DECREF(new); /* the upstream ran, and somebody released the old one: its bytes may be gone */
        return NULL;
    }
    copy_pinned(old, new->address, (size_t)hw_smaller((uint64_t)old->size_bytes, r.size_bytes));
    if (hw_buffer_require_own((PyObject *)self, (PyObject *)old, "reallocate the buffer") == NULL || release(self, old) < 0)
        Py_CLEAR(new); /* something happened to the old one while Python ran; the new one goes back */
    return hw_reborn((PyObject *)new, (PyObject *)old);
}

/* ------------------------------------------------------------------------------------------------- the whole pool */

/* Bytes of the keep are used up by the largest classes first: their chunks are the fewest to fetch again. */
static PyObject *pool_trim(TieredPoolObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"keep_bytes", NULL};
    PyObject *keep = NULL;
    uint64_t keep_bytes = 0, returned_bytes = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:trim", names, &keep)) return NULL;
    if (keep != NULL && hw_as_size(keep, &keep_bytes) < 0) return NULL;
    for (uint32_t tier = self->tiers; tier-- > 0;) {
        SlotStore *store = self->tier[tier];
        if (store == NULL) continue;
        if (hw_store_trim(store, keep_bytes, &returned_bytes) < 0) return NULL;
        keep_bytes -= hw_smaller(keep_bytes, (uint64_t)store->slots->free_slots * store->head.stride_bytes);
    }
    return PyLong_FromUnsignedLongLong(returned_bytes);
}

/*   F7  allocated and blocks of the totals are the sums over the stores and the large blocks */
static PyObject *pool_check(TieredPoolObject *self, PyObject *unused) {
    uint64_t allocated = self->large.bytes, blocks = self->large.blocks;
    for (uint32_t tier = 0; tier < self->tiers; tier++) {
        const SlotStore *store = self->tier[tier];
        if (store == NULL) continue;
        uint32_t where;
        const char *broken = hw_store_check(store, &where);
        if (broken != NULL)
            return hw_raise("CorruptedHeap", "{s:s,s:K}", "invariant", broken, "offset_bytes",
                            (unsigned long long)where * store->head.stride_bytes);
        allocated += (uint64_t)store->slots->live_slots * store->head.stride_bytes;
        blocks += store->slots->live_slots;
    }
    if (allocated != self->totals.allocated || blocks != self->totals.blocks)
        return hw_raise("CorruptedHeap", "{s:s,s:i}", "invariant", "F7", "offset_bytes", 0);
    Py_RETURN_NONE;
}

static PyObject *pool_counters(TieredPoolObject *self, PyObject *unused) {
    PoolSeen seen = {.resident = self->large.bytes}; /* large ones are taken to be in memory: whoever asked for one fills it */
    for (uint32_t tier = 0; tier < self->tiers; tier++)
        if (self->tier[tier] != NULL) seen.resident += hw_chunks_resident(&self->tier[tier]->chunks);
    for (uint32_t tier = 0; tier < self->tiers; tier++)
        if (self->tier[tier] != NULL) hw_store_see(self->tier[tier], &seen);
    seen.chunks += self->large.blocks;
    return hw_totals_figures(&self->totals, &seen);
}

/* What an address is in can only be told of the classes' chunks: large blocks are the upstream's. */
static PyObject *pool_owns(TieredPoolObject *self, PyObject *argument) {
    void *address;
    int is_one = hw_as_address(argument, &address);
    if (is_one < 0) return NULL;
    for (uint32_t tier = 0; is_one && tier < self->tiers; tier++)
        if (self->tier[tier] != NULL && hw_chunks_at(&self->tier[tier]->chunks, address) != HW_CHUNKS_MAX) Py_RETURN_TRUE;
    if (is_one && self->upstream != NULL) return PyObject_CallMethod(self->upstream, "owns", "O", argument);
    Py_RETURN_FALSE;
}

static PyObject *pool_block_bytes(TieredPoolObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    PoolRequest r;
    if (hw_pool_request("block_bytes", args, n, names, &r) < 0) return NULL;
    uint32_t tier = tier_of(self, &r);
    return PyLong_FromUnsignedLongLong(tier == HW_TIERS_MAX ? r.size_bytes : hw_tiers_bytes(tier));
}

static PyObject *pool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *upstream;
    unsigned long long largest_bytes;
    if (!PyArg_ParseTuple(args, "OK:TieredPool", &upstream, &largest_bytes)) return NULL;
    if (largest_bytes < 1 || largest_bytes > HW_TIERS_BYTES_MAX)
        return PyErr_SetString(PyExc_ValueError, "the largest class has 1 byte to 2 MiB"), NULL;
    TieredPoolObject *self = (TieredPoolObject *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->upstream = Py_NewRef(upstream);
    self->tiers = hw_tiers_of(largest_bytes, 1) + 1;
    hw_large_open(&self->large, upstream, &self->totals);
    return (PyObject *)self;
}

static int pool_traverse(TieredPoolObject *self, visitproc visit, void *arg) {
    Py_VISIT(self->upstream);
    for (uint32_t tier = 0; tier < self->tiers; tier++)
        if (self->tier[tier] != NULL && hw_chunks_traverse(&self->tier[tier]->chunks, visit, arg)) return -1;
    return 0;
}

/* As for FixedPool: no buffer is live, and the upstream is whole. */
static void pool_finalize(TieredPoolObject *self) {
    for (uint32_t tier = 0; tier < self->tiers; tier++)
        if (self->tier[tier] != NULL) hw_store_drain(self->tier[tier]);
}

static int pool_clear(TieredPoolObject *self) {
    for (uint32_t tier = 0; tier < self->tiers; tier++)
        if (self->tier[tier] != NULL) self->tier[tier]->chunks.upstream = NULL;
    self->large.upstream = NULL;
    Py_CLEAR(self->upstream);
    return 0;
}

static void pool_dealloc(TieredPoolObject *self) {
    PyObject_GC_UnTrack(self);
    if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self);
    if (self->upstream != NULL) pool_finalize(self);
    pool_clear(self);
    for (uint32_t tier = 0; tier < self->tiers; tier++)
        if (self->tier[tier] != NULL) hw_store_close(self->tier[tier]), PyMem_Free(self->tier[tier]);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *get_upstream(TieredPoolObject *self, void *unused) {
    return Py_NewRef(self->upstream ? self->upstream : Py_None);
}
static PyObject *get_largest(TieredPoolObject *self, void *unused) {
    return PyLong_FromUnsignedLongLong(hw_tiers_bytes(self->tiers - 1));
}

#define FAST(function) ((PyCFunction)(void (*)(void))function), METH_FASTCALL | METH_KEYWORDS
#define ACQUIRE_DOC(name)                                                                                              \
    name "($self, /, size_bytes, alignment=16)\n--\n\n"                                                                 \
    "Return a buffer of `size_bytes` bytes whose address is a multiple of `alignment`. O(1) up to `largest_bytes`.\n\n"   \
    "Raises\n------\nOutOfMemory, LimitExceeded\n    The pool has to grow, or the request is larger than the largest\n"  \
    "    class, and the upstream has no memory.\nInvalidAlignment, InvalidSize\n    An argument is not what it should be."
#define TRY_ACQUIRE_DOC(name, other)                                                                                   \
    name "($self, /, size_bytes, alignment=16)\n--\n\nThe same as " other ", but None where that raises for want of memory."
#define RELEASE_DOC(name)                                                                                              \
    name "($self, buffer, /)\n--\n\nGive a buffer back; its handle means nothing from now on. O(1).\n\n"                \
    "Raises\n------\nViewExported\n    A view of it is exported; it was not released.\nInvalidFree\n    It was released " \
    "before, or is another pool's; nothing was released."

static PyMethodDef pool_methods[] = {
    {"acquire", FAST(pool_acquire), ACQUIRE_DOC("acquire")},
    {"try_acquire", FAST(pool_try_acquire), TRY_ACQUIRE_DOC("try_acquire", "acquire")},
    {"release", (PyCFunction)pool_release, METH_O, RELEASE_DOC("release")},
    {"allocate", FAST(pool_acquire), ACQUIRE_DOC("allocate")},
    {"try_allocate", FAST(pool_try_acquire), TRY_ACQUIRE_DOC("try_allocate", "allocate")},
    {"deallocate", (PyCFunction)pool_release, METH_O, RELEASE_DOC("deallocate")},
    {"reallocate", (PyCFunction)(void (*)(void))pool_reallocate, METH_FASTCALL,
     "reallocate($self, buffer, size_bytes, /)\n--\n\n"
     "Replace a buffer by one of another size with the same first bytes: in place where the size class is the same.\n\n"
     "The handle that is passed in is dead afterwards, whether or not the bytes moved; alignment is kept.\n\n"
     "Raises\n------\nViewExported, InvalidFree, OutOfMemory, LimitExceeded\n    The buffer is as it was."},
    {"owns", (PyCFunction)pool_owns, METH_O,
     "owns($self, address, /)\n--\n\nSay whether an address lies in the pool's memory, or is its upstream's."},
    {"trim", (PyCFunction)(void (*)(void))pool_trim, METH_VARARGS | METH_KEYWORDS,
     "trim($self, /, keep_bytes=0)\n--\n\n"
     "Give chunks without a live buffer back to the upstream; return the bytes given back.\n\n"
     "At least `keep_bytes` free bytes stay, if there are so many: those of the largest classes first."},
    {"check", (PyCFunction)pool_check, METH_NOARGS,
     "check($self, /)\n--\n\nWalk every invariant of the pool; raise CorruptedHeap with the evidence. O(blocks)."},
    {"counters", (PyCFunction)pool_counters, METH_NOARGS,
     "counters($self, /)\n--\n\nReturn the fields of PoolStatistics as a dictionary. Asks the kernel for resident pages."},
    {"block_bytes", FAST(pool_block_bytes),
     "block_bytes($self, /, size_bytes, alignment=16)\n--\n\n"
     "Return the bytes that a request takes: its class's, or its own where the upstream serves it.\n\n"
     "Of a request of r bytes, rounded up to the alignment, less than r / 8 is wasted; up to 128 bytes, less than 16."},
    {NULL},
};

static PyGetSetDef pool_getset[] = {
    {"upstream", (getter)get_upstream, NULL, "The resource that chunks and large blocks come from; the pool owns it.", NULL},
    {"largest_bytes", (getter)get_largest, NULL, "The largest class; what is larger falls through to the upstream.", NULL},
    {NULL},
};

static PyTypeObject TieredPool_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.TieredPool",
    .tp_doc = "TieredPool(upstream, largest_bytes, /)\n--\n\nBlocks of any size, in size classes.",
    .tp_basicsize = sizeof(TieredPoolObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = pool_new,
    .tp_traverse = (traverseproc)pool_traverse,
    .tp_clear = (inquiry)pool_clear,
    .tp_finalize = (destructor)pool_finalize,
    .tp_dealloc = (destructor)pool_dealloc,
    .tp_weaklistoffset = offsetof(TieredPoolObject, weak_references),
    .tp_methods = pool_methods,
    .tp_getset = pool_getset,
};

int hw_bind_tiered_pool(PyObject *module) { return PyModule_AddType(module, &TieredPool_Type); }
