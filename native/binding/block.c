/* _native.Block: the handle of a block, B = (address, size_bytes, permissions, state), and its bytes as a buffer.
 *
 * A handle is never rebound: it means one range of bytes until it is freed, and none from then on. The bytes are reached
 * through exported buffers only; each is counted, and keeps the handle alive, which keeps heap and space alive. A handle
 * that dies while its block is live frees the block: whoever wants the bytes to stay keeps the handle. */
#include "binding/export.h"
#include "binding/heap_types.h"

#include <stddef.h>

enum { HANDLES_KEPT = 128 };

/* Dead handles for reuse, as CPython keeps floats: half the price of a new one. Guarded by the GIL. */
static BlockObject *kept[HANDLES_KEPT];
static int kept_count;

BlockObject *hw_block_new(HeapObject *heap, hw_strategy_handle handle, Py_ssize_t size_bytes, uint8_t alignment_log2) {
    BlockObject *self;
    if (kept_count > 0) {
        self = kept[--kept_count];
        PyObject_Init((PyObject *)self, &HwBlock_Type);
    } else {
        self = PyObject_New(BlockObject, &HwBlock_Type);
        if (self == NULL) return NULL;
    }
    self->heap = (HeapObject *)Py_NewRef(heap);
    self->address = heap->heap.space->base + handle.offset_bytes;
    self->size_bytes = size_bytes;
    self->exports = 0;
    self->pinned = self->leased = false;
    self->number = handle.number;
    self->alignment_log2 = alignment_log2;
    self->weak_references = NULL;
    if (__builtin_expect(heap->by_number != NULL, 0) && hw_handle_enlist(heap, self) < 0) {
        Py_CLEAR(self->heap); /* so that its death frees nothing: the caller does */
        Py_CLEAR(self);
    }
    return self;
}

static void expose(BlockObject *self) {
    self->exports++;
    self->heap->space->exports++;
}

static void conceal(BlockObject *self) {
    self->exports--;
    self->heap->space->exports--; /* not NULL: a block with exports is not freed */
}

static void pin(BlockObject *self) {
    if (self->pinned) return;
    self->pinned = true;
    expose(self);
}

static void block_dealloc(BlockObject *self) {
    if (self->pinned) conceal(self);
    if (self->leased) conceal(self); /* the interpreter ends, and its leases with it */
    if (self->heap != NULL) hw_heap_drop_block(self); /* no export is left: each held a reference to this handle */
    /* Only now: whoever is called back may count on the memory being free (Limiting returns the charge). */
    if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self);
    if (kept_count < HANDLES_KEPT) kept[kept_count++] = self;
    else PyObject_Free(self);
}

int hw_block_require_live(const BlockObject *self) {
    if (self->heap != NULL) return 0;
    hw_raise("BlockFreed", "{s:K,s:n}", "address", (unsigned long long)(uintptr_t)self->address, "size_bytes",
             self->size_bytes);
    return -1;
}

static int lend(BlockObject *self, hw_lent *bytes) {
    if (hw_block_require_live(self) < 0) return -1;
    int permissions = self->heap->space->space.permissions;
    if (!(permissions & 1)) {
        static const char *const letters[] = {"", "R", "W", "RW", "X", "RX", "WX", "RWX"};
        hw_raise("PermissionDenied", "{s:s,s:s}", "wanted", "R", "permissions", letters[permissions & 7]);
        return -1;
    }
    /* The pointer stays good while the export lasts: exports > 0 forbids free and move (heap.c), and the view's reference
     * keeps handle, heap and space. Access stays while space->exports > 0 (space.c). */
    *bytes = (hw_lent){self->address, self->size_bytes, !(permissions & 2)};
    return 0;
}

const hw_lender hw_block_lender = {(hw_lend)lend, (hw_lending)expose, (hw_lending)conceal, (hw_lending)pin};

static int block_getbuffer(PyObject *self, Py_buffer *view, int flags) { return hw_export(self, &hw_block_lender, view, flags); }

static PyObject *block_view(PyObject *self, PyObject *unused) { return PyMemoryView_FromObject(self); }

static Py_ssize_t block_length(BlockObject *self) {
    return hw_block_require_live(self) < 0 ? -1 : self->size_bytes;
}

static PyObject *get_address(BlockObject *self, void *unused) { return PyLong_FromVoidPtr(self->address); }
static PyObject *get_size(BlockObject *self, void *unused) { return PyLong_FromSsize_t(self->size_bytes); }
static PyObject *get_exports(BlockObject *self, void *unused) { return PyLong_FromSsize_t(self->exports); }
static PyObject *get_heap(BlockObject *self, void *unused) {
    return Py_NewRef(self->heap ? (PyObject *)self->heap : Py_None);
}
static PyObject *get_allocated(BlockObject *self, void *unused) {
    return PyLong_FromUnsignedLongLong(
        self->heap ? hw_strategy_see(self->heap->heap.control, self->number).size_bytes : 0);
}
static PyObject *get_offset(BlockObject *self, void *unused) {
    if (hw_block_require_live(self) < 0) return NULL;
    return PyLong_FromSsize_t(self->address - self->heap->heap.space->base);
}
static PyObject *get_permissions(BlockObject *self, void *unused) {
    long permissions = self->heap ? self->heap->space->space.permissions : 0;
    return hw_model_member("heapwright.model.space", "Permissions", PyLong_FromLong(permissions));
}

static const char *state_name(const BlockObject *self) {
    return self->heap == NULL ? "freed" : self->leased ? "leased" : self->exports > 0 ? "exposed" : "allocated";
}

static PyObject *get_state(BlockObject *self, void *unused) {
    return hw_model_member("heapwright.model.lifecycle", "State", PyUnicode_FromString(state_name(self)));
}

static PyObject *block_repr(BlockObject *self) {
    return PyUnicode_FromFormat("<Block %p %zd B %s>", self->address, self->size_bytes, state_name(self));
}

static PyMethodDef block_methods[] = {
    {"view", block_view, METH_NOARGS,
     "view($self, /)\n--\n\n"
     "Return a memoryview on the bytes: no copy; writable where the space is; it keeps block and space alive.\n\n"
     "Raises\n------\nBlockFreed\n    The block was freed.\nPermissionDenied\n    The space may not be read."},
    HW_ACCESS_METHODS,
    {NULL},
};

static PyObject *get_alignment(BlockObject *self, void *unused) { return PyLong_FromLong(1L << self->alignment_log2); }

static PyGetSetDef block_getset[] = {
    {"address", (getter)get_address, NULL, "a: of the first byte.", NULL},
    {"size_bytes", (getter)get_size, NULL, "s: the bytes that were asked for.", NULL},
    {"alignment", (getter)get_alignment, NULL, "Of its address, as it was asked for, in bytes; kept when the block moves.", NULL},
    {"allocated_bytes", (getter)get_allocated, NULL, "Bytes of the space that it takes, rounded up; 0 once freed.", NULL},
    {"permissions", (getter)get_permissions, NULL, "p: those of the space; none once freed.", NULL},
    {"state", (getter)get_state, NULL, "t: allocated, exposed (a view is exported) or freed.", NULL},
    {"offset_bytes", (getter)get_offset, NULL, "From the start of the space.", NULL},
    {"exports", (getter)get_exports, NULL, "Buffers that are exported and not released.", NULL},
    {"heap", (getter)get_heap, NULL, "The heap that it is allocated from; None once freed.", NULL},
    {NULL},
};

static PySequenceMethods block_as_sequence = {.sq_length = (lenfunc)block_length};
static PyBufferProcs block_as_buffer = {block_getbuffer, hw_export_released};

PyTypeObject HwBlock_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.Block",
    .tp_doc = "A block of a heap: allocate() makes them.",
    .tp_basicsize = sizeof(BlockObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)block_dealloc,
    .tp_repr = (reprfunc)block_repr,
    .tp_weaklistoffset = offsetof(BlockObject, weak_references),
    .tp_methods = block_methods,
    .tp_getset = block_getset,
    .tp_as_sequence = &block_as_sequence,
    .tp_as_buffer = &block_as_buffer,
};

int hw_bind_block(PyObject *module) { return PyModule_AddType(module, &HwBlock_Type); }
