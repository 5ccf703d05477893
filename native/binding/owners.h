/* What the files about shared values and those about nodes know of each other: a share may hold a node, and then the node's graph counts with it. */
#ifndef HW_BINDING_OWNERS_H
#define HW_BINDING_OWNERS_H

#include "binding/binding.h"

#include <stdatomic.h>
#include <stdbool.h>

/* node.c. An instance of a class made by @node; its class, and so this question, is fixed when it is made. */
bool hw_is_node(PyObject *object);

/* Its node in the graph gets the count that a new share stands for: 0, or -1 with HandleReleased set. */
int hw_node_hold(PyObject *node, PyObject *share);

/* The share gives that count back: the node may die of it. */
void hw_node_let_go(PyObject *node);

/* The share that stands for the handles of a node, borrowed, or NULL: none has a handle now. */
PyObject *hw_node_share(PyObject *node);

bool hw_node_is_alive(PyObject *node);

/* References to it from other nodes. */
Py_ssize_t hw_node_references(PyObject *node);

/* How many weak handles know of it; changed by them. */
_Atomic Py_ssize_t *hw_node_weak_handles(PyObject *node);

/* shared.c. A new handle of a node; NULL with HandleReleased set if the node is dead. */
PyObject *hw_handle_of_node(PyObject *node);

/* The node that a Shared, or in weak.c a Weak, is about, borrowed; NULL without an error if it is none of these, closed, or
 * about something else. */
PyObject *hw_node_of_shared(PyObject *handle);
PyObject *hw_node_of_weak(PyObject *handle);

/* weak.c. A new Weak about a node. */
PyObject *hw_weak_of_node(PyObject *node);

PyObject *hw_raise_released(const char *what);

#endif
