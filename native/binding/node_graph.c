/* All nodes at once: collecting cycles, and telling them. heapwright.owners.cycles is what programs call. */
#include "binding/node_types.h"
#include "heap/shared_picture.h"

static PyObject *nodes_collect(PyObject *module, PyObject *args) {
    unsigned long long budget = UINT64_MAX;
    if (!PyArg_ParseTuple(args, "|K:nodes_collect", &budget)) return NULL;
    if (!hw_nodes_opened) return PyLong_FromLong(0);
    uint64_t collected = 0;
    for (hw_shared_collection got = {.collected = 1}; got.collected != 0; collected += got.collected) {
        got = hw_shared_nodes_collect(&hw_nodes, budget); /* what it frees may show more: acyclic classes are looked through */
        hw_nodes_dispose();
    }
    return PyLong_FromUnsignedLongLong(collected);
}

/* One edge of a cycle as (instance, index of the shared field). */
static PyObject *edge(uint32_t from, uint32_t to) {
    const hw_shared_node *node = &hw_nodes.graph.nodes[from];
    uint32_t i = 0;
    while (i < node->references && hw_nodes.graph.slots[node->first + i] != to) i++;
    return Py_BuildValue("(OI)", (PyObject *)(uintptr_t)node->payload, i);
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
    unsigned long long outside = hw_shared_picture_owners_outside(p, &hw_nodes.graph, c);
    return Py_BuildValue("(NIKO)", path, size, outside, found.exact ? Py_True : Py_False);
}

/* [(path, nodes of the component, owners outside, exact)], largest components first is left to Python. */
static PyObject *nodes_cycles(PyObject *module, PyObject *args) {
    unsigned long long budget = UINT64_MAX;
    hw_shared_picture picture;
    if (!PyArg_ParseTuple(args, "|K:nodes_cycles", &budget)) return NULL;
    PyObject *cycles = PyList_New(0);
    if (!hw_nodes_opened || cycles == NULL) return cycles;
    int error = hw_shared_picture_open(&picture, &hw_nodes.graph);
    if (error != 0) {
        Py_DECREF(cycles);
        return hw_raise_errno(error);
    }
    int collects = PyGC_Disable(); /* a finalizer that it runs could end nodes of the picture */
    for (uint32_t c = 0; c < picture.components; c++) {
        if (!hw_shared_picture_has_cycle(&picture, c)) continue;
        PyObject *cycle = cycle_of(&picture, c, budget);
        int appended = cycle == NULL ? -1 : PyList_Append(cycles, cycle);
        Py_XDECREF(cycle);
        if (appended == 0) continue;
        Py_CLEAR(cycles);
        break;
    }
    if (collects) PyGC_Enable();
    hw_shared_picture_close(&picture);
    return cycles;
}

static PyObject *nodes_statistics(PyObject *module, PyObject *unused) {
    const hw_shared_graph *g = &hw_nodes.graph;
    return Py_BuildValue("{s:I,s:I,s:K,s:K,s:I,s:K,s:K}", "live_nodes", hw_nodes_opened ? g->live : 0, "peak_live_nodes",
                         g->peak_live, "total_nodes", (unsigned long long)g->total_nodes, "collected_nodes", (unsigned long long)g->total_collected,
                         "candidates", g->candidates_count, "collections", (unsigned long long)hw_nodes.pace.collections,
                         "aborted_collections", (unsigned long long)hw_nodes.pace.aborted);
}

/* The instances of all nodes that live: new references. */
static PyObject *nodes_alive(PyObject *module, PyObject *unused) {
    const hw_shared_graph *g = &hw_nodes.graph;
    PyObject *alive = PyList_New(0);
    for (uint32_t number = 0; alive != NULL && hw_nodes_opened && number < g->nodes_used; number++) {
        const hw_shared_node *node = &g->nodes[number];
        /* an instance with an owner is whole: one that is being taken apart has given its payload, or its count, away */
        if (atomic_load_explicit(&node->strong, memory_order_relaxed) == 0 || node->payload == 0) continue;
        if (PyList_Append(alive, (PyObject *)(uintptr_t)node->payload) < 0) Py_CLEAR(alive);
    }
    return alive;
}

/* The nodes that a node owns, by shared field; None: none. Empty for a dead one. */
static PyObject *node_owned(PyObject *module, PyObject *object) {
    if (!hw_is_node(object)) return PyErr_Format(PyExc_TypeError, "node_owned() takes a node, not %.100s", Py_TYPE(object)->tp_name);
    uint32_t number = ((NodeObject *)object)->number;
    uint32_t count = number == HW_SHARED_NONE ? 0 : hw_nodes.graph.nodes[number].references;
    PyObject *owned = PyTuple_New(count);
    for (uint32_t i = 0; owned != NULL && i < count; i++) {
        uint32_t target = hw_shared_get(&hw_nodes.graph, number, i);
        PyObject *instance = target == HW_SHARED_NONE ? NULL : (PyObject *)(uintptr_t)hw_nodes.graph.nodes[target].payload;
        PyTuple_SET_ITEM(owned, i, Py_NewRef(instance == NULL ? Py_None : instance));
    }
    return owned;
}

/* None, or (invariant, number of the node). */
static PyObject *nodes_check(PyObject *module, PyObject *unused) {
    uint32_t number;
    const char *broken = hw_nodes_opened ? hw_shared_check(&hw_nodes.graph, &number) : NULL;
    return broken == NULL ? Py_NewRef(Py_None) : Py_BuildValue("(sI)", broken, number);
}

static PyMethodDef FUNCTIONS[] = {
    {"nodes_collect", nodes_collect, METH_VARARGS, "nodes_collect(budget=..., /)\n--\n\nCollect cycles; return how many nodes went."},
    {"nodes_cycles", nodes_cycles, METH_VARARGS, "nodes_cycles(budget=..., /)\n--\n\nThe shortest cycle of each component."},
    {"nodes_statistics", nodes_statistics, METH_NOARGS, "nodes_statistics()\n--\n\nCounts."},
    {"nodes_alive", nodes_alive, METH_NOARGS, "nodes_alive()\n--\n\nEvery node that has an owner."},
    {"node_owned", node_owned, METH_O, "node_owned(node, /)\n--\n\nThe nodes that it owns, or None, by shared field."},
    {"nodes_check", nodes_check, METH_NOARGS, "nodes_check()\n--\n\nThe first broken invariant, or None."},
    {NULL},
};

int hw_bind_node_graph(PyObject *module) { return PyModule_AddFunctions(module, FUNCTIONS); }
