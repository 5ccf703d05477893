/* _native.Shared and _native.Weak: a value with several owners, which lives as long as one of them.
 *
 * Every handle holds one Python reference to a hidden object, the share, and nothing else does; the share alone holds
 * the value. Three things follow, none of which needs code here:
 *   - the number of owners is the share's reference count, as atomic as CPython's own, with the GIL or without
 *   - CPython's collector sees handle -> share -> value exactly, so a cycle that leads through lists and closures back to
 *     a handle is found and collected
 *   - a weak handle is a weak reference to the share. It could not be a plain one: the collector would take it for an owner
 *
 * A node of the graph (node.c) may have owners that are no handles: references from other nodes. All its handles
 * together are one owner in the graph's eyes: the share holds that count, and gives it back instead of running a
 * deleter.
 *
 * The deleter runs once: when the last handle goes, or when the collector finds the share in a garbage cycle. From that
 * moment `disposed` is set, and no weak handle gives a handle any more, whatever the deleter does. */
#include "binding/births.h"
#include "binding/owners.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct ShareObject {
    PyObject_HEAD
    PyObject *value;   /* NULL: not there yet, or moved out */
    PyObject *deleter; /* NULL: dropping the value is all */
    PyObject *weak_references;
    _Atomic Py_ssize_t weak_handles;
    struct ShareObject *next; /* of those that wait for their end */
    atomic_flag disposed_once;
    bool disposed;
} ShareObject;

typedef struct {
    PyObject_HEAD
    ShareObject *share; /* NULL: closed */
} SharedObject;

typedef struct {
    PyObject_HEAD
    PyObject *reference; /* weak, to the share; or strong, to a node, which says itself whether it is alive; NULL: closed */
} WeakObject;

static PyTypeObject Share_Type, Shared_Type, Weak_Type;

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

/* ---------------------------------------------------------------------------------------------------------- the share */

/* Of nothing yet. What is put into it later needs no memory for that, so no value is lost with its deleter not run. */
static ShareObject *share_new(void) {
    ShareObject *self = PyObject_GC_New(ShareObject, &Share_Type);
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

/* 0, or -1 with what the deleter raised. */
static int share_dispose(ShareObject *self) {
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
    if (share_dispose(self) < 0) PyErr_WriteUnraisable(self->deleter);
    PyErr_Restore(type, value, trace);
}

static int share_traverse(ShareObject *self, visitproc visit, void *arg) {
    Py_VISIT(self->value);
    Py_VISIT(self->deleter);
    return 0;
}

static int share_clear(ShareObject *self) {
    Py_CLEAR(self->value);
    Py_CLEAR(self->deleter);
    return 0;
}

/* Its value is about to be another's: from here on no other thread takes it, and no weak handle gives a handle. */
static void share_take(ShareObject *self) {
    atomic_flag_test_and_set(&self->disposed_once);
    self->disposed = true;
}

/* Nothing came of it: as before. */
static void share_untake(ShareObject *self) {
    self->disposed = false;
    atomic_flag_clear(&self->disposed_once);
}

static void share_end(ShareObject *self) {
    share_finalize((PyObject *)self); /* nobody can come by a reference to it any more */
    if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self);
    share_clear(self);
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
    if (self->value != NULL && hw_is_node(self->value)) share_dispose(self);
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

static PyTypeObject Share_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native._Share",
    .tp_doc = "What handles share; not to be had from Python.",
    .tp_basicsize = sizeof(ShareObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)share_dealloc,
    .tp_traverse = (traverseproc)share_traverse,
    .tp_clear = (inquiry)share_clear,
    .tp_finalize = share_finalize,
    .tp_getset = SHARE_FIELDS,
    .tp_weaklistoffset = offsetof(ShareObject, weak_references),
};

/* --------------------------------------------------------------------------------------------------------- the handles */

#ifdef Py_GIL_DISABLED
enum { HANDLES_KEPT = 0 };
#else
enum { HANDLES_KEPT = 128 }; /* dead handles for reuse, as CPython keeps floats; guarded by the GIL */
#endif
static SharedObject *kept[HANDLES_KEPT + 1];
static int kept_count;

/* Steals the reference; NULL passes through. */
static PyObject *handle_new(ShareObject *share) {
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
    ShareObject *share = share_new();
    PyObject *handle = hw_born(handle_new((ShareObject *)Py_XNewRef(share))); /* a node's own birth was told before */
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
    if (share != NULL) return handle_new((ShareObject *)Py_NewRef(share));
    share = share_new();
    if (share == NULL) return NULL;
    share->value = Py_NewRef(node);
    ShareObject *other = (ShareObject *)Py_XNewRef(hw_node_share(node)); /* the collector may have run, and finalizers */
    if (other == NULL && hw_node_hold(node, (PyObject *)share) == 0) return handle_new(share);
    share_take(share); /* it holds no count to give back */
    Py_DECREF(share);
    return handle_new(other);
}

/* Handles, and references between nodes. */
static Py_ssize_t owners(const ShareObject *share) {
    return Py_REFCNT(share) + (share->value != NULL && hw_is_node(share->value) ? hw_node_references(share->value) : 0);
}

/* Where the weak handles of what `reference` is about are counted, or NULL when that is gone. */
static _Atomic Py_ssize_t *weak_handles_of(PyObject *reference, ShareObject *share) {
    if (hw_is_node(reference)) return hw_node_weak_handles(reference);
    return share == NULL ? NULL : &share->weak_handles;
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
    return share == NULL ? NULL : handle_new((ShareObject *)Py_NewRef(share));
}

/* Unlike the handle's own end, it can say what went wrong in the deleter. */
static PyObject *shared_close(SharedObject *self, PyObject *unused) {
    ShareObject *share = self->share;
    if (share == NULL) Py_RETURN_NONE;
    self->share = NULL;
    int result = Py_REFCNT(share) == 1 ? share_dispose(share) : 0;
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
    _Atomic Py_ssize_t *count = share->value == NULL ? &share->weak_handles : weak_handles_of(share->value, share);
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
    share_take(share); /* before Python runs */
    Py_INCREF(share); /* whoever closes this handle meanwhile ends nothing */
    PyObject *module = PyImport_ImportModule("heapwright.owners.unique");
    PyObject *unique = module == NULL ? NULL
                                      : PyObject_CallMethod(module, "of", "OO", share->value,
                                                            share->deleter == NULL ? Py_None : share->deleter);
    Py_XDECREF(module);
    if (unique != NULL) {
        share_clear(share);
        Py_CLEAR(self->share);
    } else {
        share_untake(share);
    }
    Py_DECREF(share);
    return unique;
}

/* A new handle of the value of a share that has one owner; its weak handles lose it. */
static PyObject *handle_of_moved(ShareObject *share) {
    share_take(share); /* before memory is asked for: that may run the collector, and finalizers */
    ShareObject *other = share_new();
    PyObject *handle = handle_new((ShareObject *)Py_XNewRef(other));
    if (handle == NULL) {
        share_untake(share);
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
    if (alone && atomic_load_explicit(weak_handles_of(share->value, share), memory_order_relaxed) == 0) return Py_NewRef(self);
    Py_INCREF(share); /* whoever closes this handle meanwhile ends nothing */
    PyObject *made = alone && !hw_is_node(share->value) ? handle_of_moved(share)
                                                        : handle_of_asked("copy", share->value, share->deleter);
    if (made != NULL) Py_CLEAR(self->share);
    Py_DECREF(share);
    return made;
}

/* Steals the reference; NULL passes through. */
static PyObject *weak_new(PyObject *reference, ShareObject *share) {
    WeakObject *weak = reference == NULL ? NULL : PyObject_New(WeakObject, &Weak_Type);
    if (weak == NULL) {
        Py_XDECREF(reference);
        return NULL;
    }
    weak->reference = reference;
    _Atomic Py_ssize_t *count = weak_handles_of(reference, share);
    if (count != NULL) atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    return (PyObject *)weak;
}

PyObject *hw_weak_of_node(PyObject *node) { return weak_new(Py_NewRef(node), (ShareObject *)hw_node_share(node)); }

static PyObject *shared_downgrade(SharedObject *self, PyObject *unused) {
    ShareObject *share = require_share(self);
    if (share == NULL) return NULL;
    if (share->value != NULL && hw_is_node(share->value)) return hw_weak_of_node(share->value);
    return weak_new(PyWeakref_NewRef((PyObject *)share, NULL), share);
}

static PyObject *shared_reduce(SharedObject *self, PyObject *unused) {
    PyErr_SetString(PyExc_TypeError, "a shared handle counts owners in this process and cannot be pickled. Send its value, "
                                     "or put the bytes into shared memory");
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

/* ----------------------------------------------------------------------------------------------------- weak handles */

/* A new reference to the share if it still has an owner, else NULL without an error. */
static ShareObject *share_of(WeakObject *self) {
    PyObject *share = NULL;
    if (self->reference == NULL) return NULL;
    if (hw_is_node(self->reference)) return (ShareObject *)Py_XNewRef(hw_node_share(self->reference));
#if PY_VERSION_HEX >= 0x030D0000
    if (PyWeakref_GetRef(self->reference, &share) <= 0) return NULL;
#else
    share = PyWeakref_GetObject(self->reference);
    if (share == Py_None) return NULL;
    Py_INCREF(share);
#endif
    if (!((ShareObject *)share)->disposed) return (ShareObject *)share;
    Py_DECREF(share); /* its deleter is running, or has run: what is dead stays dead */
    return NULL;
}

static void weak_forget(WeakObject *self) {
    if (self->reference == NULL) return;
    ShareObject *share = share_of(self);
    _Atomic Py_ssize_t *count = weak_handles_of(self->reference, share);
    if (count != NULL) atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
    Py_XDECREF(share);
    Py_CLEAR(self->reference);
}

static void weak_dealloc(WeakObject *self) {
    weak_forget(self);
    PyObject_Free(self);
}

static PyObject *weak_upgrade(WeakObject *self, PyObject *unused) {
    if (self->reference == NULL) return hw_raise_released("weak handle");
    if (hw_is_node(self->reference))
        return hw_node_is_alive(self->reference) ? hw_handle_of_node(self->reference) : Py_NewRef(Py_None);
    ShareObject *share = share_of(self);
    return share == NULL ? Py_NewRef(Py_None) : handle_new(share);
}

static PyObject *weak_clone(WeakObject *self, PyObject *unused) {
    if (self->reference == NULL) return hw_raise_released("weak handle");
    ShareObject *share = share_of(self);
    PyObject *clone = weak_new(Py_NewRef(self->reference), share);
    Py_XDECREF(share);
    return clone;
}

static PyObject *weak_close(WeakObject *self, PyObject *unused) {
    weak_forget(self);
    Py_RETURN_NONE;
}

static PyObject *weak_closed(WeakObject *self, void *unused) { return PyBool_FromLong(self->reference == NULL); }

static PyObject *weak_repr(WeakObject *self) {
    ShareObject *share = share_of(self);
    bool alive = share != NULL || (self->reference != NULL && hw_is_node(self->reference) && hw_node_is_alive(self->reference));
    const char *state = self->reference == NULL ? "closed" : alive ? "alive" : "dead";
    Py_XDECREF(share);
    return PyUnicode_FromFormat("Weak(%s)", state);
}

static PyMethodDef WEAK_METHODS[] = {
    {"upgrade", (PyCFunction)weak_upgrade, METH_NOARGS,
     "upgrade($self)\n--\n\nA handle that owns the value, if anybody still does; else None, and None for ever."},
    {"clone", (PyCFunction)weak_clone, METH_NOARGS, "clone($self)\n--\n\nOne more weak handle."},
    {"close", (PyCFunction)weak_close, METH_NOARGS, "close($self)\n--\n\nForget the value."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "__class_getitem__($type, value_type, /)\n--\n\nWeak[T]."},
    {NULL},
};

static PyGetSetDef WEAK_FIELDS[] = {
    {"closed", (getter)weak_closed, NULL, "Whether close() was called.", NULL},
    {NULL},
};

static PyTypeObject Weak_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.Weak",
    .tp_doc = "A handle that knows a shared value without owning it; Shared.downgrade() makes it.",
    .tp_basicsize = sizeof(WeakObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)weak_dealloc,
    .tp_repr = (reprfunc)weak_repr,
    .tp_methods = WEAK_METHODS,
    .tp_getset = WEAK_FIELDS,
};

PyObject *hw_node_of_shared(PyObject *handle) {
    if (!Py_IS_TYPE(handle, &Shared_Type)) return NULL;
    ShareObject *share = ((SharedObject *)handle)->share;
    return share != NULL && !share->disposed && share->value != NULL && hw_is_node(share->value) ? share->value : NULL;
}

PyObject *hw_node_of_weak(PyObject *handle) {
    if (!Py_IS_TYPE(handle, &Weak_Type)) return NULL;
    PyObject *reference = ((WeakObject *)handle)->reference;
    return reference != NULL && hw_is_node(reference) ? reference : NULL;
}

int hw_bind_shared(PyObject *module) {
    if (PyType_Ready(&Share_Type) < 0 || PyModule_AddType(module, &Shared_Type) < 0) return -1;
    return PyModule_AddType(module, &Weak_Type);
}
