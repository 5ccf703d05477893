/* The binding: the only room that sees Python.h. Thin: it converts arguments, takes and releases the GIL, keeps owners
 * alive and raises errors; every algorithm is in core/, every system call in os/. One hw_bind_* function per file adds
 * that file's names to the module; module.c lists them. */
#ifndef HW_BINDING_H
#define HW_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

/* The error class heapwright.model.errors.<name>, or heapwright.model.<name> where that has a dot (borrowed for ever), or NULL with
 * an exception set. */
PyObject *hw_error_class(const char *name);

/* Raises hw_error_class(name)(**fields), fields built as by Py_BuildValue("{s:..}"). Always returns NULL. */
PyObject *hw_raise(const char *name, const char *format, ...);

/* Raises ViewExported, or BlockLeased: `what` was not done to a block with views; NULL: to one that has no handle, or a space.
 * Always returns NULL. */
PyObject *hw_raise_exported(PyObject *block, const void *address, Py_ssize_t size_bytes, Py_ssize_t exports, bool pinned,
                            const char *what);

/* Where a block was allocated, if anybody recorded it; None: nobody. A new reference, with no error set. */
PyObject *hw_site_of(PyObject *block);

/* A member of an enumeration of the model: <module>.<class>(value); steals `value`. */
PyObject *hw_model_member(const char *module, const char *class, PyObject *value);

/* The model's parse_size(object): a new reference to an int, or NULL with the error set. */
PyObject *hw_model_size(PyObject *object);

/* A size as Python code may give it, through the model's parse_size where it is not a plain int; UINT64_MAX where it does
 * not fit. 0, or -1 with the error set. */
int hw_as_size(PyObject *object, uint64_t *size_bytes);

/* access.c: read(offset_bytes, size_bytes) and write(offset_bytes, data) of any type that exports its bytes. */
PyObject *hw_read_checked(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *hw_write_checked(PyObject *self, PyObject *const *args, Py_ssize_t n);
extern const char HW_READ_DOC[], HW_WRITE_DOC[];

/* dlpack.c: the same bytes as a tensor. */
PyObject *hw_dlpack(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *hw_dlpack_device(PyObject *self, PyObject *unused);
extern const char HW_DLPACK_DOC[], HW_DLPACK_DEVICE_DOC[];

#define HW_ACCESS_METHODS                                                                                              \
    {"read", (PyCFunction)(void (*)(void))hw_read_checked, METH_FASTCALL, HW_READ_DOC},                                \
        {"write", (PyCFunction)(void (*)(void))hw_write_checked, METH_FASTCALL, HW_WRITE_DOC},                         \
        {"__dlpack__", (PyCFunction)(void (*)(void))hw_dlpack, METH_VARARGS | METH_KEYWORDS, HW_DLPACK_DOC},           \
        {"__dlpack_device__", hw_dlpack_device, METH_NOARGS, HW_DLPACK_DEVICE_DOC}

int hw_bind_arenas(PyObject *module);
int hw_bind_peer(PyObject *module);

#endif
