/* What the files about nodes share: node.c (instances), node_field.c (their fields), node_graph.c (all of them at
 * once). */
#ifndef HW_BINDING_NODE_TYPES_H
#define HW_BINDING_NODE_TYPES_H

#include "binding/owners.h"

#include <string.h>

#include "heap/shared_nodes.h"

typedef struct {
    PyObject_HEAD
    Py_ssize_t numbers, atoms, shared, weak; /* how many fields of each kind */
    PyObject *defaults;             /* tuple: of each atom; Ellipsis: there is none */
    int acyclic;                    /* -1: not known before the classes that it names are there */
} KindObject;

/* A field's place in an instance; 0: no value yet. A number's is a double, less a pattern that no computation yields.
 * Any other's is an object, or, odd and so never an address, an int that was made small. Neither a number nor most ints
 * have an end to be seen to, which is most of the work of ending a node. */
typedef uintptr_t hw_cell;

typedef struct {
    PyObject_VAR_HEAD
    PyObject *share; /* of all its handles; borrowed: it gives notice (hw_node_let_go) */
    _Atomic Py_ssize_t weak_handles;
    uint32_t number; /* HW_SHARED_NONE: dead */
    bool free_standing;
    uint16_t numbers; /* of the cells, the first */
    hw_cell cells[1]; /* numbers, atoms, then weak fields: the instance of the node, which says itself whether it is alive */
} NodeObject;

extern PyTypeObject HwNode_Type, HwNodeKind_Type;

/* One graph in the process: nodes of all classes may refer to each other. Opened by the first node. */
extern hw_shared_nodes hw_nodes;
extern bool hw_nodes_opened;

/* Disposes of the dead. What it calls may free handles and so call it again: then there is more for the loop that runs
 * already, however deep the calls are nested. */
void hw_nodes_dispose(void);

/* Gives up a count. */
void hw_nodes_drop(uint32_t number);

/* The count of one more reference or share: 0, or -1 with OverflowError set. */
int hw_nodes_clone(uint32_t number);

/* 0, or -1 with HandleReleased set. */
int hw_node_require_alive(const NodeObject *node);

/* heapwright.owners.node.settle(class): what only its annotations can tell. 0 or -1. */
int hw_node_settle(PyObject *class);

/* ---- cells ---- */

#define HW_CELL_NUMBER_UNSET UINT64_C(0x7FF4DEAD10CC0001) /* a signalling NaN */

static inline hw_cell hw_cell_from_number(double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (bits == HW_CELL_NUMBER_UNSET) bits |= UINT64_C(1) << 51; /* the quiet NaN next to it */
    return bits ^ HW_CELL_NUMBER_UNSET;
}

static inline double hw_cell_number(hw_cell c) {
    uint64_t bits = c ^ HW_CELL_NUMBER_UNSET;
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static inline PyObject *hw_cell_object_in(hw_cell c) { return c & 1 ? NULL : (PyObject *)c; }

static inline void hw_cell_set(NodeObject *self, Py_ssize_t i, hw_cell value) { /* steals what is in it */
    hw_cell before = self->cells[i];
    self->cells[i] = value;
    Py_XDECREF(hw_cell_object_in(before));
}

static inline PyObject *hw_cell_object(hw_cell c) { /* a new reference; NULL without an error: no value yet */
    return c & 1 ? PyLong_FromSsize_t((Py_ssize_t)c >> 1) : Py_XNewRef((PyObject *)c);
}

static inline hw_cell hw_cell_from(PyObject *object) {
    if (PyLong_CheckExact(object)) {
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
        if (overflow == 0 && value >= INT64_MIN / 2 && value <= INT64_MAX / 2) return (hw_cell)value << 1 | 1;
    }
    return (hw_cell)Py_NewRef(object);
}

/* MemoryError or OSError; returns NULL. */
PyObject *hw_raise_errno(int error);

int hw_bind_node(PyObject *module);
int hw_bind_node_field(PyObject *module);
int hw_bind_node_graph(PyObject *module);

#endif
