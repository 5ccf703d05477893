/* _native.Heap: giving memory back, heap/purge.h behind Python's calling convention.
 *
 * Each slice releases the GIL and makes the heap busy, so that between two slices whoever waits for the heap has it. */
#include "binding/heap_types.h"

#include "os/clock.h"

enum { SLICE_US = 300 }; /* and one step more, of about 0.1 ms: well below 1 ms, also on a machine that is busy */
enum { TICK_OPERATIONS = 256, TICK_NS = 200000 }; /* reading the clock costs as much as one operation */

const char HW_HEAP_TRIM_DOC[] =
    "trim($self, /, keep_bytes=0)\n--\n\n"
    "Give the memory under holes back to the operating system; return the bytes that this call gave back.\n\n"
    "Every whole page that lies in a hole goes, also where a live block keeps the rest of a huge page; but the first\n"
    "`keep_bytes`, by address, stay. It is done in slices of 0.3 ms; between two of them other threads may\n"
    "use the heap. What they free behind the place reached waits for the next time.\n\n"
    "Raises\n------\nSystemCallFailed\n    The operating system refused; what was given back before is.\n\n"
    "Complexity: O(blocks + pages given back). Releases the GIL.";

const char HW_HEAP_TRIM_STEP_DOC[] =
    "trim_step($self, /, budget_us=300, keep_bytes=0)\n--\n\n"
    "Do one slice of a trim, of about `budget_us` microseconds; return whether there is more to do.\n\n"
    "A slice is at most one system call longer than its budget: about 0.1 ms. After False the next call begins anew,\n"
    "from the start of the heap; `keep_bytes` counts then. A trim begun in steps is ended before another begins.\n\n"
    "Raises\n------\nSystemCallFailed\n    The operating system refused; the next call begins anew.\n\nReleases the GIL.";

const char HW_HEAP_DECAY_TICK_DOC[] =
    "decay_tick($self, /, budget_us=300, now_s=None)\n--\n\n"
    "Do one slice of what decay asks for now; return whether there is more to do.\n\n"
    "A heap with `decay_s` does this by itself while it is used. Call it when the program idles: nothing else happens in\n"
    "a heap that nobody uses. `now_s` is for tests: seconds on a clock that never goes back, instead of\n"
    "time.monotonic(). Without decay it does nothing.\n\n"
    "Raises\n------\nSystemCallFailed\n    The operating system refused.\n\nReleases the GIL.";

/* One slice of the round under way, or else of a new one. Returns what hw_purge_slice does. */
static int slice(HeapObject *self, int64_t budget_ns, size_t keep_bytes, size_t *returned_bytes) {
    PyThreadState *thread = hw_heap_begin_long(self);
    hw_purge_begin(&self->heap, keep_bytes, self->heap.space->page_bytes);
    int result = hw_purge_slice(&self->heap, budget_ns, returned_bytes);
    hw_heap_end_long(self, thread);
    return result;
}

/* Converter for "O&": microseconds. */
static int parse_budget(PyObject *object, void *budget_ns) {
    long long budget_us = PyLong_AsLongLong(object);
    if (budget_us == -1 && PyErr_Occurred()) return 0;
    if (budget_us < 0) return PyErr_Format(PyExc_ValueError, "budget_us is %lld: microseconds are not negative", budget_us), 0;
    *(int64_t *)budget_ns = budget_us > INT64_MAX / 1000 ? INT64_MAX : budget_us * 1000;
    return 1;
}

static int parse_seconds(PyObject *object, int64_t *ns) {
    double seconds = PyFloat_AsDouble(object);
    if (seconds == -1 && PyErr_Occurred()) return -1;
    if (!(seconds >= 0)) return PyErr_Format(PyExc_ValueError, "%R seconds: give 0 or more", object), -1;
    *ns = seconds < 9e9 ? (int64_t)(seconds * 1e9) : INT64_C(9000000000) * 1000000000;
    return 0;
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
    int64_t budget_ns = SLICE_US * INT64_C(1000);
    size_t returned_bytes;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O&O:trim_step", names, parse_budget, &budget_ns, &keep_object)) return NULL;
    if (keep_object != NULL && hw_as_size(keep_object, &keep_bytes) < 0) return NULL;
    int result = slice(self, budget_ns, keep_bytes, &returned_bytes);
    return result > 0 ? raise_refused(result) : PyBool_FromLong(result == HW_PURGE_MORE);
}

PyObject *hw_heap_decay_tick_method(HeapObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"budget_us", "now_s", NULL};
    PyObject *now_object = Py_None;
    int64_t budget_ns = SLICE_US * INT64_C(1000), now_ns = hw_clock_ns();
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O&O:decay_tick", names, parse_budget, &budget_ns, &now_object)) return NULL;
    if (now_object != Py_None && parse_seconds(now_object, &now_ns) < 0) return NULL;
    size_t returned_bytes;
    PyThreadState *thread = hw_heap_begin_long(self);
    int result = hw_decay_tick(&self->heap, now_ns, budget_ns, &returned_bytes);
    hw_heap_end_long(self, thread);
    return result > 0 ? raise_refused(result) : PyBool_FromLong(result == HW_PURGE_MORE);
}

void hw_heap_decay_in_passing(HeapObject *self) {
    self->until_tick = TICK_OPERATIONS;
    if (!hw_decay_is_due(&self->heap.decay, hw_clock_ns())) return;
    PyThreadState *thread = hw_heap_begin_long(self);
    hw_decay_tick_in_passing(&self->heap, TICK_NS); /* an error changes nothing for who allocates; decay_tick would raise it */
    hw_heap_end_long(self, thread);
}

PyObject *hw_heap_get_decay(HeapObject *self, void *unused) {
    if (self->until_tick == 0) Py_RETURN_NONE;
    return PyFloat_FromDouble(self->decay_s);
}

int hw_heap_set_decay(HeapObject *self, PyObject *seconds, void *unused) {
    int64_t window_ns = -1;
    if (seconds == NULL) return PyErr_SetString(PyExc_AttributeError, "decay_s cannot be deleted; None ends decay"), -1;
    if (seconds != Py_None && parse_seconds(seconds, &window_ns) < 0) return -1;
    hw_heap_enter(self);
    hw_decay_set(&self->heap, window_ns, hw_clock_ns());
    self->until_tick = window_ns < 0 ? 0 : TICK_OPERATIONS;
    self->decay_s = (double)window_ns / 1e9;
    return 0;
}
