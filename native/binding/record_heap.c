/* _native.RecordHeap: records of classes, made one at a time or in runs, found by number, and kept by handles and runs.
 * heapwright.gc.heap is what programs use.
 *
 * GIL: it is the mutator's place of core/records.h. A long operation (a collection, a compaction) gives it up: then the heap is
 * busy, and whoever touches it waits. */
#include "binding/record_types.h"

#include <stddef.h>
#include <unistd.h>

#include "binding/heap_types.h"

/* ---- open, busy, closed --------------------------------------------------------------------------------------------- */

/* In a forked child the thread that was at it does not exist. What it did is whole, by the fork gate; its lock is in nobody's
 * power to give back. */
static void renew_after_fork(RecordHeapObject *heap) {
    if (heap->state != HW_RECORD_HEAP_BUSY || heap->pid == (long)getpid()) return;
    PyThread_type_lock lock = PyThread_allocate_lock();
    if (lock == NULL) Py_FatalError("no memory for a lock in a forked child");
    heap->lock = lock;
    heap->state = HW_RECORD_HEAP_OPEN;
}

int hw_record_heap_enter_slow(RecordHeapObject *heap) {
    renew_after_fork(heap);
    while (heap->state == HW_RECORD_HEAP_BUSY) {
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(heap->lock, WAIT_LOCK);
        PyThread_release_lock(heap->lock);
        Py_END_ALLOW_THREADS
    }
    if (heap->state == HW_RECORD_HEAP_OPEN) return 0;
    hw_raise("HandleReleased", "{s:s}", "handle", "record heap");
    return -1;
}

PyObject *hw_raise_record_full(RecordHeapObject *heap, uint64_t size_bytes, int error) {
    const hw_record_heap *h = &heap->collector.heap;
    return hw_raise("record_errors.RecordHeapFull", "{s:K,s:K,s:K,s:i}", "size_bytes", (unsigned long long)size_bytes, "capacity_bytes",
                    (unsigned long long)h->capacity_bytes, "used_bytes", (unsigned long long)h->used_bytes, "errno", error < 0 ? 0 : error);
}

/* ---- classes -------------------------------------------------------------------------------------------------------- */

uint32_t hw_record_pool_number(RecordHeapObject *heap, PyObject *class) {
    uint32_t count = hw_records_of(heap)->pools_count;
    if (heap->last_pool < count && (PyObject *)heap->pools[heap->last_pool].class == class) return heap->last_pool;
    for (int again = 0; again < 2; again++) {
        for (uint32_t i = 0; i < hw_records_of(heap)->pools_count; i++)
            if ((PyObject *)heap->pools[i].class == class) return heap->last_pool = i;
        /* a class that is new here: heapwright.gc.heap finds what it refers to, and adds them all */
        PyObject *done = again ? NULL : PyObject_CallMethod((PyObject *)heap, "_admit", "O", class);
        if (done == NULL) break;
        Py_DECREF(done);
    }
    if (!PyErr_Occurred()) PyErr_Format(PyExc_TypeError, "%R is no class of records", class);
    return HW_RECORD_NONE;
}

/* The edges of a kind with the pools of this heap, a byte each. NULL: no memory. */
static hw_record_edge *edges_here(const hw_record_edge *edges, uint16_t count, const Py_buffer *pools) {
    hw_record_edge *here = PyMem_Calloc((size_t)count + 1, sizeof *here);
    for (uint16_t i = 0; here != NULL && i < count; i++) {
        here[i] = edges[i];
        here[i].pool = ((const uint8_t *)pools->buf)[i];
    }
    return here;
}

static PyObject *heap_add(RecordHeapObject *self, PyObject *args) {
    PyTypeObject *class;
    RecordKindObject *kind;
    SpaceObject *space;
    Py_buffer strong, weak;
    if (!PyArg_ParseTuple(args, "O!O!O!y*y*:_add", &PyType_Type, &class, &HwRecordKind_Type, &kind, &HwSpace_Type, &space, &strong, &weak))
        return NULL;
    RecordPool pool = {0};
    bool fit = strong.len == kind->edges_count && weak.len == kind->weak_count;
    if (fit) {
        pool.edges = edges_here(kind->edges, kind->edges_count, &strong);
        pool.weak = edges_here(kind->weak, kind->weak_count, &weak);
    }
    PyBuffer_Release(&strong);
    PyBuffer_Release(&weak);
    if (!fit) return PyErr_Format(PyExc_ValueError, "a pool for each of %u and %u edges", kind->edges_count, kind->weak_count);
    if (hw_record_heap_enter(self) < 0 || hw_space_require_free(space) < 0) {
        PyMem_Free(pool.edges);
        PyMem_Free(pool.weak);
        return NULL;
    }
    hw_record_finish(&self->collector); /* pools are not added in the middle of a cycle */
    uint32_t number = hw_records_of(self)->pools_count;
    hw_record_pool shape = {
        .stride_bytes = (uint32_t)PyBytes_GET_SIZE(kind->blank), .blank = (const unsigned char *)PyBytes_AS_STRING(kind->blank),
        .edges = pool.edges, .weak = pool.weak, .payloads = kind->payloads,
        .edges_count = kind->edges_count, .narrow_count = kind->narrow_count, .spans_count = kind->spans_count,
        .weak_count = kind->weak_count, .payloads_count = kind->payloads_count,
        .narrow_offset_bytes = kind->narrow_count != 0 ? kind->edges[0].offset_bytes : 0,
    };
    int error = pool.edges == NULL || pool.weak == NULL ? ENOMEM : number == HW_RECORD_POOLS_MAX ? HW_RECORD_HEAP_FULL : 0;
    if (error == 0) error = hw_record_heap_add(&self->collector.heap, &shape, kind->finalizer, &space->space, &number);
    if (error != 0) {
        PyMem_Free(pool.edges);
        PyMem_Free(pool.weak);
        if (error < 0) return PyErr_Format(PyExc_ValueError, "a record heap has at most %d classes of records", HW_RECORD_POOLS_MAX);
        return hw_raise("SystemCallFailed", "{s:s,s:i}", "call", "reserving address space for records", "errno", error);
    }
    pool.class = (PyTypeObject *)Py_NewRef(class);
    pool.kind = (RecordKindObject *)Py_NewRef(kind);
    pool.space = Py_NewRef(space);
    space->has_records = true;
    self->pools[number] = pool;
    return PyLong_FromUnsignedLong(number);
}

/* ---- one record ----------------------------------------------------------------------------------------------------- */

/* 0 or -1. What is due is done first; a whole collection makes room where there is none. */
int hw_record_heap_make_records(RecordHeapObject *self, uint32_t number, uint32_t count, uint32_t *first) {
    if (hw_record_heap_pace(self) < 0) return -1;
    int error = hw_record_heap_make(&self->collector.heap, number, count, first);
    if (error != 0 && hw_record_heap_make_room(self) == 0) error = hw_record_heap_make(&self->collector.heap, number, count, first);
    if (error == 0) return 0;
    if (!PyErr_Occurred()) hw_raise_record_full(self, (uint64_t)count * hw_records_of(self)->pools[number]->stride_bytes, error);
    return -1;
}

/* The field of that name; `guess` is the place where it is if names come in the order of the class. */
static RecordFieldObject *field_named(const RecordKindObject *kind, PyObject *name, Py_ssize_t guess) {
    Py_ssize_t n = PyTuple_GET_SIZE(kind->fields);
    for (Py_ssize_t i = 0; i < n; i++) { /* names of keywords and of fields are interned: the same name is the same object */
        RecordFieldObject *field = (RecordFieldObject *)PyTuple_GET_ITEM(kind->fields, (guess + i) % n);
        if (field->name == name) return field;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        RecordFieldObject *field = (RecordFieldObject *)PyTuple_GET_ITEM(kind->fields, i);
        if (PyUnicode_Compare(field->name, name) == 0) return field;
    }
    return NULL;
}

static int refuse_fields(PyTypeObject *class, const RecordKindObject *kind, uint64_t given) {
    uint64_t missing = kind->required & ~given;
    const RecordFieldObject *field = (RecordFieldObject *)PyTuple_GET_ITEM(kind->fields, __builtin_ctzll(missing));
    PyErr_Format(PyExc_TypeError, "a %.100s is made without its field %U, which has no default", class->tp_name, field->name);
    return -1;
}

static int fill(RecordHeapObject *self, uint32_t number, RecordObject *record, PyObject *const *values, PyObject *names) {
    const RecordKindObject *kind = self->pools[number].kind;
    Py_ssize_t n = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    uint64_t given = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        RecordFieldObject *field = field_named(kind, PyTuple_GET_ITEM(names, i), i);
        if (field == NULL) {
            PyErr_Format(PyExc_TypeError, "%.100s has no field %R", self->pools[number].class->tp_name, PyTuple_GET_ITEM(names, i));
            return -1;
        }
        uint64_t id = hw_record_id_of(record); /* each time: a value's conversion may run code that compacts */
        if (id == HW_RECORD_NO_ID || hw_record_field_store(field, self, id, values[i]) < 0) return -1;
        given |= UINT64_C(1) << field->index;
    }
    if ((kind->required & ~given) != 0) return refuse_fields(self->pools[number].class, kind, given);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kind->late); i++) {
        if (PyTuple_GET_ITEM(kind->late, i) == Py_None || given >> i & 1) continue;
        RecordFieldObject *field = (RecordFieldObject *)PyTuple_GET_ITEM(kind->fields, i);
        if (hw_record_field_store(field, self, hw_record_id_of(record), PyTuple_GET_ITEM(kind->late, i)) < 0) return -1;
    }
    return 0;
}

static PyObject *heap_new_record(RecordHeapObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    uint32_t index;
    if (n != 1) return PyErr_Format(PyExc_TypeError, "new() takes a class of records, and its fields by name"), NULL;
    if (hw_record_heap_enter(self) < 0) return NULL;
    uint32_t number = hw_record_pool_number(self, args[0]);
    if (number == HW_RECORD_NONE || hw_record_heap_make_records(self, number, 1, &index) < 0) return NULL;
    PyObject *record = hw_record_handle_of(self, hw_record_id(number, index)); /* from here on it is held */
    if (record != NULL && fill(self, number, (RecordObject *)record, args + 1, names) < 0) Py_CLEAR(record); /* garbage, for the next cycle */
    return record;
}

static int parse_index(RecordHeapObject *self, PyObject *args, const char *format, uint32_t *number, uint32_t *index) {
    if (!PyArg_ParseTuple(args, format, number, index) || hw_record_heap_enter(self) < 0) return -1;
    if (*number < hw_records_of(self)->pools_count) return 0;
    PyErr_Format(PyExc_IndexError, "there is no pool %u", *number);
    return -1;
}

static PyObject *heap_handle_at(RecordHeapObject *self, PyObject *args) {
    uint32_t number, index;
    if (parse_index(self, args, "II:_handle_at", &number, &index) < 0) return NULL;
    uint64_t id = hw_record_id(number, index);
    if (!hw_record_is_live(hw_records_of(self), id) || hw_record_is_doomed(hw_records_of(self), id))
        return PyErr_Format(PyExc_IndexError, "there is no %.100s at %u", self->pools[number].class->tp_name, index);
    return hw_record_handle_of(self, id);
}

/* The records of a word of the planes that somebody may be given. */
static uint64_t kept_of(RecordHeapObject *self, uint32_t number, uint32_t word) {
    const hw_records *records = hw_records_of(self);
    const hw_record_pool *pool = records->pools[number];
    bool doomed = records->phase == HW_RECORDS_SWEEP && !hw_records_is_swept(records, number, word);
    return doomed ? pool->allocated[word] & pool->marked[word] : pool->allocated[word];
}

/* The first live record at or after an index, or None. */
static PyObject *heap_next_live(RecordHeapObject *self, PyObject *args) {
    uint32_t number, index;
    if (parse_index(self, args, "II:_next_live", &number, &index) < 0) return NULL;
    const hw_record_pool *pool = hw_records_of(self)->pools[number];
    while (index < pool->used) {
        uint64_t bits = kept_of(self, number, index / 64) >> index % 64;
        if (bits != 0) return PyLong_FromUnsignedLong(index + (uint32_t)__builtin_ctzll(bits));
        index = (index / 64 + 1) * 64;
    }
    Py_RETURN_NONE;
}

static PyObject *heap_live_bits(RecordHeapObject *self, PyObject *argument) {
    unsigned long number = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred() || hw_record_heap_enter(self) < 0) return NULL;
    if (number >= hw_records_of(self)->pools_count) return PyErr_Format(PyExc_IndexError, "there is no pool %lu", number);
    const hw_record_pool *pool = hw_records_of(self)->pools[number];
    return PyBytes_FromStringAndSize((const char *)pool->allocated, (Py_ssize_t)(pool->used + 63) / 64 * 8);
}

/* ---- opening, closing ----------------------------------------------------------------------------------------------- */

static PyObject *heap_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    unsigned long long capacity_bytes, minimum_bytes, nursery_bytes;
    long long budget_ns;
    double growth, compact_above;
    int collector, automatic;
    unsigned int promote_after, every;
    int poison;
    if (!PyArg_ParseTuple(args, "KpipKdKLIId:RecordHeap", &capacity_bytes, &poison, &collector, &automatic, &minimum_bytes, &growth, &nursery_bytes,
                          &budget_ns, &promote_after, &every, &compact_above))
        return NULL;
    RecordHeapObject *self = (RecordHeapObject *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->state = HW_RECORD_HEAP_CLOSED;
    self->lock = PyThread_allocate_lock();
    hw_record_policy policy = {(enum hw_collector)collector, automatic, minimum_bytes, growth, nursery_bytes, budget_ns, every, compact_above};
    int error = self->lock == NULL ? ENOMEM : hw_record_collector_open(&self->collector, capacity_bytes, (uint8_t)promote_after, policy);
    if (error == 0) {
        self->state = HW_RECORD_HEAP_OPEN;
        hw_records_of(self)->poison = poison;
        return (PyObject *)self;
    }
    Py_DECREF(self);
    return hw_raise("SystemCallFailed", "{s:s,s:i}", "call", "reserving address space for a record heap", "errno", error);
}

static void close_heap(RecordHeapObject *self) {
    if (self->state != HW_RECORD_HEAP_OPEN) return;
    uint32_t count = hw_records_of(self)->pools_count;
    self->state = HW_RECORD_HEAP_CLOSED;
    hw_record_collector_close(&self->collector);
    for (uint32_t i = 0; i < count; i++) {
        PyMem_Free(self->pools[i].edges);
        PyMem_Free(self->pools[i].weak);
        Py_CLEAR(self->pools[i].class);
        Py_CLEAR(self->pools[i].kind);
        ((SpaceObject *)self->pools[i].space)->has_records = false;
        Py_CLEAR(self->pools[i].space);
    }
}

static PyObject *heap_close(RecordHeapObject *self, PyObject *unused) {
    if (self->state == HW_RECORD_HEAP_CLOSED) Py_RETURN_NONE;
    if (hw_record_heap_enter(self) < 0) return NULL;
    if (self->exports != 0)
        return hw_raise("ViewExported", "{s:i,s:K,s:n,s:s}", "address", 0, "size_bytes", (unsigned long long)self->collector.heap.used_bytes,
                        "exports", self->exports, "what", "close the record heap");
    close_heap(self);
    Py_RETURN_NONE;
}

static int heap_traverse(RecordHeapObject *self, visitproc visit, void *arg) {
    for (uint32_t i = 0; self->state != HW_RECORD_HEAP_CLOSED && i < hw_records_of(self)->pools_count; i++) {
        Py_VISIT(self->pools[i].class);
        Py_VISIT(self->pools[i].kind);
        Py_VISIT(self->pools[i].space);
    }
    return 0;
}

static int heap_clear(RecordHeapObject *self) {
    close_heap(self); /* garbage, so no handle is left, and no view: each holds a reference that the collector does not see */
    return 0;
}

static void heap_dealloc(RecordHeapObject *self) {
    PyObject_GC_UnTrack(self);
    if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self);
    close_heap(self);
    if (self->lock != NULL) PyThread_free_lock(self->lock);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef METHODS[] = {
    {"new", (PyCFunction)(void (*)(void))heap_new_record, METH_FASTCALL | METH_KEYWORDS,
     "new($self, cls, /, **fields)\n--\n\nMake a record and return its handle."},
    {"close", (PyCFunction)heap_close, METH_NOARGS,
     "close($self, /)\n--\n\nGive back all memory now. Handles are released; closing again does nothing.\n\n"
     "Raises\n------\nViewExported\n    A column is in use."},
    {"_add", (PyCFunction)heap_add, METH_VARARGS, "_add($self, class, kind, space, strong, weak, /)\n--\n\nA pool for a class; its number."},
    {"_handle_at", (PyCFunction)heap_handle_at, METH_VARARGS, "_handle_at($self, pool, index, /)\n--\n\nThe handle of a live record."},
    {"_next_live", (PyCFunction)heap_next_live, METH_VARARGS, "_next_live($self, pool, index, /)\n--\n\nThe first live index from there on, or None."},
    {"_live_bits", (PyCFunction)heap_live_bits, METH_O, "_live_bits($self, pool, /)\n--\n\nA bit for each index."},
    {"_make_run", (PyCFunction)hw_record_make_run_method, METH_VARARGS,
     "_make_run($self, class, count, /)\n--\n\nBlank records, and a root of them."},
    {"_fill_references", (PyCFunction)hw_record_fill_references_method, METH_VARARGS,
     "_fill_references($self, pool, first, field, targets, base, limit, /)\n--\n\nA column of references."},
    {"_table", (PyCFunction)hw_record_table_method, METH_VARARGS, "_table($self, pool, writable, /)\n--\n\nAll records of a pool, as bytes."},
    {"collect", (PyCFunction)(void (*)(void))hw_record_collect_method, METH_VARARGS | METH_KEYWORDS, HW_RECORD_COLLECT_DOC},
    {"step", (PyCFunction)(void (*)(void))hw_record_step_method, METH_VARARGS | METH_KEYWORDS, HW_RECORD_STEP_DOC},
    {"compact", (PyCFunction)hw_record_compact_method, METH_NOARGS, HW_RECORD_COMPACT_DOC},
    {"check", (PyCFunction)hw_record_check_method, METH_NOARGS, HW_RECORD_CHECK_DOC},
    {"trim", (PyCFunction)hw_record_trim_method, METH_NOARGS, HW_RECORD_TRIM_DOC},
    {"_why_alive", (PyCFunction)hw_record_why_alive_method, METH_O, "_why_alive($self, record, /)\n--\n\nThe shortest path from a root, or None."},
    {"_dominators", (PyCFunction)hw_record_dominators_method, METH_NOARGS, "_dominators($self, /)\n--\n\nThe dominator tree, in arrays."},
    {"_cycles", (PyCFunction)hw_record_cycles_method, METH_VARARGS, "_cycles($self, most, budget, /)\n--\n\nCycles, and how many there are."},
    {"_references", (PyCFunction)hw_record_references_method, METH_VARARGS,
     "_references($self, pool, index, /)\n--\n\nWhat a record refers to."},
    {"_roots", (PyCFunction)hw_record_roots_method, METH_NOARGS, "_roots($self, /)\n--\n\nHandles and runs."},
    {"_pauses", (PyCFunction)hw_record_pauses_method, METH_NOARGS, "_pauses($self, /)\n--\n\nThe last pauses, the oldest first."},
    {"_counters", (PyCFunction)hw_record_counters_method, METH_NOARGS, "_counters($self, /)\n--\n\nCounts, as a dict."},
    {"_pool_counters", (PyCFunction)hw_record_pool_counters_method, METH_O, "_pool_counters($self, pool, /)\n--\n\nCounts of a pool."},
    {NULL},
};

PyTypeObject HwRecordHeap_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.RecordHeap",
    .tp_doc = "Records that are garbage-collected.",
    .tp_basicsize = sizeof(RecordHeapObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = heap_new,
    .tp_dealloc = (destructor)heap_dealloc,
    .tp_traverse = (traverseproc)heap_traverse,
    .tp_clear = (inquiry)heap_clear,
    .tp_weaklistoffset = offsetof(RecordHeapObject, weak_references),
    .tp_methods = METHODS,
};

int hw_bind_record_heap(PyObject *module) { return PyModule_AddType(module, &HwRecordHeap_Type); }
