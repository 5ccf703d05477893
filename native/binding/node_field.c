/* _native.NodeField: a field of a class of nodes, as a descriptor. It lets in what its annotation says, exactly, since
 * the promise that nothing leads out of the graph rests on that. */
#include "binding/node_types.h"

typedef struct {
    PyObject_HEAD
    PyObject *name, *owner, *target; /* target: the class that may be referred to; NULL: not known yet */
    Py_ssize_t index;
    char kind; /* 'n'umber, 'a'tom, 's'hared or 'w'eak */
    bool optional;
    PyObject *types; /* of an atom: a tuple of those that are allowed, exactly */
} FieldObject;

/* The node, which has the cell or the slot that `index` is of: another class's has other ones, or fewer. Alive, and stays
 * so until Python runs. NULL with the error set. */
static NodeObject *require_own(const FieldObject *self, PyObject *object) {
    NodeObject *node = (NodeObject *)object;
    if (self->owner != NULL && Py_IS_TYPE(object, (PyTypeObject *)self->owner)) return hw_node_require_alive(node) < 0 ? NULL : node;
    PyErr_Format(PyExc_TypeError, "%U is a field of %.100s, not of %.100s", self->name,
                 self->owner == NULL ? "no class" : ((PyTypeObject *)self->owner)->tp_name, Py_TYPE(object)->tp_name);
    return NULL;
}

static PyObject *field_get(FieldObject *self, PyObject *object, PyObject *type) {
    if (object == NULL || object == Py_None) return Py_NewRef(self);
    NodeObject *node = require_own(self, object);
    if (node == NULL) return NULL;
    if (self->kind == 's') {
        uint32_t target = hw_shared_get(&hw_nodes.graph, node->number, (uint32_t)self->index);
        if (target == HW_SHARED_NONE) Py_RETURN_NONE;
        return hw_handle_of_node((PyObject *)(uintptr_t)hw_nodes.graph.nodes[target].payload);
    }
    hw_cell c = node->cells[self->index];
    if (self->kind == 'w') {
        if (c != 0 && hw_node_is_alive((PyObject *)c)) return hw_weak_of_node((PyObject *)c);
        Py_RETURN_NONE;
    }
    if (c != 0) return self->kind == 'n' ? PyFloat_FromDouble(hw_cell_number(c)) : hw_cell_object(c);
    return PyErr_Format(PyExc_AttributeError, "%U has no value yet", self->name);
}

static int wrong_type(const FieldObject *self, PyObject *value, const char *wanted) {
    PyErr_Format(PyExc_TypeError, "%.100s.%U takes %s, not %.100s", ((PyTypeObject *)self->owner)->tp_name, self->name, wanted,
                 Py_TYPE(value)->tp_name);
    return -1;
}

static int set_atom(FieldObject *self, NodeObject *node, PyObject *value) {
    bool allowed = false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->types); i++)
        allowed |= Py_IS_TYPE(value, (PyTypeObject *)PyTuple_GET_ITEM(self->types, i));
    if (!allowed) return wrong_type(self, value, "what it is annotated with, exactly");
    hw_cell_set(node, self->index, hw_cell_from(value)); /* an atom's end runs no code */
    return 0;
}

/* The node that a handle is about, if the field may refer to it; NULL with an error if not. Borrowed. */
static NodeObject *target_of(FieldObject *self, PyObject *value, PyObject *node) {
    if (node != NULL && self->target != NULL && Py_IS_TYPE(node, (PyTypeObject *)self->target)) return (NodeObject *)node;
    const char *class = self->target == NULL ? "node" : ((PyTypeObject *)self->target)->tp_name;
    if (node != NULL) value = node;
    PyErr_Format(PyExc_TypeError, "%.100s.%U takes a %s handle of a %.100s, not %s%.100s", ((PyTypeObject *)self->owner)->tp_name,
                 self->name, self->kind == 's' ? "Shared" : "Shared or Weak", class, node != NULL ? "of a " : "",
                 Py_TYPE(value)->tp_name);
    return NULL;
}

static int field_set(FieldObject *self, PyObject *object, PyObject *value) {
    NodeObject *node = require_own(self, object), *target = NULL;
    if (node == NULL) return -1;
    if (value == NULL && (self->kind == 'a' || self->kind == 'n'))
        return PyErr_Format(PyExc_AttributeError, "%U cannot be deleted: it has a value always", self->name), -1;
    if (self->kind == 'a') return set_atom(self, node, value);
    if (self->kind == 'n') {
        if (!PyFloat_CheckExact(value)) return wrong_type(self, value, "a float, exactly");
        node->cells[self->index] = hw_cell_from_number(PyFloat_AS_DOUBLE(value));
        return 0;
    }
    if (value != NULL && value != Py_None) {
        PyObject *about = hw_node_of_shared(value);
        if (about == NULL && self->kind == 'w') about = hw_node_of_weak(value);
        target = target_of(self, value, about);
        if (target == NULL) return -1;
    } else if (value == Py_None && !self->optional) {
        return wrong_type(self, value, "a handle: its annotation does not say '| None'");
    }
    if (self->kind == 'w') {
        hw_cell_set(node, self->index, (hw_cell)Py_XNewRef((PyObject *)target));
        return 0;
    }
    if (target != NULL && hw_nodes_clone(target->number) < 0) return -1;
    uint32_t before =
        hw_shared_set(&hw_nodes.graph, node->number, (uint32_t)self->index, target == NULL ? HW_SHARED_NONE : target->number);
    if (before != HW_SHARED_NONE) hw_nodes_drop(before);
    return 0;
}

static PyObject *field_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    PyObject *name, *types;
    const char *kind;
    Py_ssize_t index;
    int optional;
    if (!PyArg_ParseTuple(args, "UsnpO!:NodeField", &name, &kind, &index, &optional, &PyTuple_Type, &types)) return NULL;
    FieldObject *self = (FieldObject *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->name = Py_NewRef(name);
    self->types = Py_NewRef(types);
    self->kind = kind[0];
    self->index = index;
    self->optional = optional;
    return (PyObject *)self;
}

static PyObject *field_settle(FieldObject *self, PyObject *args) {
    PyObject *owner, *target;
    if (!PyArg_ParseTuple(args, "O!O", &PyType_Type, &owner, &target)) return NULL;
    Py_XSETREF(self->owner, Py_NewRef(owner));
    Py_XSETREF(self->target, target == Py_None ? NULL : Py_NewRef(target));
    Py_RETURN_NONE;
}

static int field_traverse(FieldObject *self, visitproc visit, void *arg) {
    Py_VISIT(self->owner);
    Py_VISIT(self->target);
    Py_VISIT(self->types);
    return 0;
}

static int field_clear(FieldObject *self) {
    Py_CLEAR(self->owner);
    Py_CLEAR(self->target);
    Py_CLEAR(self->types);
    return 0;
}

static void field_dealloc(FieldObject *self) {
    PyObject_GC_UnTrack(self);
    field_clear(self);
    Py_CLEAR(self->name);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef FIELD_METHODS[] = {
    {"settle", (PyCFunction)field_settle, METH_VARARGS, "settle($self, owner, target, /)\n--\n\nWhose it is, and what it may refer to."},
    {NULL},
};

static PyTypeObject Field_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.NodeField",
    .tp_doc = "NodeField(name, kind, index, optional, types, /)\n--\n\nA field of a class of nodes.",
    .tp_basicsize = sizeof(FieldObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = field_new,
    .tp_dealloc = (destructor)field_dealloc,
    .tp_traverse = (traverseproc)field_traverse,
    .tp_clear = (inquiry)field_clear,
    .tp_descr_get = (descrgetfunc)field_get,
    .tp_descr_set = (descrsetfunc)field_set,
    .tp_methods = FIELD_METHODS,
};

int hw_bind_node_field(PyObject *module) { return PyModule_AddType(module, &Field_Type); }
