/* _native.Export: what a buffer of a block comes from. See export.h. */
#include "binding/export.h"
#include "binding/leases.h"

#include <stddef.h>

enum {
    EXPORTS_KEPT = 64,
    FORGETFUL = PyBUF_ANY_CONTIGUOUS | PyBUF_WRITABLE, /* NumPy's PyArray_BufferConverter */
};

typedef struct {
    PyObject_HEAD
    PyObject *block; /* NULL: the buffer was refused */
    const hw_lender *lender;
} ExportObject;

static PyTypeObject Export_Type;

/* Dead exports for reuse, as CPython keeps floats. Guarded by the GIL. */
static ExportObject *kept[EXPORTS_KEPT];
static int kept_count;

static ExportObject *export_new(void) {
    ExportObject *self;
    if (kept_count > 0) {
        self = kept[--kept_count];
        PyObject_Init((PyObject *)self, &Export_Type);
    } else {
        self = PyObject_GC_New(ExportObject, &Export_Type);
        if (self == NULL) return NULL;
    }
    self->block = NULL;
    PyObject_GC_Track(self);
    return self;
}

static int lend(PyObject *block, const hw_lender *lender, hw_lent *bytes) {
    if (lender->lend(block, bytes) < 0) return -1;
    if (!*hw_leased(block)) return 0; /* every lender's block can be lent */
    hw_raise_leased(block, bytes->address, bytes->size_bytes, 1, "view the block");
    return -1;
}

int hw_export(PyObject *block, const hw_lender *lender, Py_buffer *view, int flags) {
    hw_lent bytes;
    view->obj = NULL;
    ExportObject *self = export_new(); /* first: it may run the collector, and finalizers that free the block */
    if (self == NULL || lend(block, lender, &bytes) < 0) {
        Py_XDECREF(self);
        return -1;
    }
    if (flags == FORGETFUL) lender->pin(block); /* refused or not: of read-only bytes NumPy asks again, as others do */
    int result = PyBuffer_FillInfo(view, (PyObject *)self, bytes.address, bytes.size_bytes, bytes.readonly, flags);
    if (result == 0) {
        self->block = Py_NewRef(block);
        self->lender = lender;
        lender->expose(block);
    }
    Py_DECREF(self); /* the buffer has a reference of its own */
    return result;
}

void hw_export_released(PyObject *block, Py_buffer *view) { /* the export ends with its last reference */ }

static void export_dealloc(ExportObject *self) {
    PyObject *block = self->block;
    const hw_lender *lender = self->lender;
    PyObject_GC_UnTrack(self);
    if (kept_count < EXPORTS_KEPT) kept[kept_count++] = self;
    else PyObject_GC_Del(self);
    if (block == NULL) return;
    lender->conceal(block);
    Py_DECREF(block); /* last: it may be the block's end, and run Python */
}

/* A pool's buffer may be of a class of Python's, and have a view of itself in its attributes. */
static int export_traverse(ExportObject *self, visitproc visit, void *arg) {
    Py_VISIT(self->block);
    return 0;
}

/* Who holds an export may look at the bytes again. */
static int export_getbuffer(ExportObject *self, Py_buffer *view, int flags) {
    return PyObject_GetBuffer(self->block, view, flags);
}

static PyObject *export_repr(ExportObject *self) { return PyUnicode_FromFormat("<Export of %R>", self->block); }

static PyObject *get_block(ExportObject *self, void *unused) { return Py_NewRef(self->block); }

static PyGetSetDef FIELDS[] = {
    {"block", (getter)get_block, NULL, "Whose bytes they are.", NULL},
    {NULL},
};

static PyBufferProcs AS_BUFFER = {(getbufferproc)export_getbuffer, hw_export_released};

static PyTypeObject Export_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.Export",
    .tp_doc = "What a view of a block holds: while it is there, the block is neither freed nor moved.",
    .tp_basicsize = sizeof(ExportObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)export_dealloc,
    .tp_traverse = (traverseproc)export_traverse,
    .tp_repr = (reprfunc)export_repr,
    .tp_getset = FIELDS,
    .tp_as_buffer = &AS_BUFFER,
};

int hw_bind_export(PyObject *module) { return PyModule_AddType(module, &Export_Type); }
