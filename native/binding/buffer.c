/* _native.Buffer: the handle of a pool's block, and its bytes as a buffer. Like a heap's Block it means one range of bytes
 * until it goes back, and none from then on. One that is dropped goes back by itself; while a view is exported it cannot,
 * since the view keeps it. */
#include "binding/export.h"
#include "binding/pool_types.h"

#include <stddef.h>

enum { HANDLES_KEPT = 256 };

/* Dead handles for reuse, as CPython keeps floats. Guarded by the GIL. */
static BufferObject *kept[HANDLES_KEPT];
static int kept_count;

BufferObject *hw_buffer_new(PyTypeObject *type, PyObject *pool, BlockStore *store, char *address, Py_ssize_t size_bytes,
                            uint32_t slot) {
    BufferObject *self;
    if (type != &HwBuffer_Type) {
        self = (BufferObject *)type->tp_alloc(type, 0);
        if (self == NULL) return NULL;
    } else if (kept_count > 0) {
        self = kept[--kept_count];
        PyObject_Init((PyObject *)self, &HwBuffer_Type);
    } else {
        self = PyObject_New(BufferObject, &HwBuffer_Type);
        if (self == NULL) return NULL;
    }
    self->pool = Py_NewRef(pool);
    self->store = store;
    self->address = address;
    self->size_bytes = size_bytes;
    self->exports = 0;
    self->detail = NULL;
    self->slot = slot;
    self->alignment_log2 = 0;
    self->pinned = self->leased = false;
    self->weak_references = NULL;
    return self;
}

static void buffer_dealloc(BufferObject *self) {
    PyObject *pool = self->pool;
    if (pool != NULL) { /* no export is left: each held a reference to this handle */
        self->store->take_back(self->store, self);
        self->pool = NULL;
    }
    /* Only now: whoever is called back may count on the block being free. */
    if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self);
    if (!Py_IS_TYPE(self, &HwBuffer_Type)) Py_TYPE(self)->tp_free(self);
    else if (kept_count < HANDLES_KEPT) kept[kept_count++] = self;
    else PyObject_Free(self);
    Py_XDECREF(pool); /* last: it may be the pool's end, and run Python */
}

BufferObject *hw_buffer_require_own(PyObject *pool, PyObject *object, const char *what) {
    if (!PyObject_TypeCheck(object, &HwBuffer_Type)) {
        PyErr_Format(PyExc_TypeError, "expected a Buffer of this pool, not %.100s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    BufferObject *buffer = (BufferObject *)object;
    if (buffer->pool == pool && buffer->exports == 0) return buffer;
    unsigned long long address = (unsigned long long)(uintptr_t)buffer->address;
    if (buffer->pool != pool)
        hw_raise("InvalidFree", "{s:K,s:n,s:s}", "address", address, "size_bytes", buffer->size_bytes, "reason",
                 buffer->pool == NULL ? "double" : "foreign");
    else
        hw_raise_exported(object, buffer->address, buffer->size_bytes, buffer->exports, buffer->pinned, what);
    return NULL;
}

static int require_live(const BufferObject *self) {
    if (self->pool != NULL) return 0;
    hw_raise("BlockFreed", "{s:K,s:n}", "address", (unsigned long long)(uintptr_t)self->address, "size_bytes",
             self->size_bytes);
    return -1;
}

static void expose(BufferObject *self) { self->exports++; }
static void conceal(BufferObject *self) { self->exports--; }

static void pin(BufferObject *self) {
    if (!self->pinned) self->exports++;
    self->pinned = true;
}

static int lend(BufferObject *self, hw_lent *bytes) {
    if (require_live(self) < 0) return -1;
    /* The pointer stays good while the export lasts: it forbids release, and its reference keeps handle, pool, chunk. */
    *bytes = (hw_lent){self->address, self->size_bytes, false};
    return 0;
}

const hw_lender hw_buffer_lender = {(hw_lend)lend, (hw_lending)expose, (hw_lending)conceal, (hw_lending)pin};

static int buffer_getbuffer(PyObject *self, Py_buffer *view, int flags) { return hw_export(self, &hw_buffer_lender, view, flags); }

static PyObject *buffer_view(PyObject *self, PyObject *unused) { return PyMemoryView_FromObject(self); }

static Py_ssize_t buffer_length(BufferObject *self) { return require_live(self) < 0 ? -1 : self->size_bytes; }

static const char *state_name(const BufferObject *self) {
    return self->pool == NULL ? "freed" : self->leased ? "leased" : self->exports > 0 ? "exposed" : "allocated";
}

static PyObject *get_address(BufferObject *self, void *unused) { return PyLong_FromVoidPtr(self->address); }
static PyObject *get_size(BufferObject *self, void *unused) { return PyLong_FromSsize_t(self->size_bytes); }
static PyObject *get_allocated(BufferObject *self, void *unused) {
    size_t stride_bytes = self->pool ? self->store->stride_bytes : 0;
    return PyLong_FromSsize_t(self->pool && stride_bytes == 0 ? self->size_bytes : (Py_ssize_t)stride_bytes);
}
static PyObject *get_exports(BufferObject *self, void *unused) { return PyLong_FromSsize_t(self->exports); }
static PyObject *get_pool(BufferObject *self, void *unused) { return Py_NewRef(self->pool ? self->pool : Py_None); }
static PyObject *get_slot(BufferObject *self, void *unused) {
    if (self->slot == HW_SLOT_NONE) Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(self->slot);
}
static PyObject *get_permissions(BufferObject *self, void *unused) {
    return hw_model_member("heapwright.model.space", "Permissions", PyLong_FromLong(self->pool ? 3 : 0));
}
static PyObject *get_state(BufferObject *self, void *unused) {
    return hw_model_member("heapwright.model.lifecycle", "State", PyUnicode_FromString(state_name(self)));
}

static PyObject *buffer_repr(BufferObject *self) {
    const char *name = strrchr(Py_TYPE(self)->tp_name, '.');
    return PyUnicode_FromFormat("<%s %p %zd B %s>", name ? name + 1 : Py_TYPE(self)->tp_name, self->address, self->size_bytes, state_name(self));
}

static PyMethodDef buffer_methods[] = {
    {"view", buffer_view, METH_NOARGS,
     "view($self, /)\n--\n\n"
     "Return a writable memoryview on the bytes: no copy; it keeps buffer, pool and memory alive.\n\n"
     "Raises\n------\nBlockFreed\n    The buffer was released."},
    HW_ACCESS_METHODS,
    {NULL},
};

static PyGetSetDef buffer_getset[] = {
    {"address", (getter)get_address, NULL, "a: of the first byte.", NULL},
    {"size_bytes", (getter)get_size, NULL, "s: the bytes that were asked for.", NULL},
    {"allocated_bytes", (getter)get_allocated, NULL, "What it takes, rounded up; 0 once released.", NULL},
    {"permissions", (getter)get_permissions, NULL, "p: readable and writable; none once released.", NULL},
    {"state", (getter)get_state, NULL, "t: allocated, exposed (a view is exported) or freed.", NULL},
    {"exports", (getter)get_exports, NULL, "Views that are exported and not released.", NULL},
    {"pool", (getter)get_pool, NULL, "The pool that it was acquired from; None once released.", NULL},
    {"slot", (getter)get_slot, NULL, "Which of the blocks of its size it is; None for one that the upstream served.", NULL},
    {NULL},
};

static PySequenceMethods buffer_as_sequence = {.sq_length = (lenfunc)buffer_length};
static PyBufferProcs buffer_as_buffer = {buffer_getbuffer, hw_export_released};

PyTypeObject HwBuffer_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.Buffer",
    .tp_doc = "A block of a pool: acquire() makes them.",
    .tp_basicsize = sizeof(BufferObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)buffer_dealloc,
    .tp_repr = (reprfunc)buffer_repr,
    .tp_weaklistoffset = offsetof(BufferObject, weak_references),
    .tp_methods = buffer_methods,
    .tp_getset = buffer_getset,
    .tp_as_sequence = &buffer_as_sequence,
    .tp_as_buffer = &buffer_as_buffer,
};

int hw_bind_buffer(PyObject *module) { return PyModule_AddType(module, &HwBuffer_Type); }
