/* _native.Heap: giving memory back, heap/purge.h behind Python's calling convention.
 *
 * Each slice releases the GIL and makes the heap busy, so that between two slices whoever waits for the heap has it. */
#include "binding/heap_types.h"

enum { SLICE_US = 500 }; /* and one step more: with the step's 0.1 ms well below 1 ms */

const char HW_HEAP_TRIM_DOC[] =
    "trim($self, /, keep_bytes=0)\n--\n\n"
    "Give the memory under holes back to the operating system; return the bytes that this call gave back.\n\n"
    "Every whole page that lies in a hole goes, also where a live block keeps the rest of a huge page; but the first\n"
    "`keep_bytes`, by address, stay. It is done in slices of half a millisecond; between two of them other threads may\n"
    "use the heap. What they free behind the place reached waits for the next time.\n\n"
    "Raises\n------\nSystemCallFailed\n    The operating system refused; what was given back before is.\n\n"
    "Complexity: O(blocks + pages given back). Releases the GIL.";

const char HW_HEAP_TRIM_STEP_DOC[] =
    "trim_step($self, /, budget_us=500, keep_bytes=0)\n--\n\n"
    "Do one slice of a trim, of about `budget_us` microseconds; return whether there is more to do.\n\n"
    "A slice is at most one system call longer than its budget: about 0.1 ms. After False the next call begins anew,\n"
    "from the start of the heap; `keep_bytes` counts then. A trim begun in steps is ended before another begins.\n\n"
    "Raises\n------\nSystemCallFailed\n    The operating system refused; the next call begins anew.\n\nReleases the GIL.";

/* One slice of the round under way, or else of a new one. Returns what hw_purge_slice does. */
static int slice(HeapObject *self, int64_t budget_ns, size_t keep_bytes, size_t *returned_bytes) {
    PyThreadState *thread = hw_heap_begin_long(self);
    hw_purge_begin(&self->heap, keep_bytes, self->heap.space->page_bytes);
    int result = hw_purge_slice(&self->heap, budget_ns, returned_bytes);
    hw_heap_end_long(self, thread);
    return result;
}

static PyObject *raise_refused(int error) {
    return hw_raise("SystemCallFailed", "{s:s,s:i}", "call", "giving pages back", "errno", error);
}

PyObject *hw_heap_trim_method(HeapObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"keep_bytes", NULL};
    PyObject *keep_object = NULL;
    uint64_t keep_bytes = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:trim", names, &keep_object)) return NULL;
    if (keep_object != NULL && hw_as_size(keep_object, &keep_bytes) < 0) return NULL;
    hw_heap_enter(self);
    const hw_purge *purge = &self->heap.purge;
    /* A round under way was begun with another keep_bytes, and some of it lies behind its place: end it, then do our own. */
    uint64_t own = purge->rounds + 1;
    size_t total_bytes = 0, returned_bytes;
    do {
        int result = slice(self, SLICE_US * INT64_C(1000), keep_bytes, &returned_bytes);
        total_bytes += returned_bytes;
        if (result > 0) return raise_refused(result);
        if (PyErr_CheckSignals() < 0) return NULL; /* Ctrl-C; the next trim goes on from here */
        hw_heap_enter(self);
    } while (purge->rounds < own || (purge->rounds == own && purge->under_way));
    return PyLong_FromSize_t(total_bytes);
}

PyObject *hw_heap_trim_step_method(HeapObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"budget_us", "keep_bytes", NULL};
    PyObject *keep_object = NULL;
    uint64_t keep_bytes = 0;
    long long budget_us = SLICE_US;
    size_t returned_bytes;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|LO:trim_step", names, &budget_us, &keep_object)) return NULL;
    if (keep_object != NULL && hw_as_size(keep_object, &keep_bytes) < 0) return NULL;
    if (budget_us < 0) return PyErr_Format(PyExc_ValueError, "budget_us is %lld: microseconds are not negative", budget_us);
    if (budget_us > INT64_MAX / 1000) budget_us = INT64_MAX / 1000;
    int result = slice(self, budget_us * 1000, keep_bytes, &returned_bytes);
    return result > 0 ? raise_refused(result) : PyBool_FromLong(result == HW_PURGE_MORE);
}
