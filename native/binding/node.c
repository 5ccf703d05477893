/* _native.Node: values that refer to each other by counted references, in one shared graph (heap/shared_nodes.h). A
 * class made by @heapwright.node derives from it; its fields are of three kinds:
 *
 *   atom     a str, bytes, int, float, bool or None: nothing that could lead back to a node
 *   shared   a reference to another node, which it owns: an edge of the graph
 *   weak     a node that it knows without owning it
 *
 * So all that a node owns is in the graph, and no cycle through a node leads through an object that only CPython's
 * collector can see: it need not look at nodes at all, and they are not tracked by it. A plain class may hold handles
 * of nodes; a node may not hold plain objects.
 *
 * Life. A new instance owns its node itself, which then has one count and no handle ("free-standing"). The first handle
 * takes that count over; from then on the node keeps the instance alive, not the other way round. When the node dies
 * the instance, if anybody still has it, is empty.
 *
 * GIL: it is the graph's lock. Nothing between two structural operations runs Python code but the disposal of the dead,
 * which is one loop however deep the calls that lead to it are nested. */
#include "binding/births.h"
#include "binding/node_types.h"

#include <stddef.h>

enum { NODES_MAX = 1 << 27 };

hw_shared_nodes hw_nodes;
bool hw_nodes_opened;
static bool disposing;

bool hw_is_node(PyObject *object) { return PyType_IsSubtype(Py_TYPE(object), &HwNode_Type); }

PyObject *hw_raise_errno(int error) {
    if (error == ENOMEM) return PyErr_NoMemory();
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static uint64_t size_bytes(const NodeObject *self) {
    return sizeof(NodeObject) + (uint64_t)Py_SIZE(self) * sizeof(PyObject *) + sizeof(hw_shared_node);
}

/* --------------------------------------------------------------------------------------------------- life and death */

static void empty(NodeObject *self) {
    for (Py_ssize_t i = self->numbers; i < Py_SIZE(self); i++) hw_cell_set(self, i, 0);
}

void hw_nodes_dispose(void) {
    uint64_t payload;
    if (disposing) return;
    disposing = true;
    for (uint32_t number; (number = hw_shared_next_dead(&hw_nodes.graph, &payload)) != HW_SHARED_NONE;) {
        NodeObject *node = (NodeObject *)(uintptr_t)payload;
        hw_shared_retire(&hw_nodes.graph, number); /* nobody else knows the number: weak handles are about the instance */
        if (node == NULL) continue;
        node->number = HW_SHARED_NONE;
        hw_shared_nodes_ended(&hw_nodes, size_bytes(node));
        empty(node);
        Py_DECREF(node);
    }
    disposing = false;
}

void hw_nodes_drop(uint32_t number) {
    switch (hw_shared_drop(&hw_nodes.graph, number)) {
    case HW_SHARED_DEAD:
        hw_shared_bury(&hw_nodes.graph, number);
        hw_nodes_dispose();
        break;
    case HW_SHARED_SUSPECT: hw_shared_suspect(&hw_nodes.graph, number); break;
    default: break;
    }
}

int hw_nodes_clone(uint32_t number) {
    if (hw_shared_clone(&hw_nodes.graph, number)) return 0;
    PyErr_Format(PyExc_OverflowError, "a node has %u owners: it cannot have more", HW_SHARED_COUNT_MAX);
    return -1;
}

int hw_node_settle(PyObject *class) {
    PyObject *module = PyImport_ImportModule("heapwright.owners.node");
    PyObject *result = module == NULL ? NULL : PyObject_CallMethod(module, "settle", "O", class);
    Py_XDECREF(module);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static KindObject *kind_of(PyTypeObject *type) { /* borrowed: the class has it, and has it for life */
    static PyObject *name; /* interned: found in CPython's own cache of types' attributes */
    if (name == NULL) name = PyUnicode_InternFromString("__node_kind__");
    PyObject *kind = name == NULL ? NULL : PyObject_GetAttr((PyObject *)type, name);
    if (kind == NULL) return NULL;
    Py_DECREF(kind);
    if (Py_IS_TYPE(kind, &HwNodeKind_Type)) return (KindObject *)kind;
    PyErr_Format(PyExc_TypeError, "%.100s is no class of nodes: put @heapwright.node before it", type->tp_name);
    return NULL;
}

static NodeObject *node_alloc(PyTypeObject *type, KindObject *kind) {
    NodeObject *self = (NodeObject *)type->tp_alloc(type, kind->numbers + kind->atoms + kind->weak);
    if (self == NULL) return NULL;
    self->numbers = (uint16_t)kind->numbers;
    self->number = HW_SHARED_NONE;
    int error = hw_nodes_opened ? 0 : hw_shared_nodes_open(&hw_nodes, NODES_MAX);
    hw_nodes_opened |= error == 0;
    if (error == 0) error = hw_shared_nodes_new(&hw_nodes, (uint32_t)kind->shared, kind->acyclic == 1, (uintptr_t)self, &self->number);
    self->free_standing = true;
    if (error == 0) {
        hw_shared_nodes_made(&hw_nodes, size_bytes(self)); /* here: node_dealloc counts the end of every node that got a number */
        return self;
    }
    self->number = HW_SHARED_NONE;
    Py_DECREF(self);
    hw_raise_errno(error);
    return NULL;
}

static PyObject *node_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    KindObject *kind = kind_of(type);
    if (kind == NULL || (kind->acyclic < 0 && hw_node_settle((PyObject *)type) < 0)) return NULL;
    if (PyTuple_GET_SIZE(args) != 0) {
        PyErr_Format(PyExc_TypeError, "%.100s() takes its fields by name", type->tp_name);
        return NULL;
    }
    NodeObject *self = node_alloc(type, kind);
    if (self == NULL) return NULL;
    PyObject *key, *value;
    for (Py_ssize_t i = 0; keywords != NULL && PyDict_Next(keywords, &i, &key, &value);)
        if (PyObject_SetAttr((PyObject *)self, key, value) < 0) {
            Py_DECREF(self);
            return NULL;
        }
    for (Py_ssize_t i = 0; i < kind->numbers + kind->atoms; i++) {
        PyObject *fallback = PyTuple_GET_ITEM(kind->defaults, i);
        if (self->cells[i] == 0 && fallback != Py_Ellipsis)
            self->cells[i] = i < kind->numbers ? hw_cell_from_number(PyFloat_AS_DOUBLE(fallback)) : hw_cell_from(fallback);
        if (self->cells[i] != 0) continue;
        PyErr_Format(PyExc_TypeError, "%.100s() misses a field that has no default: give all of them by name", type->tp_name);
        Py_DECREF(self);
        return NULL;
    }
    hw_shared_nodes_collect_if_due(&hw_nodes);
    hw_nodes_dispose();
    return hw_born((PyObject *)self);
}

static void node_dealloc(NodeObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->number != HW_SHARED_NONE) { /* free-standing: of a node that had a handle the graph keeps the instance */
        uint32_t number = self->number;
        self->number = HW_SHARED_NONE;
        hw_nodes.graph.nodes[number].payload = 0;
        hw_shared_nodes_ended(&hw_nodes, size_bytes(self));
        hw_nodes_drop(number);
    }
    empty(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* A class of nodes ends its instances by node_dealloc itself: what CPython would call in its place looks for __del__,
 * slots, a dict and weak references first, none of which there are, and takes twice as long. */
static PyObject *node_seal(PyObject *module, PyObject *class) {
    if (!PyType_Check(class) || !PyType_IsSubtype((PyTypeObject *)class, &HwNode_Type))
        return PyErr_Format(PyExc_TypeError, "node_seal() is for classes of nodes");
    ((PyTypeObject *)class)->tp_dealloc = (destructor)node_dealloc;
    Py_RETURN_NONE;
}

int hw_node_require_alive(const NodeObject *self) {
    if (__builtin_expect(self->number != HW_SHARED_NONE, 1)) return 0;
    hw_raise_released("last owner of this node");
    return -1;
}

int hw_node_hold(PyObject *object, PyObject *share) {
    NodeObject *self = (NodeObject *)object;
    if (hw_node_require_alive(self) < 0) return -1;
    if (self->free_standing) { /* its own count becomes the share's; the node has the instance */
        self->free_standing = false;
        Py_INCREF(self);
    } else if (hw_nodes_clone(self->number) < 0) {
        return -1;
    }
    self->share = share;
    return 0;
}

void hw_node_let_go(PyObject *object) {
    NodeObject *self = (NodeObject *)object;
    self->share = NULL;
    hw_nodes_drop(self->number);
}

PyObject *hw_node_share(PyObject *node) { return ((NodeObject *)node)->share; }
bool hw_node_is_alive(PyObject *node) { return ((NodeObject *)node)->number != HW_SHARED_NONE; }
_Atomic Py_ssize_t *hw_node_weak_handles(PyObject *node) { return &((NodeObject *)node)->weak_handles; }

Py_ssize_t hw_node_references(PyObject *object) {
    NodeObject *self = (NodeObject *)object;
    if (self->number == HW_SHARED_NONE) return 0;
    uint32_t strong = atomic_load_explicit(&hw_nodes.graph.nodes[self->number].strong, memory_order_relaxed);
    return (Py_ssize_t)strong - (self->share != NULL);
}

/* A free-standing node with the same fields. */
static PyObject *node_copy(NodeObject *self, PyObject *unused) {
    KindObject *kind = kind_of(Py_TYPE(self));
    if (kind == NULL || hw_node_require_alive(self) < 0) return NULL;
    NodeObject *copy = node_alloc(Py_TYPE(self), kind);
    if (copy == NULL) return NULL;
    for (Py_ssize_t i = 0; i < Py_SIZE(self); i++) {
        if (i >= self->numbers) Py_XINCREF(hw_cell_object_in(self->cells[i]));
        copy->cells[i] = self->cells[i];
    }
    for (uint32_t i = 0; i < (uint32_t)kind->shared; i++) {
        uint32_t target = hw_shared_get(&hw_nodes.graph, self->number, i);
        if (target == HW_SHARED_NONE) continue;
        if (hw_nodes_clone(target) < 0) {
            Py_DECREF(copy);
            return NULL;
        }
        hw_shared_set(&hw_nodes.graph, copy->number, i, target);
    }
    hw_shared_nodes_collect_if_due(&hw_nodes); /* not before: nobody need own the node that is copied */
    hw_nodes_dispose();
    return hw_born((PyObject *)copy);
}

static PyObject *node_repr(NodeObject *self) {
    if (self->number == HW_SHARED_NONE) return PyUnicode_FromFormat("<%s, dead>", Py_TYPE(self)->tp_name);
    return PyUnicode_FromFormat("<%s#%u>", Py_TYPE(self)->tp_name, self->number);
}

static PyObject *node_reduce(PyObject *self, PyObject *unused) {
    return PyErr_Format(PyExc_TypeError, "%.100s is a node of a graph in this process and cannot be pickled", Py_TYPE(self)->tp_name);
}

static PyMethodDef NODE_METHODS[] = {
    {"__copy__", (PyCFunction)node_copy, METH_NOARGS, "__copy__($self)\n--\n\nA new node with the same fields."},
    {"__reduce__", (PyCFunction)node_reduce, METH_NOARGS, "__reduce__($self)\n--\n\nRefused."},
    {NULL},
};

PyTypeObject HwNode_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.Node",
    .tp_doc = "What classes made by @node are.",
    .tp_basicsize = offsetof(NodeObject, cells),
    .tp_itemsize = sizeof(PyObject *),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = node_new,
    .tp_dealloc = (destructor)node_dealloc,
    .tp_repr = (reprfunc)node_repr,
    .tp_methods = NODE_METHODS,
};

/* ----------------------------------------------------------------------------------------------------------- kinds */

static PyObject *kind_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    Py_ssize_t numbers, atoms, shared, weak;
    PyObject *defaults;
    if (!PyArg_ParseTuple(args, "nnnnO!:NodeKind", &numbers, &atoms, &shared, &weak, &PyTuple_Type, &defaults)) return NULL;
    bool counts = numbers >= 0 && atoms >= 0 && weak >= 0 && PyTuple_GET_SIZE(defaults) == numbers + atoms;
    if (!counts || shared < 0 || shared > HW_SHARED_REFERENCES_MAX || numbers > UINT16_MAX)
        return PyErr_Format(PyExc_ValueError, "a node has at most %d shared fields", HW_SHARED_REFERENCES_MAX);
    for (Py_ssize_t i = 0; i < numbers; i++) {
        PyObject *fallback = PyTuple_GET_ITEM(defaults, i);
        if (fallback != Py_Ellipsis && !PyFloat_CheckExact(fallback))
            return PyErr_Format(PyExc_TypeError, "the default of a number is a float, not %R", fallback);
    }
    KindObject *self = (KindObject *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->numbers = numbers, self->atoms = atoms, self->shared = shared, self->weak = weak, self->acyclic = -1;
    self->defaults = Py_NewRef(defaults);
    return (PyObject *)self;
}

static void kind_dealloc(KindObject *self) {
    Py_CLEAR(self->defaults); /* atoms and Ellipsis: no cycle leads through here */
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *kind_acyclic(KindObject *self, void *unused) {
    return self->acyclic < 0 ? Py_NewRef(Py_None) : PyBool_FromLong(self->acyclic);
}

static int kind_set_acyclic(KindObject *self, PyObject *value, void *unused) {
    self->acyclic = value == NULL || value == Py_None ? -1 : PyObject_IsTrue(value);
    return self->acyclic < 0 && PyErr_Occurred() ? -1 : 0;
}

static PyGetSetDef KIND_FIELDS[] = {
    {"acyclic", (getter)kind_acyclic, (setter)kind_set_acyclic, "Whether no instance can reach another of its class; None: not settled.", NULL},
    {NULL},
};

PyTypeObject HwNodeKind_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.NodeKind",
    .tp_doc = "NodeKind(numbers, atoms, shared, weak, defaults, /)\n--\n\nHow instances of a class of nodes are laid out.",
    .tp_basicsize = sizeof(KindObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = kind_new,
    .tp_dealloc = (destructor)kind_dealloc,
    .tp_getset = KIND_FIELDS,
};

static PyMethodDef FUNCTIONS[] = {
    {"node_seal", node_seal, METH_O, "node_seal(class, /)\n--\n\nThe last step of making a class of nodes."},
    {NULL},
};

int hw_bind_node(PyObject *module) {
    if (PyModule_AddType(module, &HwNode_Type) < 0 || PyModule_AddType(module, &HwNodeKind_Type) < 0) return -1;
    return PyModule_AddFunctions(module, FUNCTIONS);
}
