/* _native._Share: what all handles of a value share, and how it ends: see share_types.h. */
#include "binding/share_types.h"

#include <stddef.h>

ShareObject *hw_share_new(void) {
    ShareObject *self = PyObject_GC_New(ShareObject, &HwShare_Type);
    if (self == NULL) return NULL;
    self->value = NULL;
    self->deleter = NULL;
    self->weak_references = NULL;
    atomic_init(&self->weak_handles, 0);
    atomic_flag_clear(&self->disposed_once);
    self->disposed = false;
    PyObject_GC_Track(self);
    return self;
}

int hw_share_dispose(ShareObject *self) {
    if (atomic_flag_test_and_set(&self->disposed_once)) return 0;
    self->disposed = true;
    if (self->value != NULL && hw_is_node(self->value)) hw_node_let_go(self->value);
    if (self->deleter == NULL || self->value == NULL) return 0;
    PyObject *result = PyObject_CallOneArg(self->deleter, self->value);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static void share_finalize(PyObject *object) {
    ShareObject *self = (ShareObject *)object;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    if (hw_share_dispose(self) < 0) PyErr_WriteUnraisable(self->deleter);
    PyErr_Restore(type, value, trace);
}

static int share_traverse(ShareObject *self, visitproc visit, void *arg) {
    Py_VISIT(self->value);
    Py_VISIT(self->deleter);
    return 0;
}

int hw_share_clear(ShareObject *self) {
    Py_CLEAR(self->value);
    Py_CLEAR(self->deleter);
    return 0;
}

void hw_share_take(ShareObject *self) {
    atomic_flag_test_and_set(&self->disposed_once);
    self->disposed = true;
}

void hw_share_untake(ShareObject *self) {
    self->disposed = false;
    atomic_flag_clear(&self->disposed_once);
}

static void share_end(ShareObject *self) {
    share_finalize((PyObject *)self); /* nobody can come by a reference to it any more */
    if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self);
    hw_share_clear(self);
    PyObject_GC_Del(self);
}

/* A value may hold the last handle of another, and so on for millions. Those that end deeper than this wait until the
 * outermost of the thread is done. CPython has such a mechanism, too; from 3.12 on it counts on a stack of megabytes. */
enum { ENDING_MAX = 20 };
static _Thread_local int ending;
static _Thread_local ShareObject *waiting;

static void share_dealloc(ShareObject *self) {
    PyObject_GC_UnTrack(self);
    /* A node knows its share without owning it: it must not hand out one that waits. Runs no Python. */
    if (self->value != NULL && hw_is_node(self->value)) hw_share_dispose(self);
    if (ending == ENDING_MAX) {
        self->next = waiting;
        waiting = self;
        return;
    }
    ending++;
    share_end(self);
    while (ending == 1 && waiting != NULL) {
        self = waiting;
        waiting = self->next;
        share_end(self);
    }
    ending--;
}

static PyObject *share_closed(ShareObject *self, void *unused) { return PyBool_FromLong(self->disposed || self->value == NULL); }

static PyGetSetDef SHARE_FIELDS[] = {
    {"closed", (getter)share_closed, NULL, "Whether its value is gone: its deleter ran, or it was moved out.", NULL},
    {NULL},
};

PyTypeObject HwShare_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native._Share",
    .tp_doc = "What handles share; not to be had from Python.",
    .tp_basicsize = sizeof(ShareObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)share_dealloc,
    .tp_traverse = (traverseproc)share_traverse,
    .tp_clear = (inquiry)hw_share_clear,
    .tp_finalize = share_finalize,
    .tp_getset = SHARE_FIELDS,
    .tp_weaklistoffset = offsetof(ShareObject, weak_references),
};

int hw_bind_share(PyObject *module) { return PyType_Ready(&HwShare_Type); }
