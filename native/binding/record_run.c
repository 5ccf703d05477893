/* _native.RecordRun: a root of records that were made together, in one entry of the heap's table. They stay one behind the
 * other when records move: all of them live, and compaction keeps the order. */
#include "binding/record_types.h"

typedef struct {
    PyObject_HEAD
    RecordHeapObject *heap;
    hw_record_handle handle;
    uint32_t count;
} RunObject;

static PyTypeObject Run_Type;

/* Blank records, and a root of them all. */
PyObject *hw_record_make_run_method(RecordHeapObject *self, PyObject *args) {
    PyObject *class;
    unsigned long long count;
    uint32_t first;
    if (!PyArg_ParseTuple(args, "OK:_make_run", &class, &count) || hw_record_heap_enter(self) < 0) return NULL;
    uint32_t number = hw_record_pool_number(self, class);
    if (number == HW_RECORD_NONE) return NULL;
    if (count == 0 || count > HW_RECORD_CAPACITY_MAX) return PyErr_Format(PyExc_ValueError, "a run has 1 to %u records", HW_RECORD_CAPACITY_MAX);
    RunObject *run = PyObject_New(RunObject, &Run_Type);
    if (run == NULL) return NULL;
    run->heap = NULL;
    run->count = (uint32_t)count;
    int error = hw_record_heap_make_records(self, number, (uint32_t)count, &first);
    if (error == 0 && hw_record_heap_root(&self->collector.heap, HW_HANDLE_RUN, hw_record_id(number, first), count, &run->handle) != 0) {
        PyErr_NoMemory();
        error = -1;
    }
    if (error == 0) run->heap = (RecordHeapObject *)Py_NewRef(self);
    else Py_CLEAR(run);
    return (PyObject *)run;
}

static void run_dealloc(RunObject *self) {
    RecordHeapObject *heap = self->heap;
    if (heap != NULL && hw_record_heap_enter(heap) == 0) hw_records_drop(hw_records_of(heap), self->handle.slot);
    else if (heap != NULL) PyErr_Clear();
    PyObject_Free(self);
    Py_XDECREF(heap);
}

static PyObject *run_first(RunObject *self, void *unused) {
    if (hw_record_heap_enter(self->heap) < 0) return NULL;
    return PyLong_FromUnsignedLong(hw_record_index_of(hw_records_of(self->heap)->handles.entries[self->handle.slot].id));
}
static PyObject *run_count(RunObject *self, void *unused) { return PyLong_FromUnsignedLong(self->count); }

static PyGetSetDef RUN_GETSET[] = {
    {"first", (getter)run_first, NULL, "Where it begins now; compaction changes it.", NULL},
    {"count", (getter)run_count, NULL, "Records.", NULL},
    {NULL},
};

static PyTypeObject Run_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.RecordRun",
    .tp_doc = "A root of records that were made together.",
    .tp_basicsize = sizeof(RunObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)run_dealloc,
    .tp_getset = RUN_GETSET,
};

/* Stores a column of references: of `count` records from `first` on, the field refers to base + targets[i], or to none where that
 * is negative. Every target is live: all are of one run. */
PyObject *hw_record_fill_references_method(RecordHeapObject *self, PyObject *args) {
    RecordFieldObject *field;
    uint32_t number, first, base;
    unsigned long long limit;
    Py_buffer targets;
    if (!PyArg_ParseTuple(args, "IIO!y*IK:_fill_references", &number, &first, &HwRecordField_Type, &field, &targets, &base, &limit)) return NULL;
    PyObject *result = NULL;
    const int64_t *from = targets.buf;
    uint64_t count = (uint64_t)targets.len / sizeof *from;
    if (hw_record_heap_enter(self) < 0) goto done;
    hw_records *records = hw_records_of(self);
    if (number >= records->pools_count || (uint64_t)first + count > records->pools[number]->used || field->edge < 0 || field->code == 'a') {
        PyErr_SetString(PyExc_ValueError, "these are no references of that run");
        goto done;
    }
    const hw_record_edge *edge = hw_record_field_edge(self, field, hw_record_id(number, first));
    uint32_t pool = field->target == NULL ? HW_RECORD_NONE : hw_record_pool_number(self, (PyObject *)field->target);
    if (pool == HW_RECORD_NONE) goto done;
    bool weak = field->code == 'w' || field->code == 'W';
    for (uint64_t i = 0; i < count; i++) {
        if (from[i] >= 0 && (uint64_t)from[i] >= limit) {
            PyErr_Format(PyExc_IndexError, "%U[%llu] is %lld, and there are %llu records to refer to", field->name, (unsigned long long)i,
                         (long long)from[i], limit);
            goto done;
        }
        uint64_t id = hw_record_id(number, first + (uint32_t)i);
        uint64_t target = from[i] < 0 ? HW_RECORD_NO_ID : hw_record_id(pool, base + (uint32_t)from[i]);
        hw_edge_store(records, id, edge, weak, hw_record_place(self, id) + field->offset_bytes, target);
    }
    result = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&targets);
    return result;
}

int hw_bind_record_run(PyObject *module) { return PyModule_AddType(module, &Run_Type); }
