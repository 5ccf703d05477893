/* _native.Weak: a handle that knows a shared value, or a node, without owning it. */
#include "binding/share_types.h"

typedef struct {
    PyObject_HEAD
    PyObject *reference; /* weak, to the share; or strong, to a node, which says itself whether it is alive; NULL: closed */
} WeakObject;

static PyTypeObject Weak_Type;

_Atomic Py_ssize_t *hw_weak_handles_of(PyObject *reference, ShareObject *share) {
    if (hw_is_node(reference)) return hw_node_weak_handles(reference);
    return share == NULL ? NULL : &share->weak_handles;
}

PyObject *hw_weak_new(PyObject *reference, ShareObject *share) {
    WeakObject *weak = reference == NULL ? NULL : PyObject_New(WeakObject, &Weak_Type);
    if (weak == NULL) {
        Py_XDECREF(reference);
        return NULL;
    }
    weak->reference = reference;
    _Atomic Py_ssize_t *count = hw_weak_handles_of(reference, share);
    if (count != NULL) atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    return (PyObject *)weak;
}

PyObject *hw_weak_of_node(PyObject *node) { return hw_weak_new(Py_NewRef(node), (ShareObject *)hw_node_share(node)); }

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
    _Atomic Py_ssize_t *count = hw_weak_handles_of(self->reference, share);
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
    return share == NULL ? Py_NewRef(Py_None) : hw_handle_of_share(share);
}

static PyObject *weak_clone(WeakObject *self, PyObject *unused) {
    if (self->reference == NULL) return hw_raise_released("weak handle");
    ShareObject *share = share_of(self);
    PyObject *clone = hw_weak_new(Py_NewRef(self->reference), share);
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

PyObject *hw_node_of_weak(PyObject *handle) {
    if (!Py_IS_TYPE(handle, &Weak_Type)) return NULL;
    PyObject *reference = ((WeakObject *)handle)->reference;
    return reference != NULL && hw_is_node(reference) ? reference : NULL;
}

int hw_bind_weak(PyObject *module) { return PyModule_AddType(module, &Weak_Type); }
