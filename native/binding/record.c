/* _native.Record: a handle of a record, and the base of every class that @heapwright.record makes. It is one object for one
 * record, as long as somebody holds it: two ways to a record lead to the same handle, so `is` and `==` mean the same
 * record, and handles can be in sets. What it knows is the number of an entry of the heap's table, and so it stays right
 * when records move. */
#include "binding/record_types.h"

#include <stddef.h>

PyObject *hw_record_handle_of(RecordHeapObject *heap, uint64_t id) {
    hw_record_handles *handles = &hw_records_of(heap)->handles;
    uint32_t slot = hw_record_handles_find(handles, id);
    if (slot != HW_HANDLE_NONE) return Py_NewRef((PyObject *)(uintptr_t)handles->entries[slot].owner);
    RecordObject *self = PyObject_New(RecordObject, heap->pools[hw_record_pool_of(id)].class);
    if (self == NULL) return NULL;
    bool fresh;
    int error = hw_record_heap_handle(&heap->collector.heap, id, (uintptr_t)self, &self->handle, &fresh);
    self->weak_references = NULL;
    self->heap = error == 0 ? (RecordHeapObject *)Py_NewRef(heap) : NULL;
    if (error == 0) return (PyObject *)self;
    Py_DECREF(self);
    return PyErr_NoMemory();
}

static void record_dealloc(RecordObject *self) {
    RecordHeapObject *heap = self->heap;
    PyTypeObject *type = Py_TYPE(self);
    if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self);
    if (heap != NULL && hw_record_heap_enter(heap) == 0) hw_records_drop(hw_records_of(heap), self->handle.slot);
    else if (heap != NULL) PyErr_Clear(); /* closed: the table is gone, and the entry with it */
    PyObject_Free(self);
    Py_DECREF(type);
    Py_XDECREF(heap); /* last: it may be the heap's end */
}

static PyObject *record_repr(RecordObject *self) {
    const char *name = strrchr(Py_TYPE(self)->tp_name, '.');
    name = name == NULL ? Py_TYPE(self)->tp_name : name + 1;
    uint64_t id = hw_record_id_of(self);
    if (id == HW_RECORD_NO_ID) {
        PyErr_Clear();
        return PyUnicode_FromFormat("<%s of a closed heap>", name);
    }
    return PyUnicode_FromFormat("<%s %u>", name, hw_record_index_of(id));
}

static PyObject *get_heap(RecordObject *self, void *unused) { return Py_NewRef(self->heap); }
static PyObject *get_index(RecordObject *self, void *unused) {
    uint64_t id = hw_record_id_of(self);
    return id == HW_RECORD_NO_ID ? NULL : PyLong_FromUnsignedLong(hw_record_index_of(id));
}

static PyGetSetDef GETSET[] = {
    {"__record_heap__", (getter)get_heap, NULL, "The heap that it is in.", NULL},
    {"__record_index__", (getter)get_index, NULL, "Where it is among the records of its class now; compaction changes it.", NULL},
    {NULL},
};

PyTypeObject HwRecord_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.Record",
    .tp_doc = "A handle of a record: heap.new() makes them.",
    .tp_basicsize = sizeof(RecordObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)record_dealloc,
    .tp_repr = (reprfunc)record_repr,
    .tp_weaklistoffset = offsetof(RecordObject, weak_references),
    .tp_getset = GETSET,
};

/* A class of records ends its handles by record_dealloc itself: what CPython would call in its place looks for __del__, slots
 * and a dict first, none of which there are, and takes twice as long.
 *
 * Nor is it one for CPython's cyclic collector, which all classes made in Python are: a handle has no header for that, and what
 * it refers to, a heap and a class, never refers to it. (The heap's entry of it is a number to everybody but the heap.) */
static PyObject *record_seal(PyObject *module, PyObject *class) {
    if (!PyType_Check(class) || !PyType_IsSubtype((PyTypeObject *)class, &HwRecord_Type))
        return PyErr_Format(PyExc_TypeError, "record_seal() is for classes of records");
    ((PyTypeObject *)class)->tp_dealloc = (destructor)record_dealloc;
    ((PyTypeObject *)class)->tp_flags &= ~Py_TPFLAGS_HAVE_GC;
    ((PyTypeObject *)class)->tp_traverse = NULL;
    ((PyTypeObject *)class)->tp_clear = NULL;
    PyType_Modified((PyTypeObject *)class);
    Py_RETURN_NONE;
}

static PyMethodDef FUNCTIONS[] = {
    {"record_seal", record_seal, METH_O, "record_seal(class, /)\n--\n\nThe last step of making a class of records."},
    {NULL},
};

int hw_bind_record(PyObject *module) {
    if (PyModule_AddType(module, &HwRecord_Type) < 0) return -1;
    return PyModule_AddFunctions(module, FUNCTIONS);
}
