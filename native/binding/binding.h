/* The binding: the only room that sees Python.h. Thin: it converts arguments, takes and releases the GIL, keeps owners
 * alive and raises errors; every algorithm is in core/, every system call in os/. One hw_bind_* function per file adds
 * that file's names to the module; module.c lists them. */
#ifndef HW_BINDING_H
#define HW_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The error class heapwright.model.errors.<name> (borrowed for ever), or NULL with an exception set. */
PyObject *hw_error_class(const char *name);

int hw_bind_arenas(PyObject *module);
int hw_bind_peer(PyObject *module);

#endif
