/* _native.Node: values that refer to each other by counted references, in one shared graph (heap/shared_nodes.h). A class made by
 * @heapwright.node derives from it; its fields are of three kinds:
 *
 *   atom     a str, bytes, int, float, bool or None: nothing that could lead back to a node
 *   shared   a reference to another node, which it owns: an edge of the graph
 *   weak     a node that it knows without owning it
 *
 * So all that a node owns is in the graph, and no cycle through a node leads through an object that only CPython's collector can
 * see: it need not look at nodes at all, and they are not tracked by it. A plain class may hold handles of nodes; a node may
 * not hold plain objects.
 *
 * Life. A new instance owns its node itself, which then has one count and no handle ("free-standing"). The first handle takes that count
 * over; from then on the node keeps the instance alive, not the other way round. When the node dies the instance, if anybody still
 * has it, is empty.
 *
 * GIL: it is the graph's lock. Nothing between two structural operations runs Python code but the disposal of the dead, which is
 * one loop however deep the calls that lead to it are nested. */
#include "binding/owners.h"

#include <string.h>

#include "heap/shared_nodes.h"

enum { NODES_MAX = 1 << 27, COLLECT_BYTES_MIN = 4 << 20, BUDGET_MIN = 1 << 16 };

typedef struct {
    PyObject_HEAD
    Py_ssize_t atoms, shared, weak; /* how many fields of each kind */
    PyObject *defaults;             /* tuple: of each atom; Ellipsis: there is none */
    int acyclic;                    /* -1: not known before the classes that it names are there */
} KindObject;

/* An object; or, odd and so never an address, an int that was made small: most are, and have then no end to be seen to. 0: no
 * value yet. */
typedef uintptr_t cell;

typedef struct {
    PyObject_VAR_HEAD
    PyObject *share; /* of all its handles; borrowed: it gives notice (hw_node_let_go) */
    _Atomic Py_ssize_t weak_handles;
    uint32_t number; /* HW_SHARED_NONE: dead */
    bool free_standing;
    cell cells[1]; /* atoms, then weak fields: the instance of the node, which says itself whether it is alive */
} NodeObject;

typedef struct {
    PyObject_HEAD
    PyObject *name, *owner, *target; /* target: the class that may be referred to; NULL: not known yet */
    Py_ssize_t index;
    char kind; /* 'a', 's' or 'w' */
    bool optional;
    PyObject *types; /* of an atom: a tuple of those that are allowed, exactly */
} FieldObject;

static PyTypeObject Node_Type, Kind_Type, Field_Type;

/* One graph in the process: nodes of all classes may refer to each other. Opened by the first node. */
static hw_shared_nodes all;
static bool opened, disposing;
static struct {
    uint64_t new_bytes, threshold_bytes;
    uint64_t automatic, aborted;
} pace = {.threshold_bytes = COLLECT_BYTES_MIN};

bool hw_is_node(PyObject *object) { return PyType_IsSubtype(Py_TYPE(object), &Node_Type); }

static uint64_t size_bytes(const NodeObject *self) {
    return sizeof(NodeObject) + (uint64_t)Py_SIZE(self) * sizeof(PyObject *) + sizeof(hw_shared_node);
}

/* --------------------------------------------------------------------------------------------------------- life and death */

static inline PyObject *object_in(cell c) { return c & 1 ? NULL : (PyObject *)c; }

static void set_cell(NodeObject *self, Py_ssize_t i, cell value) { /* steals what is in it */
    cell before = self->cells[i];
    self->cells[i] = value;
    Py_XDECREF(object_in(before));
}

static PyObject *object_of(cell c) { /* a new reference; NULL without an error: no value yet */
    return c & 1 ? PyLong_FromSsize_t((Py_ssize_t)c >> 1) : Py_XNewRef((PyObject *)c);
}

static cell cell_of(PyObject *object) {
    if (PyLong_CheckExact(object)) {
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
        if (overflow == 0 && value >= INT64_MIN / 2 && value <= INT64_MAX / 2) return (cell)value << 1 | 1;
    }
    return (cell)Py_NewRef(object);
}

static void empty(NodeObject *self) {
    for (Py_ssize_t i = 0; i < Py_SIZE(self); i++) set_cell(self, i, 0);
}

/* Disposes of the dead. What it calls may free handles and so call it again: then there is more for the loop that runs already. */
static void dispose(void) {
    uint64_t payload;
    if (disposing) return;
    disposing = true;
    for (uint32_t number; (number = hw_shared_next_dead(&all.graph, &payload)) != HW_SHARED_NONE;) {
        NodeObject *node = (NodeObject *)(uintptr_t)payload;
        hw_shared_retire(&all.graph, number); /* nobody else knows the number: weak handles are about the instance */
        if (node == NULL) continue;
        node->number = HW_SHARED_NONE;
        empty(node);
        Py_DECREF(node);
    }
    disposing = false;
}

/* Gives up a count. */
static void drop(uint32_t number) {
    switch (hw_shared_drop(&all.graph, number)) {
    case HW_SHARED_DEAD:
        hw_shared_bury(&all.graph, number);
        dispose();
        break;
    case HW_SHARED_SUSPECT: hw_shared_suspect(&all.graph, number); break;
    default: break;
    }
}

static uint32_t collect(uint64_t budget) {
    hw_shared_collection got = hw_shared_collect(&all.graph, budget);
    pace.aborted += got.aborted;
    dispose();
    return got.collected;
}

/* A collection is due when as many bytes of nodes are new as there were after the last one, and looks at most at a few
 * references for each of them: its cost is a constant share of that of making them. One that gives up waits for twice as many. */
static void keep_pace(uint64_t bytes) {
    pace.new_bytes += bytes;
    if (pace.new_bytes < pace.threshold_bytes || all.graph.candidates_count == 0 || disposing) return;
    uint64_t before = pace.aborted, budget = pace.new_bytes / 4;
    collect(budget < BUDGET_MIN ? BUDGET_MIN : budget);
    pace.automatic++;
    uint64_t live_bytes = (uint64_t)all.graph.live * (sizeof(NodeObject) + sizeof(hw_shared_node));
    pace.threshold_bytes = live_bytes < COLLECT_BYTES_MIN ? COLLECT_BYTES_MIN : live_bytes;
    if (pace.aborted != before) pace.threshold_bytes = 2 * pace.new_bytes;
    pace.new_bytes = 0;
}

static PyObject *raise_errno(int error) {
    if (error == ENOMEM) return PyErr_NoMemory();
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* heapwright.owners.node.<function>(object): what only the annotations can tell. */
static int ask_annotations(const char *function, PyObject *object) {
    PyObject *module = PyImport_ImportModule("heapwright.owners.node");
    PyObject *result = module == NULL ? NULL : PyObject_CallMethod(module, function, "O", object);
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
    if (Py_IS_TYPE(kind, &Kind_Type)) return (KindObject *)kind;
    PyErr_Format(PyExc_TypeError, "%.100s is no class of nodes: put @heapwright.node before it", type->tp_name);
    return NULL;
}

static NodeObject *node_alloc(PyTypeObject *type, KindObject *kind) {
    NodeObject *self = (NodeObject *)type->tp_alloc(type, kind->atoms + kind->weak);
    if (self == NULL) return NULL;
    self->number = HW_SHARED_NONE;
    int error = opened ? 0 : hw_shared_nodes_open(&all, NODES_MAX);
    opened |= error == 0;
    if (error == 0) error = hw_shared_nodes_new(&all, (uint32_t)kind->shared, kind->acyclic == 1, (uintptr_t)self, &self->number);
    self->free_standing = true;
    if (error == 0) return self;
    self->number = HW_SHARED_NONE;
    Py_DECREF(self);
    raise_errno(error);
    return NULL;
}

static PyObject *node_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    KindObject *kind = kind_of(type);
    if (kind == NULL || (kind->acyclic < 0 && ask_annotations("settle", (PyObject *)type) < 0)) return NULL;
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
    for (Py_ssize_t i = 0; i < kind->atoms; i++) {
        PyObject *fallback = PyTuple_GET_ITEM(kind->defaults, i);
        if (self->cells[i] == 0 && fallback != Py_Ellipsis) self->cells[i] = cell_of(fallback);
        if (self->cells[i] != 0) continue;
        PyErr_Format(PyExc_TypeError, "%.100s() misses a field that has no default: give all of them by name", type->tp_name);
        Py_DECREF(self);
        return NULL;
    }
    keep_pace(size_bytes(self));
    return (PyObject *)self;
}

static void node_dealloc(NodeObject *self) { /* called by CPython's for the class, which sees to the class */
    if (self->number != HW_SHARED_NONE) { /* free-standing: of a node that had a handle the graph keeps the instance */
        uint32_t number = self->number;
        self->number = HW_SHARED_NONE;
        all.graph.nodes[number].payload = 0;
        drop(number);
    }
    empty(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static int require_alive(const NodeObject *self) {
    if (__builtin_expect(self->number != HW_SHARED_NONE, 1)) return 0;
    hw_raise_released("last owner of this node");
    return -1;
}

int hw_node_hold(PyObject *object, PyObject *share) {
    NodeObject *self = (NodeObject *)object;
    if (require_alive(self) < 0) return -1;
    if (self->free_standing) { /* its own count becomes the share's; the node has the instance */
        self->free_standing = false;
        Py_INCREF(self);
    } else if (!hw_shared_clone(&all.graph, self->number)) {
        PyErr_SetString(PyExc_OverflowError, "a node has 2147483647 owners: it cannot have more");
        return -1;
    }
    self->share = share;
    return 0;
}

void hw_node_let_go(PyObject *object) {
    NodeObject *self = (NodeObject *)object;
    self->share = NULL;
    drop(self->number);
}

PyObject *hw_node_share(PyObject *node) { return ((NodeObject *)node)->share; }
bool hw_node_is_alive(PyObject *node) { return ((NodeObject *)node)->number != HW_SHARED_NONE; }
_Atomic Py_ssize_t *hw_node_weak_handles(PyObject *node) { return &((NodeObject *)node)->weak_handles; }

Py_ssize_t hw_node_references(PyObject *object) {
    NodeObject *self = (NodeObject *)object;
    if (self->number == HW_SHARED_NONE) return 0;
    uint32_t strong = atomic_load_explicit(&all.graph.nodes[self->number].strong, memory_order_relaxed);
    return (Py_ssize_t)strong - (self->share != NULL);
}

/* A free-standing node with the same fields. */
static PyObject *node_copy(NodeObject *self, PyObject *unused) {
    KindObject *kind = kind_of(Py_TYPE(self));
    if (kind == NULL || require_alive(self) < 0) return NULL;
    NodeObject *copy = node_alloc(Py_TYPE(self), kind);
    if (copy == NULL) return NULL;
    for (Py_ssize_t i = 0; i < Py_SIZE(self); i++) {
        Py_XINCREF(object_in(self->cells[i]));
        copy->cells[i] = self->cells[i];
    }
    for (uint32_t i = 0; i < (uint32_t)kind->shared; i++) {
        uint32_t target = hw_shared_get(&all.graph, self->number, i);
        if (target != HW_SHARED_NONE && hw_shared_clone(&all.graph, target)) hw_shared_set(&all.graph, copy->number, i, target);
    }
    return (PyObject *)copy;
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

static PyTypeObject Node_Type = {
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

/* ---------------------------------------------------------------------------------------------------------------- fields */

static PyObject *field_get(FieldObject *self, PyObject *object, PyObject *type) {
    if (object == NULL || object == Py_None) return Py_NewRef(self);
    if (!hw_is_node(object)) return PyErr_Format(PyExc_TypeError, "%U is a field of nodes", self->name);
    NodeObject *node = (NodeObject *)object;
    if (require_alive(node) < 0) return NULL;
    if (self->kind == 's') {
        uint32_t target = hw_shared_get(&all.graph, node->number, (uint32_t)self->index);
        if (target == HW_SHARED_NONE) Py_RETURN_NONE;
        return hw_handle_of_node((PyObject *)(uintptr_t)all.graph.nodes[target].payload);
    }
    cell c = node->cells[self->index];
    if (self->kind == 'w') {
        if (c != 0 && hw_node_is_alive((PyObject *)c)) return hw_weak_of_node((PyObject *)c);
        Py_RETURN_NONE;
    }
    if (c != 0) return object_of(c);
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
    set_cell(node, self->index, cell_of(value)); /* an atom's end runs no code */
    return 0;
}

/* The node that a handle is about, if the field may refer to it; NULL with an error if not. Borrowed. */
static NodeObject *target_of(FieldObject *self, PyObject *value, PyObject *node) {
    if (self->target == NULL && ask_annotations("settle", self->owner) < 0) return NULL;
    if (node != NULL && self->target != NULL && Py_IS_TYPE(node, (PyTypeObject *)self->target)) return (NodeObject *)node;
    const char *class = self->target == NULL ? "node" : ((PyTypeObject *)self->target)->tp_name;
    if (node != NULL) value = node;
    PyErr_Format(PyExc_TypeError, "%.100s.%U takes a %s handle of a %.100s, not %s%.100s", ((PyTypeObject *)self->owner)->tp_name,
                 self->name, self->kind == 's' ? "Shared" : "Shared or Weak", class, node != NULL ? "of a " : "",
                 Py_TYPE(value)->tp_name);
    return NULL;
}

static int field_set(FieldObject *self, PyObject *object, PyObject *value) {
    if (!hw_is_node(object)) return PyErr_Format(PyExc_TypeError, "%U is a field of nodes", self->name), -1;
    NodeObject *node = (NodeObject *)object, *target = NULL;
    if (require_alive(node) < 0) return -1;
    if (value == NULL && self->kind == 'a')
        return PyErr_Format(PyExc_AttributeError, "%U cannot be deleted: it has a value always", self->name), -1;
    if (self->kind == 'a') return set_atom(self, node, value);
    if (value != NULL && value != Py_None) {
        PyObject *about = hw_node_of_shared(value);
        if (about == NULL && self->kind == 'w') about = hw_node_of_weak(value);
        target = target_of(self, value, about);
        if (target == NULL) return -1;
    } else if (value == Py_None && !self->optional) {
        return wrong_type(self, value, "a handle: its annotation does not say '| None'");
    }
    if (self->kind == 'w') {
        set_cell(node, self->index, (cell)Py_XNewRef((PyObject *)target));
        return 0;
    }
    if (target != NULL && !hw_shared_clone(&all.graph, target->number))
        return PyErr_SetString(PyExc_OverflowError, "a node has 2147483647 owners: it cannot have more"), -1;
    uint32_t before =
        hw_shared_set(&all.graph, node->number, (uint32_t)self->index, target == NULL ? HW_SHARED_NONE : target->number);
    if (before != HW_SHARED_NONE) drop(before);
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

static PyObject *kind_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    Py_ssize_t atoms, shared, weak;
    PyObject *defaults;
    if (!PyArg_ParseTuple(args, "nnnO!:NodeKind", &atoms, &shared, &weak, &PyTuple_Type, &defaults)) return NULL;
    if (atoms < 0 || weak < 0 || shared < 0 || shared > HW_SHARED_REFERENCES_MAX || PyTuple_GET_SIZE(defaults) != atoms)
        return PyErr_Format(PyExc_ValueError, "a node has at most %d shared fields", HW_SHARED_REFERENCES_MAX);
    KindObject *self = (KindObject *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->atoms = atoms, self->shared = shared, self->weak = weak, self->acyclic = -1;
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

static PyTypeObject Kind_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "heapwright._native.NodeKind",
    .tp_doc = "NodeKind(atoms, shared, weak, defaults, /)\n--\n\nHow instances of a class of nodes are laid out.",
    .tp_basicsize = sizeof(KindObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = kind_new,
    .tp_dealloc = (destructor)kind_dealloc,
    .tp_getset = KIND_FIELDS,
};

/* ------------------------------------------------------------------------------------------------------ the whole graph */

static PyObject *nodes_collect(PyObject *module, PyObject *args) {
    unsigned long long budget = UINT64_MAX;
    if (!PyArg_ParseTuple(args, "|K:nodes_collect", &budget)) return NULL;
    if (!opened || disposing) return PyLong_FromLong(0);
    uint64_t collected = 0, before = pace.aborted;
    for (uint32_t now = 1; now != 0 && pace.aborted == before; collected += now) now = collect(budget);
    return PyLong_FromUnsignedLongLong(collected);
}

/* One edge of a cycle as (instance, index of the shared field). */
static PyObject *edge(uint32_t from, uint32_t to) {
    const hw_shared_node *node = &all.graph.nodes[from];
    uint32_t i = 0;
    while (i < node->references && all.graph.slots[node->first + i] != to) i++;
    return Py_BuildValue("(OI)", (PyObject *)(uintptr_t)node->payload, i);
}

/* Owners of the members of a component that are not in it. */
static uint64_t owners_outside(const hw_shared_picture *p, uint32_t c) {
    uint64_t strong = 0, inside = 0;
    for (uint32_t i = p->start[c]; i < p->start[c + 1]; i++) {
        uint32_t v = p->members[i];
        strong += atomic_load_explicit(&all.graph.nodes[v].strong, memory_order_relaxed);
        for (uint32_t e = p->graph.first[v]; e != p->graph.first[v + 1]; e++) inside += p->component[p->graph.target[e]] == c;
    }
    return strong - inside;
}

static PyObject *cycle_of(const hw_shared_picture *p, uint32_t c, uint64_t budget) {
    uint32_t size = p->start[c + 1] - p->start[c];
    hw_cycle found = hw_shortest_cycle(&p->graph, p->component, p->members + p->start[c], size, budget, p->cycle, p->scratch);
    PyObject *path = PyTuple_New(found.length);
    for (uint32_t i = 0; path != NULL && i < found.length; i++) {
        PyObject *step = edge(p->cycle[i], p->cycle[(i + 1) % found.length]);
        if (step == NULL) Py_CLEAR(path);
        else PyTuple_SET_ITEM(path, i, step);
    }
    if (path == NULL) return NULL;
    return Py_BuildValue("(NIKO)", path, size, (unsigned long long)owners_outside(p, c), found.exact ? Py_True : Py_False);
}

/* [(path, nodes of the component, owners outside, exact)], largest components first is left to Python. */
static PyObject *nodes_cycles(PyObject *module, PyObject *args) {
    unsigned long long budget = UINT64_MAX;
    hw_shared_picture picture;
    if (!PyArg_ParseTuple(args, "|K:nodes_cycles", &budget)) return NULL;
    PyObject *cycles = PyList_New(0);
    if (!opened || cycles == NULL) return cycles;
    int error = hw_shared_picture_open(&picture, &all.graph);
    if (error != 0) {
        Py_DECREF(cycles);
        return raise_errno(error);
    }
    for (uint32_t c = 0; c < picture.components; c++) {
        uint32_t v = picture.members[picture.start[c]];
        bool alone = picture.start[c + 1] - picture.start[c] == 1, loop = !alone;
        for (uint32_t e = picture.graph.first[v]; alone && e != picture.graph.first[v + 1]; e++) loop |= picture.graph.target[e] == v;
        if (!loop) continue;
        PyObject *cycle = cycle_of(&picture, c, budget);
        int appended = cycle == NULL ? -1 : PyList_Append(cycles, cycle);
        Py_XDECREF(cycle);
        if (appended == 0) continue;
        Py_CLEAR(cycles);
        break;
    }
    hw_shared_picture_close(&picture);
    return cycles;
}

static PyObject *nodes_statistics(PyObject *module, PyObject *unused) {
    const hw_shared_graph *g = &all.graph;
    return Py_BuildValue("{s:I,s:I,s:K,s:K,s:I,s:K,s:K}", "live_nodes", opened ? g->live : 0, "peak_live_nodes", g->peak_live, "total_nodes",
                         (unsigned long long)g->total_nodes, "collected_nodes", (unsigned long long)g->total_collected,
                         "candidates", g->candidates_count, "automatic_collections", (unsigned long long)pace.automatic,
                         "aborted_collections", (unsigned long long)pace.aborted);
}

/* None, or (invariant, number of the node). */
static PyObject *nodes_check(PyObject *module, PyObject *unused) {
    uint32_t number;
    const char *broken = opened ? hw_shared_check(&all.graph, &number) : NULL;
    return broken == NULL ? Py_NewRef(Py_None) : Py_BuildValue("(sI)", broken, number);
}

static PyMethodDef FUNCTIONS[] = {
    {"nodes_collect", nodes_collect, METH_VARARGS, "nodes_collect(budget=..., /)\n--\n\nCollect cycles; return how many nodes went."},
    {"nodes_cycles", nodes_cycles, METH_VARARGS, "nodes_cycles(budget=..., /)\n--\n\nThe shortest cycle of each component."},
    {"nodes_statistics", nodes_statistics, METH_NOARGS, "nodes_statistics()\n--\n\nCounts."},
    {"nodes_check", nodes_check, METH_NOARGS, "nodes_check()\n--\n\nThe first broken invariant, or None."},
    {NULL},
};

int hw_bind_node(PyObject *module) {
    if (PyModule_AddType(module, &Node_Type) < 0 || PyModule_AddType(module, &Field_Type) < 0) return -1;
    if (PyModule_AddType(module, &Kind_Type) < 0) return -1;
    return PyModule_AddFunctions(module, FUNCTIONS);
}
