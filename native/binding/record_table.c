/* _native.RecordTable: the records of a class as bytes, for views on their columns. While a view is exported the pool is
 * pinned: it is not compacted, nor is memory behind it given back; records may die, and others be made in their places.
 * What refers to other records may be looked at and not be written: a write would pass by the barrier. So there are two tables of
 * a pool, and the one with references is read-only. */
#include "binding/record_types.h"

typedef struct {
    PyObject_HEAD
    RecordHeapObject *heap;
    uint32_t number;
    bool writable;
} TableObject;

static PyTypeObject Table_Type;

PyObject *hw_record_table_method(RecordHeapObject *self, PyObject *args) {
    unsigned int number;
    int writable;
    if (!PyArg_ParseTuple(args, "Ip:_table", &number, &writable) || hw_record_heap_enter(self) < 0) return NULL;
    if (number >= hw_records_of(self)->pools_count) return PyErr_Format(PyExc_IndexError, "there is no pool %u", number);
    TableObject *table = PyObject_New(TableObject, &Table_Type);
    if (table == NULL) return NULL;
    table->heap = (RecordHeapObject *)Py_NewRef(self);
    table->number = number;
    table->writable = writable;
    return (PyObject *)table;
}

static int table_getbuffer(TableObject *self, Py_buffer *view, int flags) {
    view->obj = NULL;
    if (hw_record_heap_enter(self->heap) < 0) return -1;
    hw_record_store *store = hw_record_store_of(&self->heap->collector.heap, self->number);
    Py_ssize_t size = (Py_ssize_t)((size_t)store->pool.used * store->pool.stride_bytes);
    /* the address stays good while the export lasts: pools do not move, a pinned one is not compacted, and the heap is not closed */
    if (PyBuffer_FillInfo(view, (PyObject *)self, store->pool.records, size, !self->writable, flags) < 0) return -1;
    store->pins++;
    self->heap->exports++;
    return 0;
}

static void table_releasebuffer(TableObject *self, Py_buffer *view) {
    hw_record_store_of(&self->heap->collector.heap, self->number)->pins--;
    self->heap->exports--;
}

static void table_dealloc(TableObject *self) {
    Py_DECREF(self->heap);
    PyObject_Free(self);
}

static PyBufferProcs TABLE_AS_BUFFER = {(getbufferproc)table_getbuffer, (releasebufferproc)table_releasebuffer};

static PyTypeObject Table_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.RecordTable",
    .tp_doc = "The records of a class, as bytes.",
    .tp_basicsize = sizeof(TableObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)table_dealloc,
    .tp_as_buffer = &TABLE_AS_BUFFER,
};

int hw_bind_record_table(PyObject *module) { return PyModule_AddType(module, &Table_Type); }
