/* _native.Segment: memory that processes own together (heap/shared_segment.h), and its bytes as a buffer.
 *
 * An exported buffer is an owner, and nothing else is: a handle is a memoryview that somebody keeps, a NumPy array of the
 * data is one more, and the memory goes when the last of either is gone, here and elsewhere. A Segment without exports is
 * what a weak handle is.
 *
 * One lock for all segments guards their structs: what happens in them may wait for other processes, so the GIL is released
 * meanwhile. It is held across fork. The list of segments is guarded by the GIL. */
#include "binding/binding.h"

#include <stddef.h>
#include <unistd.h>

#include "binding/owners.h"
#include "heap/shared_segment.h"
#include "os/lock.h"
#include "os/memory_file.h"

typedef struct SegmentObject {
    PyObject_HEAD
    hw_segment segment;
    bool open; /* there is something to close */
    struct SegmentObject *next, *previous;
} SegmentObject;

static PyTypeObject Segment_Type;
static SegmentObject *segments;
static hw_lock lock;
static _Thread_local bool forking; /* this thread has the lock, from before a fork until after it */
static uint32_t parent;            /* ... and then, who is about to fork */

/* ---------------------------------------------------------------------------------------------- lock, list, errors */

static PyThreadState *enter(void) {
    PyThreadState *thread = PyEval_SaveThread();
    if (!forking) hw_lock_acquire(&lock);
    return thread;
}

static void leave(PyThreadState *thread) {
    if (!forking) hw_lock_release(&lock);
    PyEval_RestoreThread(thread);
}

/* Whether the segment has at least so many owners here and the lock is free, which is held then: so what follows makes no
 * system call, and is not worth releasing the GIL for. */
static bool enter_quickly(const hw_segment *segment, uint32_t owners) {
    if (forking || !hw_lock_try(&lock)) return false;
    if (segment->owners >= owners) return true;
    hw_lock_release(&lock);
    return false;
}

static PyObject *raise_result(const char *call, int result) {
    if (result == HW_SEGMENT_FULL) return hw_raise("TooManyOwners", "{s:i}", "rows", (int)HW_OWNER_ROWS);
    if (result == HW_SEGMENT_STRANGE) return hw_raise("InvalidHandle", "{}");
    if (result == HW_SEGMENT_ENDED) return hw_raise_released("shared memory");
    return hw_raise("SystemCallFailed", "{s:s,s:i}", "call", call, "errno", result);
}

static bool is_ours(const SegmentObject *self) { return self->segment.pid == (uint32_t)getpid(); }

static int require_ours(const SegmentObject *self) {
    if (is_ours(self)) return 0;
    hw_raise("HandleNotYours", "{s:i,s:i}", "pid", (int)getpid(), "owner_pid", (int)self->segment.pid);
    return -1;
}

static SegmentObject *segment_new(void) {
    SegmentObject *self = PyObject_New(SegmentObject, &Segment_Type);
    if (self == NULL) return NULL;
    self->open = false;
    self->previous = NULL;
    self->next = segments;
    if (segments != NULL) segments->previous = self;
    segments = self;
    return self;
}

/* No owner is left here: each holds a reference to this object. */
static void segment_dealloc(SegmentObject *self) {
    *(self->previous == NULL ? &segments : &self->previous->next) = self->next;
    if (self->next != NULL) self->next->previous = self->previous;
    if (self->open) {
        PyThreadState *thread = enter();
        hw_segment_close(&self->segment);
        leave(thread);
    }
    PyObject_Free(self);
}

/* ------------------------------------------------------------------------------------------------------ the buffer */

static int segment_getbuffer(SegmentObject *self, Py_buffer *view, int flags) {
    view->obj = NULL;
    int result;
    if (require_ours(self) < 0) return -1;
    if (enter_quickly(&self->segment, 1)) {
        result = hw_segment_own(&self->segment);
        hw_lock_release(&lock);
    } else {
        PyThreadState *thread = enter();
        result = hw_segment_own(&self->segment);
        leave(thread);
    }
    if (result != 0) return raise_result("joining the owners of shared memory", result), -1;
    /* The address stays good while the export lasts: its reference keeps this object, which keeps the mapping. */
    return PyBuffer_FillInfo(view, (PyObject *)self, hw_segment_data(&self->segment), (Py_ssize_t)self->segment.data_bytes, 0, flags);
}

/* In a child that we did not hear of, nobody counts on what the parent's copy says. */
static void segment_releasebuffer(SegmentObject *self, Py_buffer *view) {
    if (!is_ours(self)) {
        self->segment.owners--;
    } else if (enter_quickly(&self->segment, 2)) {
        hw_segment_disown(&self->segment);
        hw_lock_release(&lock);
    } else {
        PyThreadState *thread = enter();
        hw_segment_disown(&self->segment);
        leave(thread);
    }
}

/* A memoryview, for an owner that is there already; steals the object. */
static PyObject *view_of_owner(SegmentObject *self) {
    PyObject *view = PyMemoryView_FromObject((PyObject *)self); /* one owner more */
    segment_releasebuffer(self, NULL);                          /* the one that was there */
    Py_DECREF(self);
    return view;
}

/* ------------------------------------------------------------------------------------------------------- functions */

static PyObject *segment_create(PyObject *module, PyObject *args) {
    const char *about;
    Py_ssize_t about_bytes, data_bytes;
    if (!PyArg_ParseTuple(args, "y#n:segment_create", &about, &about_bytes, &data_bytes)) return NULL;
    if (data_bytes < 0) return PyErr_Format(PyExc_ValueError, "data_bytes is %zd; it cannot be negative", data_bytes);
    SegmentObject *self = segment_new();
    if (self == NULL) return NULL;
    PyThreadState *thread = enter();
    int result = hw_segment_create(&self->segment, (uint64_t)about_bytes, (uint64_t)data_bytes, (uint32_t)getpid());
    leave(thread);
    self->open = result == 0;
    if (self->open) {
        memcpy(hw_segment_about(&self->segment), about, (size_t)about_bytes);
        return view_of_owner(self);
    }
    Py_DECREF(self);
    return raise_result("making shared memory", result);
}

/* The one of the same memory that this process has; a new reference, or NULL. */
static SegmentObject *segment_of(uint64_t identity) {
    SegmentObject *self = segments;
    while (self != NULL && !(self->open && self->segment.identity == identity && is_ours(self))) self = self->next;
    return (SegmentObject *)Py_XNewRef((PyObject *)self);
}

static PyObject *segment_adopt(PyObject *module, PyObject *args) {
    int file;
    unsigned int row;
    uint64_t identity;
    if (!PyArg_ParseTuple(args, "iI:segment_adopt", &file, &row)) return NULL;
    int result = hw_memory_file_identity(file, &identity);
    if (result != 0) return raise_result("looking at shared memory", result);
    SegmentObject *self = segment_of(identity);
    bool known = self != NULL;
    if (!known && (self = segment_new()) == NULL) return NULL;
    PyThreadState *thread = enter();
    result = known ? hw_segment_adopt_again(&self->segment, file, row)
                   : hw_segment_adopt(&self->segment, file, row, (uint32_t)getpid());
    leave(thread);
    self->open = known || result == 0;
    if (result == 0) return view_of_owner(self);
    Py_DECREF(self);
    return raise_result("mapping shared memory", result);
}

static PyObject *segment_before_fork(PyObject *module, PyObject *unused) {
    PyThreadState *thread = enter();
    forking = true;
    parent = (uint32_t)getpid();
    PyEval_RestoreThread(thread);
    /* With the GIL, since the list must not change. Another process has the lock of a table for a few microseconds. A row that
     * cannot be made is told in the child. */
    for (SegmentObject *each = segments; each != NULL; each = each->next)
        if (each->open && is_ours(each)) hw_segment_prepare_child(&each->segment);
    Py_RETURN_NONE;
}

static PyObject *segment_after_fork(PyObject *module, PyObject *child) {
    int in_child = PyObject_IsTrue(child);
    if (in_child < 0) return NULL;
    for (SegmentObject *each = segments; each != NULL; each = each->next) {
        if (!each->open) continue;
        if (!in_child) hw_segment_forget_child(&each->segment);
        else if (each->segment.pid == parent) hw_segment_become_child(&each->segment, (uint32_t)getpid());
    }
    forking = false;
    hw_lock_release(&lock);
    Py_RETURN_NONE;
}

/* --------------------------------------------------------------------------------------------------------- methods */

static PyObject *segment_own(SegmentObject *self, PyObject *unused) {
    if (require_ours(self) < 0) return NULL;
    PyThreadState *thread = enter();
    int result = hw_segment_own(&self->segment);
    leave(thread);
    if (result == HW_SEGMENT_ENDED) Py_RETURN_NONE;
    if (result != 0) return raise_result("joining the owners of shared memory", result);
    return view_of_owner((SegmentObject *)Py_NewRef((PyObject *)self));
}

static PyObject *segment_dispatch(SegmentObject *self, PyObject *unused) {
    int file, result = HW_SEGMENT_ENDED;
    uint32_t row;
    if (require_ours(self) < 0) return NULL;
    PyThreadState *thread = enter();
    if (self->segment.owners != 0) result = hw_segment_dispatch(&self->segment, &file, &row);
    leave(thread);
    return result == 0 ? Py_BuildValue("iI", file, row) : raise_result("sending shared memory", result);
}

static PyObject *segment_owners(SegmentObject *self, PyObject *unused) {
    if (require_ours(self) < 0) return NULL;
    PyThreadState *thread = enter();
    int result = hw_segment_review(&self->segment);
    leave(thread);
    if (result != 0 && result != HW_SEGMENT_ENDED) return raise_result("counting the owners of shared memory", result);
    PyObject *list = PyList_New(0);
    const hw_owner_table *table = self->segment.table; /* mapped as long as this object is there */
    for (uint32_t row = 0; list != NULL && row < HW_OWNER_ROWS; row++) {
        uint32_t owners = hw_owner_count(table, row);
        if (owners == 0) continue;
        PyObject *pair = Py_BuildValue("II", HW_LOAD(&table->row[row].pid, memory_order_relaxed), owners);
        if (pair == NULL || PyList_Append(list, pair) < 0) Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

static PyObject *get_about(SegmentObject *self, void *unused) {
    return PyBytes_FromStringAndSize(hw_segment_about(&self->segment), (Py_ssize_t)self->segment.about_bytes);
}

static PyMethodDef segment_methods[] = {
    {"own", (PyCFunction)segment_own, METH_NOARGS,
     "own($self, /)\n--\n\nA memoryview of the data, which is one owner more; None if there is no owner left, and for ever."},
    {"dispatch", (PyCFunction)segment_dispatch, METH_NOARGS,
     "dispatch($self, /)\n--\n\n(descriptor, row): an owner for whoever gets that descriptor; closing it takes the owner back."},
    {"owners", (PyCFunction)segment_owners, METH_NOARGS,
     "owners($self, /)\n--\n\n[(pid, owners)] of every process that has some; pid 0: a message."},
    {NULL},
};

static PyGetSetDef segment_getset[] = {
    {"about", (getter)get_about, NULL, "What the data are, as it was said when they were made.", NULL},
    {NULL},
};

static PyBufferProcs segment_as_buffer = {(getbufferproc)segment_getbuffer, (releasebufferproc)segment_releasebuffer};

static PyTypeObject Segment_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.Segment",
    .tp_doc = "Memory that several processes own.",
    .tp_basicsize = sizeof(SegmentObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)segment_dealloc,
    .tp_methods = segment_methods,
    .tp_getset = segment_getset,
    .tp_as_buffer = &segment_as_buffer,
};

static PyMethodDef FUNCTIONS[] = {
    {"segment_create", segment_create, METH_VARARGS,
     "segment_create($module, about, data_bytes, /)\n--\n\nA memoryview of new shared memory, its first owner; .obj is the Segment."},
    {"segment_adopt", segment_adopt, METH_VARARGS,
     "segment_adopt($module, descriptor, row, /)\n--\n\nA memoryview for the owner that dispatch() made elsewhere. The caller closes the descriptor."},
    {"segment_before_fork", segment_before_fork, METH_NOARGS,
     "segment_before_fork($module, /)\n--\n\nMake a row for the child in every segment, and let no owner come or go."},
    {"segment_after_fork", segment_after_fork, METH_O,
     "segment_after_fork($module, child, /)\n--\n\nIn the child: take those rows. In the parent: give them up."},
    {NULL},
};

int hw_bind_segment(PyObject *module) {
    if (PyModule_AddFunctions(module, FUNCTIONS) < 0) return -1;
    return PyModule_AddType(module, &Segment_Type);
}
