/* What the files about shared values know of each other: share.c (the share), shared.c (handles), weak.c (weak handles).
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
#ifndef HW_BINDING_SHARE_TYPES_H
#define HW_BINDING_SHARE_TYPES_H

#include "binding/owners.h"

#include <stdatomic.h>
#include <stdbool.h>

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

extern PyTypeObject HwShare_Type;

/* Of nothing yet. What is put into it later needs no memory for that, so no value is lost with its deleter not run. */
ShareObject *hw_share_new(void);

/* Runs the deleter, the first time: 0, or -1 with what it raised. */
int hw_share_dispose(ShareObject *share);

/* Its value is about to be another's: from here on no other thread takes it, and no weak handle gives a handle. Or: nothing
 * came of it, as before. */
void hw_share_take(ShareObject *share);
void hw_share_untake(ShareObject *share);

/* Lets go of value and deleter. */
int hw_share_clear(ShareObject *share);

/* shared.c. A new handle; steals the reference, NULL passes through. */
PyObject *hw_handle_of_share(ShareObject *share);

/* weak.c. A new weak handle of what a reference is about: a node, or a weak reference to the share. Steals the reference;
 * NULL passes through. */
PyObject *hw_weak_new(PyObject *reference, ShareObject *share);

/* Where the weak handles of what `reference` is about are counted, or NULL when that is gone. */
_Atomic Py_ssize_t *hw_weak_handles_of(PyObject *reference, ShareObject *share);

int hw_bind_share(PyObject *module);
int hw_bind_shared(PyObject *module);
int hw_bind_weak(PyObject *module);

#endif
