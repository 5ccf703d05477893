/* The collector of a record heap, as its methods: what is due, what is asked for, finalizers, and counts. */
#include "binding/record_types.h"

#include <errno.h>
#include <unistd.h>

#include "heap/fork_gate.h"

/* ---- long operations ------------------------------------------------------------------------------------------------ */

PyThreadState *hw_record_begin_long(RecordHeapObject *heap) {
    heap->state = HW_RECORD_HEAP_BUSY;
    heap->pid = (long)getpid();
    PyThread_acquire_lock(heap->lock, WAIT_LOCK); /* held by nobody, or by one who waited and lets go at once */
    PyThreadState *thread = PyEval_SaveThread();
    hw_fork_gate_enter(); /* after the GIL is free: who forks has it, and waits for all that are through the gate */
    return thread;
}

void hw_record_end_long(RecordHeapObject *heap, PyThreadState *thread) {
    hw_fork_gate_leave();
    PyEval_RestoreThread(thread);
    heap->state = HW_RECORD_HEAP_OPEN;
    PyThread_release_lock(heap->lock);
}

/* ---- finalizers ----------------------------------------------------------------------------------------------------- */

/* Calls __finalize__ of what the last cycles set aside, in the order in which they found it. What one raises is reported and
 * not passed on: whoever happens to make a record has nothing to do with it. */
static int finalize(RecordHeapObject *heap) {
    if (heap->finalizing || atomic_load_explicit(&hw_records_of(heap)->finalizable.count, memory_order_relaxed) == 0) return 0;
    heap->finalizing = true;
    for (uint64_t id; hw_record_heap_enter(heap) == 0 && (id = hw_records_next_finalizable(hw_records_of(heap))) != HW_RECORD_NO_ID;) {
        PyObject *record = hw_record_handle_of(heap, id);
        PyObject *done = record == NULL ? NULL : PyObject_CallMethod(record, "__finalize__", NULL);
        if (done == NULL) PyErr_WriteUnraisable(record);
        Py_XDECREF(done);
        Py_XDECREF(record);
    }
    heap->finalizing = false;
    return PyErr_Occurred() ? -1 : 0; /* one of them closed the heap */
}

/* ---- what is due ---------------------------------------------------------------------------------------------------- */

static void collect(RecordHeapObject *heap, bool minor) {
    PyThreadState *thread = hw_record_begin_long(heap);
    hw_record_collect(&heap->collector, minor);
    hw_record_end_long(heap, thread);
}

int hw_record_heap_pace(RecordHeapObject *heap) {
    if (__builtin_expect(!hw_record_is_due(&heap->collector), 1)) return 0;
    enum hw_collector collector = heap->collector.policy.collector;
    if (collector == HW_COLLECT_SLICES || collector == HW_COLLECT_BESIDE) {
        hw_record_pace(&heap->collector); /* a slice is short: no other thread would get far */
    } else {
        PyThreadState *thread = hw_record_begin_long(heap);
        hw_record_pace(&heap->collector);
        hw_record_end_long(heap, thread);
    }
    return finalize(heap);
}

int hw_record_heap_make_room(RecordHeapObject *heap) {
    collect(heap, false);
    if (finalize(heap) < 0) return -1;
    return hw_record_heap_enter(heap);
}

/* ---- methods -------------------------------------------------------------------------------------------------------- */

const char HW_RECORD_COLLECT_DOC[] =
    "collect($self, /, *, minor=False)\n--\n\n"
    "Free everything that no handle, run or reference leads to. The GIL is free meanwhile.\n\n"
    "Parameters\n----------\nminor\n    With Generational: look at the young records only.\n\n"
    "Returns\n-------\nint\n    How many records were freed.\n\n"
    "Complexity: O(reachable records and their references), and O(all records / 64).";

PyObject *hw_record_collect_method(RecordHeapObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"minor", NULL};
    int minor = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$p:collect", names, &minor) || hw_record_heap_enter(self) < 0) return NULL;
    uint64_t before = self->collector.freed_records;
    collect(self, minor);
    if (finalize(self) < 0) return NULL;
    return PyLong_FromUnsignedLongLong(self->collector.freed_records - before);
}

const char HW_RECORD_STEP_DOC[] =
    "step($self, /, budget_us=500)\n--\n\n"
    "Work on a cycle for about so long; begin one if none is under way.\n\n"
    "Parameters\n----------\nbudget_us\n    Microseconds. A step does one piece of work at least, of some tens of them.\n\n"
    "Returns\n-------\nbool\n    Whether the cycle has ended: what was unreachable when it began is free now.";

PyObject *hw_record_step_method(RecordHeapObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"budget_us", NULL};
    double budget_us = 500;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|d:step", names, &budget_us) || hw_record_heap_enter(self) < 0) return NULL;
    if (!(budget_us >= 0)) return PyErr_Format(PyExc_ValueError, "a budget is 0 us or more"), NULL;
    bool ended = hw_record_step(&self->collector, budget_us > 9e15 ? INT64_MAX : (int64_t)(budget_us * 1000));
    if (finalize(self) < 0) return NULL;
    return PyBool_FromLong(ended);
}

const char HW_RECORD_COMPACT_DOC[] =
    "compact($self, /)\n--\n\n"
    "Move the records of each class together, in the order that they are in, and give back the memory that this frees. Handles, "
    "runs and references go with them; a class of which a column is in use stays as it is. What is unreachable is moved too: "
    "collect() first. The GIL is free meanwhile.\n\n"
    "Returns\n-------\nCompacted\n    Records moved, classes that stayed as they are although they have holes, and bytes given back.\n\n"
    "Raises\n------\nMemoryError\n    There is no memory to work in: half a bit for each record. Nothing has moved.\n\n"
    "Complexity: O(records and their references).";

PyObject *hw_record_compact_method(RecordHeapObject *self, PyObject *unused) {
    hw_record_heap_compacted result;
    if (hw_record_heap_enter(self) < 0) return NULL;
    PyThreadState *thread = hw_record_begin_long(self);
    int error = hw_record_compact(&self->collector, &result);
    hw_record_end_long(self, thread);
    if (error == ENOMEM) return PyErr_NoMemory();
    if (error != 0) return hw_raise("SystemCallFailed", "{s:s,s:i}", "call", "giving back memory", "errno", error);
    if (finalize(self) < 0) return NULL;
    PyObject *module = PyImport_ImportModule("heapwright.gc.compacted");
    PyObject *made = module == NULL ? NULL : PyObject_CallMethod(module, "Compacted", "KIn", (unsigned long long)result.moved,
                                                                 (unsigned)result.pinned, (Py_ssize_t)result.returned_bytes);
    Py_XDECREF(module);
    return made;
}

const char HW_RECORD_TRIM_DOC[] =
    "trim($self, /)\n--\n\n"
    "Give memory back to the operating system: what is behind the last record of each class, and holes between texts and "
    "arrays. Holes between records are given back by compact().\n\nReturns\n-------\nint\n    Bytes.";

PyObject *hw_record_trim_method(RecordHeapObject *self, PyObject *unused) {
    size_t returned = 0;
    if (hw_record_heap_enter(self) < 0) return NULL;
    int error = hw_record_heap_trim(&self->collector.heap, &returned);
    if (error != 0) return hw_raise("SystemCallFailed", "{s:s,s:i}", "call", "giving back memory", "errno", error);
    return PyLong_FromSize_t(returned);
}

/* ---- counts --------------------------------------------------------------------------------------------------------- */

static PyObject *pause_buckets(const hw_pauses *pauses) {
    PyObject *buckets = PyTuple_New(HW_PAUSE_BUCKETS);
    for (Py_ssize_t i = 0; buckets != NULL && i < HW_PAUSE_BUCKETS; i++) {
        PyObject *count = PyLong_FromUnsignedLongLong(pauses->buckets[i]);
        if (count == NULL) Py_CLEAR(buckets);
        else PyTuple_SET_ITEM(buckets, i, count);
    }
    return buckets;
}

/* [(kind, began_ns, took_ns, used_bytes)] of the last pauses, the oldest first. */
PyObject *hw_record_pauses_method(RecordHeapObject *self, PyObject *unused) {
    if (hw_record_heap_enter(self) < 0) return NULL;
    const hw_pauses *pauses = &self->collector.pauses;
    uint64_t first = hw_pauses_first(pauses), count = pauses->count - first;
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (uint64_t i = 0; list != NULL && i < count; i++) {
        const hw_pause *pause = &pauses->last[(first + i) % HW_PAUSES_KEPT];
        PyObject *told = Py_BuildValue("(ILKK)", pause->kind, (long long)pause->began_ns, (unsigned long long)pause->took_ns,
                                       (unsigned long long)pause->used_bytes);
        if (told == NULL) Py_CLEAR(list);
        else PyList_SET_ITEM(list, (Py_ssize_t)i, told);
    }
    return list;
}

PyObject *hw_record_counters_method(RecordHeapObject *self, PyObject *unused) {
    if (hw_record_heap_enter(self) < 0) return NULL;
    const hw_record_collector *c = &self->collector;
    const hw_record_heap *heap = &c->heap;
    PyObject *buckets = pause_buckets(&c->pauses);
    if (buckets == NULL) return NULL;
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:I,s:I,s:I,s:i,s:N}",
        "capacity_bytes", (unsigned long long)heap->capacity_bytes, "used_bytes", (unsigned long long)heap->used_bytes,
        "peak_used_bytes", (unsigned long long)heap->peak_bytes, "payload_bytes", (unsigned long long)heap->payload_bytes,
        "made_bytes", (unsigned long long)heap->made_bytes, "base_bytes", (unsigned long long)c->base_bytes,
        "allowance_bytes", (unsigned long long)c->allowance_bytes, "largest_request_bytes", (unsigned long long)heap->largest_request_bytes,
        "whole_cycles", (unsigned long long)c->whole_cycles, "minor_cycles", (unsigned long long)c->minor_cycles,
        "hurried_cycles", (unsigned long long)c->hurried, "compactions", (unsigned long long)c->compactions, "freed_records", (unsigned long long)c->freed_records,
        "pauses", (unsigned long long)c->pauses.count, "pause_total_ns", (unsigned long long)c->pauses.total_ns,
        "pause_longest_ns", (unsigned long long)c->pauses.longest_ns, "barrier_hits", (unsigned long long)heap->records.barrier_hits,
        "handles", heap->records.handles.strong_count, "runs", heap->records.handles.run_count,
        "remembered", (unsigned)atomic_load_explicit(&heap->records.remembered.count, memory_order_relaxed),
        "phase", (int)heap->records.phase, "pause_buckets", buckets);
}

PyObject *hw_record_pool_counters_method(RecordHeapObject *self, PyObject *argument) {
    unsigned long number = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred() || hw_record_heap_enter(self) < 0) return NULL;
    if (number >= hw_records_of(self)->pools_count) return PyErr_Format(PyExc_IndexError, "there is no pool %lu", number);
    const hw_record_store *store = hw_record_store_of(&self->collector.heap, (uint32_t)number);
    const hw_record_pool *pool = &store->pool;
    return Py_BuildValue("{s:O,s:I,s:I,s:I,s:I,s:K,s:K,s:K,s:I}", "class", self->pools[number].class, "stride_bytes", pool->stride_bytes,
                         "live", pool->live, "used", pool->used, "capacity", pool->capacity, "payload_bytes",
                         (unsigned long long)pool->payload_bytes, "total_made", (unsigned long long)pool->total_made, "total_freed",
                         (unsigned long long)pool->total_freed, "pins", store->pins);
}
