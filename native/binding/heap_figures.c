/* _native.Heap: the methods that look at a whole heap. All but walk release the GIL: what they do grows with the heap. */
#include "binding/heap_types.h"

PyObject *hw_heap_check_method(HeapObject *self, PyObject *unused) {
    uint64_t where;
    PyThreadState *thread = hw_heap_begin_long(self);
    const char *broken = hw_heap_check(&self->heap, &where);
    hw_heap_end_long(self, thread);
    if (broken != NULL)
        return hw_raise("CorruptedHeap", "{s:s,s:K}", "invariant", broken, "offset_bytes", (unsigned long long)where);
    Py_RETURN_NONE;
}

PyObject *hw_heap_counters_method(HeapObject *self, PyObject *unused) {
    size_t resident_bytes = 0;
    PyThreadState *thread = hw_heap_begin_long(self);
    int error = hw_space_resident(self->heap.space, &resident_bytes);
    uint64_t largest = hw_strategy_largest_hole(self->heap.control);
    hw_strategy_totals t = hw_heap_totals(&self->heap);
    hw_space space = *self->heap.space;
    size_t purged_bytes = self->heap.purge.total_bytes;
    hw_heap_end_long(self, thread);
    if (error != 0) return hw_raise("SystemCallFailed", "{s:s,s:i}", "call", "asking for resident pages", "errno", error);
    struct {
        const char *name;
        uint64_t value;
    } const counters[] = {
        {"requested_bytes", t.requested},
        {"allocated_bytes", t.allocated},
        {"committed_bytes", space.committed_bytes},
        {"reserved_bytes", space.size_bytes},
        {"resident_bytes", resident_bytes},
        {"peak_requested_bytes", t.peak_requested},
        {"peak_allocated_bytes", t.peak_allocated},
        {"peak_committed_bytes", space.peak_committed_bytes},
        {"total_requested_bytes", t.total_requested},
        {"total_allocated_bytes", t.total_allocated},
        {"total_committed_bytes", space.total_committed_bytes},
        {"total_purged_bytes", purged_bytes},
        {"free_bytes", t.free},
        {"largest_free_bytes", largest},
        {"control_bytes", self->heap.control_bytes},
        {"block_count", t.blocks},
        {"free_count", t.holes},
        {"peak_block_count", t.peak_blocks},
        {"total_block_count", t.total_blocks},
        {"failed_count", self->heap.failed_blocks},
    };
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict != NULL && i < sizeof counters / sizeof counters[0]; i++) {
        PyObject *value = PyLong_FromUnsignedLongLong(counters[i].value);
        if (value == NULL || PyDict_SetItemString(dict, counters[i].name, value) < 0) Py_CLEAR(dict);
        Py_XDECREF(value);
    }
    return dict;
}

PyObject *hw_heap_walk_method(HeapObject *self, PyObject *unused) {
    hw_heap_enter(self);
    /* Copied first: making Python objects can run finalizers, and those can free blocks of this very heap. */
    const void *control = self->heap.control;
    hw_strategy_totals totals = hw_strategy_totals_of(control);
    size_t count = 0, all = totals.blocks + totals.holes;
    hw_strategy_seen *seen = PyMem_New(hw_strategy_seen, all);
    if (seen == NULL) return PyErr_NoMemory();
    for (uint32_t number = hw_strategy_first(control); number != HW_STRATEGY_NONE && count < all; number = seen[count++].next)
        seen[count] = hw_strategy_see(control, number);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *row = Py_BuildValue("(KKKO)", (unsigned long long)seen[i].offset_bytes,
                                      (unsigned long long)seen[i].size_bytes, (unsigned long long)seen[i].requested_bytes,
                                      seen[i].live ? Py_True : Py_False);
        if (row == NULL) Py_CLEAR(list);
        else PyList_SET_ITEM(list, (Py_ssize_t)i, row);
    }
    PyMem_Free(seen);
    return list;
}
