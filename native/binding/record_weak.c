/* _native.WeakRecord: knows a record without keeping it alive. It is an entry of the heap's table, like a handle, and so goes with the
 * record when that moves; the collector empties it when it finds that the record is unreachable, before any finalizer runs. */
#include "binding/record_types.h"

typedef struct {
    PyObject_HEAD
    RecordHeapObject *heap;
    hw_record_handle handle;
} WeakRecordObject;

static PyObject *weak_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    RecordObject *record;
    if (!PyArg_ParseTuple(args, "O!:WeakRecord", &HwRecord_Type, &record)) return NULL;
    WeakRecordObject *self = (WeakRecordObject *)type->tp_alloc(type, 0);
    uint64_t id = self == NULL ? HW_RECORD_NO_ID : hw_record_id_of(record);
    if (id == HW_RECORD_NO_ID) {
        Py_XDECREF(self);
        return NULL;
    }
    if (hw_record_heap_root(&record->heap->collector.heap, HW_HANDLE_WEAK, id, 0, &self->handle) != 0) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->heap = (RecordHeapObject *)Py_NewRef(record->heap);
    return (PyObject *)self;
}

static void weak_dealloc(WeakRecordObject *self) {
    RecordHeapObject *heap = self->heap;
    if (heap != NULL && hw_record_heap_enter(heap) == 0) hw_records_drop(hw_records_of(heap), self->handle.slot);
    else if (heap != NULL) PyErr_Clear(); /* closed */
    Py_TYPE(self)->tp_free((PyObject *)self);
    Py_XDECREF(heap);
}

static PyObject *weak_upgrade(WeakRecordObject *self, PyObject *unused) {
    if (hw_record_heap_enter(self->heap) < 0) return NULL;
    hw_records *records = hw_records_of(self->heap);
    uint64_t target = hw_weak_target(records, records->handles.entries[self->handle.slot].id);
    return target == HW_RECORD_NO_ID ? Py_NewRef(Py_None) : hw_record_handle_of(self->heap, target);
}

static PyMethodDef METHODS[] = {
    {"upgrade", (PyCFunction)weak_upgrade, METH_NOARGS,
     "upgrade($self, /)\n--\n\nReturn the record, or None once the collector has found it unreachable."},
    {"__class_getitem__", (PyCFunction)Py_GenericAlias, METH_O | METH_CLASS, "See PEP 585"},
    {NULL},
};

static PyTypeObject Weak_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.WeakRecord",
    .tp_doc = "WeakRecord(record, /)\n--\n\n"
              "Knows a record without keeping it alive.\n\n"
              "A weakref.ref is about the handle, which Python frees when nobody holds it, though the record lives on in its heap: "
              "this is about the record.\n\n"
              "Examples\n--------\n"
              ">>> import heapwright as hw\n"
              ">>> @hw.record\n... class Page:\n...     text: str\n...     next: hw.Ref[\"Page\"]\n"
              ">>> heap = hw.RecordHeap()\n"
              ">>> first = heap.new(Page, text=\"one\", next=heap.new(Page, text=\"two\"))\n"
              ">>> second = hw.WeakRecord(first.next)\n"
              ">>> second.upgrade().text\n'two'\n"
              ">>> first.next = None\n>>> heap.collect()\n1\n>>> second.upgrade() is None\nTrue",
    .tp_basicsize = sizeof(WeakRecordObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = weak_new,
    .tp_dealloc = (destructor)weak_dealloc,
    .tp_methods = METHODS,
};

int hw_bind_record_weak(PyObject *module) { return PyModule_AddType(module, &Weak_Type); }
