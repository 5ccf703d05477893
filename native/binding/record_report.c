/* What reports ask of a record heap, as methods: why a record is alive, what dominates what, which cycles there are. The heap is busy
 * while the question is worked on, and the GIL free; answers are told in classes, places and names of fields before
 * anybody else gets at the heap. heapwright.gc.reports is what programs use. */
#include "binding/record_types.h"

#include <errno.h>
#include <stdlib.h>

#include "heap/record_picture.h"

/* ---- asking --------------------------------------------------------------------------------------------------------- */

static PyObject *raise_error(int error) {
    if (error == EOVERFLOW) return PyErr_Format(PyExc_OverflowError, "a report is of at most 2**31 records and 2**32 references"), NULL;
    return hw_raise("SystemCallFailed", "{s:s,s:i}", "call", "memory for a report on records", "errno", error);
}

/* Ends the cycle that is under way and takes a picture. In a long operation. 0 or errno. */
static int open_picture(RecordHeapObject *heap, hw_record_picture *picture, enum hw_record_question question) {
    hw_record_finish(&heap->collector);
    return hw_record_picture_open(picture, hw_records_of(heap), question);
}

/* ---- telling -------------------------------------------------------------------------------------------------------- */

/* (class, place, field that leads on, entry of it): None and -1 where there is none. */
static PyObject *tell_step(RecordHeapObject *heap, uint64_t id, const uint64_t *to) {
    const RecordPool *pool = &heap->pools[hw_record_pool_of(id)];
    if (to == NULL) return Py_BuildValue("(OIOi)", pool->class, hw_record_index_of(id), Py_None, -1);
    hw_record_link link = hw_record_link_between(hw_records_of(heap), id, *to);
    const RecordFieldObject *field = (RecordFieldObject *)PyTuple_GET_ITEM(pool->kind->fields, pool->kind->edge_fields[link.edge]);
    long long entry = field->code == 'a' ? (long long)link.entry : -1;
    return Py_BuildValue("(OIOL)", pool->class, hw_record_index_of(id), field->name, entry);
}

/* The steps between `length` records, and back to the first if it goes around. */
static PyObject *tell_path(RecordHeapObject *heap, const hw_record_graph *graph, const uint32_t *path, uint32_t length, bool around) {
    PyObject *steps = PyTuple_New(length);
    for (uint32_t i = 0; steps != NULL && i < length; i++) {
        uint64_t id = hw_record_graph_id(graph, path[i]), to = hw_record_graph_id(graph, path[(i + 1) % length]);
        PyObject *step = tell_step(heap, id, i + 1 == length && !around ? NULL : &to);
        if (step == NULL) Py_CLEAR(steps);
        else PyTuple_SET_ITEM(steps, i, step);
    }
    return steps;
}

/* ---- why alive ------------------------------------------------------------------------------------------------------ */

static const char *kind_of_root(RecordHeapObject *heap, const hw_record_graph *graph, uint32_t node) {
    if (node >= graph->records_count) return "run";
    return hw_record_handles_find(&hw_records_of(heap)->handles, hw_record_graph_id(graph, node)) != HW_HANDLE_NONE ? "handle" : "finalizer";
}

PyObject *hw_record_why_alive_method(RecordHeapObject *self, PyObject *record) {
    hw_record_picture picture;
    const uint32_t *path;
    uint32_t length = 0;
    if (!PyObject_TypeCheck(record, &HwRecord_Type)) return PyErr_Format(PyExc_TypeError, "%R is not a record", record);
    if (hw_record_id_of((RecordObject *)record) == HW_RECORD_NO_ID) return NULL;
    if (((RecordObject *)record)->heap != self) return PyErr_Format(PyExc_ValueError, "%R is in another record heap: ask that one, record.__record_heap__", record);
    PyThreadState *thread = hw_record_begin_long(self);
    int error = open_picture(self, &picture, HW_ASK_PATH);
    if (error == 0) { /* the end of a cycle may have compacted: where the record is, is known only now */
        uint64_t id = hw_record_handle_entry_of(&hw_records_of(self)->handles, ((RecordObject *)record)->handle)->id;
        length = hw_record_picture_path(&picture, id, &path);
    }
    hw_record_end_long(self, thread);
    if (error != 0) return raise_error(error);
    PyObject *told = length == 0 ? Py_NewRef(Py_None) : NULL;
    if (length != 0) {
        int collects = PyGC_Disable(); /* a finalizer that it runs could change what is looked at */
        const char *kind = kind_of_root(self, &picture.graph, path[0]);
        uint32_t from = path[0] >= picture.graph.records_count; /* a run is told by its first step */
        told = Py_BuildValue("(sN)", kind, tell_path(self, &picture.graph, path + from, length - from, false));
        if (collects) PyGC_Enable();
    }
    hw_record_picture_close(&picture);
    return told;
}

/* ---- dominators ----------------------------------------------------------------------------------------------------- */

static PyObject *tell_entries(const void *entries, size_t count, size_t size) {
    return PyBytes_FromStringAndSize(entries, (Py_ssize_t)(count * size));
}

/* [(class, first place, records)] of the runs, in the order of their nodes. */
static PyObject *tell_runs(RecordHeapObject *heap) {
    const hw_record_handles *handles = &hw_records_of(heap)->handles;
    PyObject *runs = PyList_New(0);
    for (uint32_t slot = 0; runs != NULL && slot < handles->used; slot++) {
        const hw_record_handle_entry *entry = &handles->entries[slot];
        if (entry->kind != HW_HANDLE_RUN) continue;
        PyObject *run = Py_BuildValue("(OIK)", heap->pools[hw_record_pool_of(entry->id)].class, hw_record_index_of(entry->id),
                                      (unsigned long long)entry->owner);
        if (run == NULL || PyList_Append(runs, run) < 0) Py_CLEAR(runs);
        Py_XDECREF(run);
    }
    return runs;
}

/* [(class, its first number, bytes that its records retain)] in the order of numbers. */
static PyObject *tell_classes(RecordHeapObject *heap, const hw_record_graph *graph, const hw_record_dominators *d) {
    PyObject *classes = PyList_New(hw_records_of(heap)->pools_count);
    for (uint32_t p = 0; classes != NULL && p < hw_records_of(heap)->pools_count; p++) {
        PyObject *class = Py_BuildValue("(OIK)", heap->pools[p].class, graph->start[p], (unsigned long long)d->by_pool[p]);
        if (class == NULL) Py_CLEAR(classes);
        else PyList_SET_ITEM(classes, p, class);
    }
    return classes;
}

PyObject *hw_record_dominators_method(RecordHeapObject *self, PyObject *unused) {
    hw_record_picture picture;
    hw_record_dominators d;
    if (hw_record_heap_enter(self) < 0) return NULL;
    PyThreadState *thread = hw_record_begin_long(self);
    int error = open_picture(self, &picture, HW_ASK_DOMINATORS);
    if (error == 0) hw_record_picture_dominators(&picture, &d);
    hw_record_end_long(self, thread);
    if (error != 0) return raise_error(error);
    int collects = PyGC_Disable();
    PyObject *told = Py_BuildValue(
        "{s:N,s:N,s:N,s:N,s:N,s:N}", "classes", tell_classes(self, &picture.graph, &d), "runs", tell_runs(self), "places",
        tell_entries(picture.graph.index, picture.graph.records_count, sizeof(uint32_t)), "order", tell_entries(d.order, d.reached, sizeof(uint32_t)),
        "above", tell_entries(d.above, d.reached, sizeof(uint32_t)), "retained_bytes", tell_entries(d.retained_bytes, d.reached, sizeof(uint64_t)));
    if (collects) PyGC_Enable();
    hw_record_picture_close(&picture);
    return told;
}

/* ---- cycles --------------------------------------------------------------------------------------------------------- */

static PyObject *tell_cycles(RecordHeapObject *heap, const hw_record_graph *graph, const hw_record_cycle *cycles, uint32_t count) {
    PyObject *list = PyList_New(count);
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        const hw_record_cycle *c = &cycles[i];
        PyObject *cycle = Py_BuildValue("(NIKOO)", tell_path(heap, graph, c->path, c->length, true), c->size, (unsigned long long)c->outside,
                                        c->reachable ? Py_True : Py_False, c->exact ? Py_True : Py_False);
        if (cycle == NULL) Py_CLEAR(list);
        else PyList_SET_ITEM(list, i, cycle);
    }
    return list;
}

PyObject *hw_record_cycles_method(RecordHeapObject *self, PyObject *args) {
    hw_record_picture picture;
    hw_record_cycles told = {0};
    unsigned int most;
    unsigned long long budget;
    if (!PyArg_ParseTuple(args, "IK:_cycles", &most, &budget) || hw_record_heap_enter(self) < 0) return NULL;
    hw_record_cycle *cycles = calloc((size_t)most + 1, sizeof *cycles);
    if (cycles == NULL) return PyErr_NoMemory();
    PyThreadState *thread = hw_record_begin_long(self);
    int error = open_picture(self, &picture, HW_ASK_CYCLES);
    if (error == 0) told = hw_record_picture_cycles(&picture, budget, most, cycles);
    hw_record_end_long(self, thread);
    if (error != 0) {
        free(cycles);
        return raise_error(error);
    }
    int collects = PyGC_Disable();
    PyObject *answer = Py_BuildValue("(NIIII)", tell_cycles(self, &picture.graph, cycles, told.found), told.count, told.records,
                                     told.dead_count, told.dead_records);
    if (collects) PyGC_Enable();
    hw_record_picture_close(&picture);
    free(cycles);
    return answer;
}

/* ---- one step at a time --------------------------------------------------------------------------------------------- */

typedef struct {
    RecordHeapObject *heap;
    uint64_t id;
    PyObject *list; /* NULL: an error is set */
} references;

static void tell_reference(void *context, uint16_t edge, uint32_t entry, uint64_t target) {
    references *r = context;
    const RecordKindObject *kind = r->heap->pools[hw_record_pool_of(r->id)].kind;
    const RecordFieldObject *field = (RecordFieldObject *)PyTuple_GET_ITEM(kind->fields, kind->edge_fields[edge]);
    if (r->list == NULL) return;
    PyObject *one = Py_BuildValue("(OLII)", field->name, field->code == 'a' ? (long long)entry : -1LL, hw_record_pool_of(target),
                                  hw_record_index_of(target));
    if (one == NULL || PyList_Append(r->list, one) < 0) Py_CLEAR(r->list);
    Py_XDECREF(one);
}

/* [(field, entry, pool, place)] of what a record refers to. */
PyObject *hw_record_references_method(RecordHeapObject *self, PyObject *args) {
    uint32_t number, index;
    if (!PyArg_ParseTuple(args, "II:_references", &number, &index) || hw_record_heap_enter(self) < 0) return NULL;
    references r = {self, hw_record_id(number, index), NULL};
    if (number >= hw_records_of(self)->pools_count || !hw_record_is_live(hw_records_of(self), r.id))
        return PyErr_Format(PyExc_IndexError, "there is no record at %u in pool %u", index, number);
    r.list = PyList_New(0);
    hw_record_each_edge(hw_records_of(self), r.id, tell_reference, &r);
    return r.list;
}

/* [(pool, place, how many)] of handles (1) and runs. */
PyObject *hw_record_roots_method(RecordHeapObject *self, PyObject *unused) {
    if (hw_record_heap_enter(self) < 0) return NULL;
    const hw_record_handles *handles = &hw_records_of(self)->handles;
    PyObject *roots = PyList_New(0);
    for (uint32_t slot = 0; roots != NULL && slot < handles->used; slot++) {
        const hw_record_handle_entry entry = handles->entries[slot];
        if (hw_record_handle_roots(&entry) == 0) continue;
        PyObject *root = Py_BuildValue("(sIIK)", entry.kind == HW_HANDLE_RUN ? "run" : "handle", hw_record_pool_of(entry.id),
                                       hw_record_index_of(entry.id), (unsigned long long)hw_record_handle_roots(&entry));
        if (root == NULL || PyList_Append(roots, root) < 0) Py_CLEAR(roots);
        Py_XDECREF(root);
    }
    return roots;
}
