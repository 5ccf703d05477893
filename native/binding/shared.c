/* _native.Shared: the handles of a value with several owners. What stands behind them is in share_types.h. */
#include "binding/births.h"
#include "binding/share_types.h"

typedef struct {
    PyObject_HEAD
    ShareObject *share; /* NULL: closed */
} SharedObject;

static PyTypeObject Shared_Type;

PyObject *hw_raise_released(const char *what) {
    return hw_raise("HandleReleased", "{s:s}", "handle", what);
}

/* heapwright.owners.payloads.<name>(value, deleter) -> (value, deleter): what it means to own something is told there. */
static int ask_payloads(const char *name, PyObject **value, PyObject **deleter) {
    PyObject *module = PyImport_ImportModule("heapwright.owners.payloads");
    if (module == NULL) return -1;
    PyObject *pair = PyObject_CallMethod(module, name, "OO", *value, *deleter == NULL ? Py_None : *deleter);
    Py_DECREF(module);
    if (pair == NULL) return -1;
    int ok = PyArg_ParseTuple(pair, "OO", value, deleter);
    if (ok) {
        Py_INCREF(*value);
        *deleter = *deleter == Py_None ? NULL : Py_NewRef(*deleter);
    }
    Py_DECREF(pair);
    return ok ? 0 : -1;
}

#ifdef Py_GIL_DISABLED
enum { HANDLES_KEPT = 0 };
#else
enum { HANDLES_KEPT = 128 }; /* dead handles for reuse, as CPython keeps floats; guarded by the GIL */
#endif
static SharedObject *kept[HANDLES_KEPT + 1];
static int kept_count;

PyObject *hw_handle_of_share(ShareObject *share) {
    SharedObject *self;
    if (share == NULL) return NULL;
    if (kept_count > 0) {
        self = kept[--kept_count];
        PyObject_Init((PyObject *)self, &Shared_Type);
    } else {
        self = PyObject_GC_New(SharedObject, &Shared_Type);
        if (self == NULL) {
            Py_DECREF(share);
            return NULL;
        }
    }
    self->share = share;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

/* A new handle of what heapwright.owners.payloads.<name> makes of a value. Handle and share first: they may fail. */
static PyObject *handle_of_asked(const char *name, PyObject *value, PyObject *deleter) {
    ShareObject *share = hw_share_new();
    PyObject *handle = hw_born(hw_handle_of_share((ShareObject *)Py_XNewRef(share))); /* a node's own birth was told before */
    if (handle == NULL || ask_payloads(name, &value, &deleter) < 0) {
        Py_CLEAR(handle);
    } else if (hw_is_node(value)) {
        Py_SETREF(handle, hw_handle_of_node(value));
        Py_DECREF(value);
        Py_XDECREF(deleter);
    } else {
        share->value = value;
        share->deleter = deleter;
    }
    Py_XDECREF(share);
    return handle;
}

PyObject *hw_handle_of_node(PyObject *node) {
    ShareObject *share = (ShareObject *)hw_node_share(node);
    if (share != NULL) return hw_handle_of_share((ShareObject *)Py_NewRef(share));
    share = hw_share_new();
    if (share == NULL) return NULL;
    share->value = Py_NewRef(node);
    ShareObject *other = (ShareObject *)Py_XNewRef(hw_node_share(node)); /* the collector may have run, and finalizers */
    if (other == NULL && hw_node_hold(node, (PyObject *)share) == 0) return hw_handle_of_share(share);
    hw_share_take(share); /* it holds no count to give back */
    Py_DECREF(share);
    return hw_handle_of_share(other);
}

/* Handles, and references between nodes. */
static Py_ssize_t owners(const ShareObject *share) {
    return Py_REFCNT(share) + (share->value != NULL && hw_is_node(share->value) ? hw_node_references(share->value) : 0);
}

static void shared_dealloc(SharedObject *self) {
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->share);
    if (kept_count < HANDLES_KEPT) kept[kept_count++] = self;
    else PyObject_GC_Del(self);
}

static int shared_traverse(SharedObject *self, visitproc visit, void *arg) {
    Py_VISIT(self->share);
    return 0;
}

static int shared_clear(SharedObject *self) {
    Py_CLEAR(self->share);
    return 0;
}

static PyObject *shared_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"value", "deleter", NULL};
    PyObject *value, *deleter = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:Shared", names, &value, &deleter)) return NULL;
    if (hw_is_node(value) && (deleter == NULL || deleter == Py_None)) return hw_handle_of_node(value);
    if (hw_is_node(value)) return PyErr_SetString(PyExc_TypeError, "a node has no deleter: others may own it, not only handles"), NULL;
    return handle_of_asked("adopt", value, deleter);
}

/* The share of a handle that is in use, borrowed. */
static ShareObject *require_share(SharedObject *self) {
    if (__builtin_expect(self->share == NULL, 0)) return (ShareObject *)hw_raise_released("shared handle");
    return self->share;
}

static PyObject *shared_value(SharedObject *self, void *unused) {
    ShareObject *share = require_share(self);
    if (share == NULL) return NULL;
    if (share->disposed || share->value == NULL) return hw_raise_released("value");
    return Py_NewRef(share->value);
}

static PyObject *shared_clone(SharedObject *self, PyObject *unused) {
    ShareObject *share = require_share(self);
    return share == NULL ? NULL : hw_handle_of_share((ShareObject *)Py_NewRef(share));
}

/* Unlike the handle's own end, it can say what went wrong in the deleter. */
static PyObject *shared_close(SharedObject *self, PyObject *unused) {
    ShareObject *share = self->share;
    if (share == NULL) Py_RETURN_NONE;
    self->share = NULL;
    int result = Py_REFCNT(share) == 1 ? hw_share_dispose(share) : 0;
    Py_DECREF(share);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *shared_exit(SharedObject *self, PyObject *const *args, Py_ssize_t n) { return shared_close(self, NULL); }

static PyObject *shared_enter(SharedObject *self, PyObject *unused) { return shared_value(self, NULL); }

static PyObject *shared_closed(SharedObject *self, void *unused) { return PyBool_FromLong(self->share == NULL); }

static PyObject *shared_strong(SharedObject *self, void *unused) {
    ShareObject *share = require_share(self);
    return share == NULL ? NULL : PyLong_FromSsize_t(owners(share));
}

static PyObject *shared_weak(SharedObject *self, void *unused) {
    ShareObject *share = require_share(self);
    if (share == NULL) return NULL;
    _Atomic Py_ssize_t *count = share->value == NULL ? &share->weak_handles : hw_weak_handles_of(share->value, share);
    return PyLong_FromSsize_t(atomic_load_explicit(count, memory_order_relaxed));
}

static PyObject *shared_ptr_eq(SharedObject *self, PyObject *other) {
    if (!Py_IS_TYPE(other, &Shared_Type))
        return PyErr_Format(PyExc_TypeError, "ptr_eq() compares shared handles, not %.100s", Py_TYPE(other)->tp_name);
    ShareObject *mine = require_share(self), *theirs = mine == NULL ? NULL : require_share((SharedObject *)other);
    return theirs == NULL ? NULL : PyBool_FromLong(mine == theirs);
}

/* The value and its deleter as a Unique, this handle closed; None if there are other owners. Weak handles are dead
 * then. */
static PyObject *shared_try_unwrap(SharedObject *self, PyObject *unused) {
    ShareObject *share = require_share(self);
    if (share == NULL) return NULL;
    if (share->disposed || share->value == NULL) return hw_raise_released("value");
    if (hw_is_node(share->value))
        return PyErr_SetString(PyExc_TypeError, "a node cannot leave its graph. Take a copy.copy() of its value"), NULL;
    if (owners(share) != 1) Py_RETURN_NONE;
    hw_share_take(share); /* before Python runs */
    Py_INCREF(share); /* whoever closes this handle meanwhile ends nothing */
    PyObject *module = PyImport_ImportModule("heapwright.owners.unique");
    PyObject *unique = module == NULL ? NULL
                                      : PyObject_CallMethod(module, "of", "OO", share->value,
                                                            share->deleter == NULL ? Py_None : share->deleter);
    Py_XDECREF(module);
    if (unique != NULL) {
        hw_share_clear(share);
        Py_CLEAR(self->share);
    } else {
        hw_share_untake(share);
    }
    Py_DECREF(share);
    return unique;
}

/* A new handle of the value of a share that has one owner; its weak handles lose it. */
static PyObject *handle_of_moved(ShareObject *share) {
    hw_share_take(share); /* before memory is asked for: that may run the collector, and finalizers */
    ShareObject *other = hw_share_new();
    PyObject *handle = hw_handle_of_share((ShareObject *)Py_XNewRef(other));
    if (handle == NULL) {
        hw_share_untake(share);
    } else {
        other->value = share->value;
        other->deleter = share->deleter;
        share->value = share->deleter = NULL;
    }
    Py_XDECREF(other);
    return hw_reborn(handle, (PyObject *)share);
}

/* A handle that is the only one of its value: this one, or else a new one of a copy, and then this one is closed.
 * Handles are never rebound, so the caller goes on with what is returned. */
static PyObject *shared_make_mut(SharedObject *self, PyObject *unused) {
    ShareObject *share = require_share(self);
    if (share == NULL) return NULL;
    if (share->disposed || share->value == NULL) return hw_raise_released("value");
    bool alone = owners(share) == 1;
    if (alone && atomic_load_explicit(hw_weak_handles_of(share->value, share), memory_order_relaxed) == 0) return Py_NewRef(self);
    Py_INCREF(share); /* whoever closes this handle meanwhile ends nothing */
    PyObject *made = alone && !hw_is_node(share->value) ? handle_of_moved(share)
                                                        : handle_of_asked("copy", share->value, share->deleter);
    if (made != NULL) Py_CLEAR(self->share);
    Py_DECREF(share);
    return made;
}

static PyObject *shared_downgrade(SharedObject *self, PyObject *unused) {
    ShareObject *share = require_share(self);
    if (share == NULL) return NULL;
    if (share->value != NULL && hw_is_node(share->value)) return hw_weak_of_node(share->value);
    return hw_weak_new(PyWeakref_NewRef((PyObject *)share, NULL), share);
}

static PyObject *shared_reduce(SharedObject *self, PyObject *unused) {
    PyErr_SetString(PyExc_TypeError, "a shared handle counts owners in this process and cannot be pickled. Send its value, "
                                     "or a handle of its bytes: heapwright.share()");
    return NULL;
}

static PyObject *shared_repr(SharedObject *self) {
    ShareObject *share = self->share;
    if (share == NULL) return PyUnicode_FromString("Shared(closed)");
    if (share->disposed || share->value == NULL) return PyUnicode_FromString("Shared(disposed)");
    Py_ssize_t count = owners(share); /* now: what Py_ReprEnter notes is one reference more */
    int entered = Py_ReprEnter((PyObject *)share);
    if (entered != 0) return entered < 0 ? NULL : PyUnicode_FromString("Shared(...)");
    PyObject *text = PyUnicode_FromFormat("Shared(%R, owners=%zd)", share->value, count);
    Py_ReprLeave((PyObject *)share);
    return text;
}

static PyMethodDef SHARED_METHODS[] = {
    {"clone", (PyCFunction)shared_clone, METH_NOARGS, "clone($self)\n--\n\nOne more owner of the same value."},
    {"close", (PyCFunction)shared_close, METH_NOARGS,
     "close($self)\n--\n\nOne owner less; the last one runs the deleter, whose error is raised here. A closed handle may be closed again."},
    {"downgrade", (PyCFunction)shared_downgrade, METH_NOARGS, "downgrade($self)\n--\n\nA weak handle: it knows the value, and does not own it."},
    {"ptr_eq", (PyCFunction)shared_ptr_eq, METH_O, "ptr_eq($self, other, /)\n--\n\nWhether both own the same value: the same one, not an equal one."},
    {"try_unwrap", (PyCFunction)shared_try_unwrap, METH_NOARGS,
     "try_unwrap($self)\n--\n\nThe value as a Unique, if this is its only owner; else None. This handle is closed then."},
    {"make_mut", (PyCFunction)shared_make_mut, METH_NOARGS,
     "make_mut($self)\n--\n\nA handle whose value nobody else sees: this one if it is the only owner, else one of a copy, and "
     "this one is closed. Weak handles see nothing of it."},
    {"__enter__", (PyCFunction)shared_enter, METH_NOARGS, "__enter__($self)\n--\n\nThe value."},
    {"__exit__", (PyCFunction)(void (*)(void))shared_exit, METH_FASTCALL, "__exit__($self, /, *exception)\n--\n\nclose()."},
    {"__copy__", (PyCFunction)shared_clone, METH_NOARGS, "__copy__($self)\n--\n\nclone()."},
    {"__reduce__", (PyCFunction)shared_reduce, METH_NOARGS, "__reduce__($self)\n--\n\nRefused."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, value_type, /)\n--\n\nShared[T]."},
    {NULL},
};

static PyGetSetDef SHARED_FIELDS[] = {
    {"value", (getter)shared_value, NULL, "What is owned. HandleReleased after close().", NULL},
    {"closed", (getter)shared_closed, NULL, "Whether this handle has given up its part.", NULL},
    {"strong_count", (getter)shared_strong, NULL, "How many own the value: handles, and of a node the references from other nodes too.", NULL},
    {"weak_count", (getter)shared_weak, NULL, "How many weak handles know of it.", NULL},
    {NULL},
};

static PyTypeObject Shared_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.Shared",
    .tp_doc = "Shared(value, deleter=None)\n--\n\nOne of several owners of a value.",
    .tp_basicsize = sizeof(SharedObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = shared_new,
    .tp_dealloc = (destructor)shared_dealloc,
    .tp_traverse = (traverseproc)shared_traverse,
    .tp_clear = (inquiry)shared_clear,
    .tp_repr = (reprfunc)shared_repr,
    .tp_methods = SHARED_METHODS,
    .tp_getset = SHARED_FIELDS,
};

PyObject *hw_node_of_shared(PyObject *handle) {
    if (!Py_IS_TYPE(handle, &Shared_Type)) return NULL;
    ShareObject *share = ((SharedObject *)handle)->share;
    return share != NULL && !share->disposed && share->value != NULL && hw_is_node(share->value) ? share->value : NULL;
}

int hw_bind_shared(PyObject *module) { return PyModule_AddType(module, &Shared_Type); }
