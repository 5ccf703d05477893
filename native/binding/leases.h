/* leases.c: a block that is lent. The borrower (the kernel, another thread, a process, a device) may write to it at any time,
 * so that nobody else sees the bytes, and it is neither freed nor moved, before it comes back. One bit in the handle says
 * so; who the borrower is, heapwright.owners.lease knows. */
#ifndef HW_BINDING_LEASES_H
#define HW_BINDING_LEASES_H

#include "binding/binding.h"

/* The bit of a block's, a buffer's or an arena's block's handle; NULL: it is none of these. */
bool *hw_leased(PyObject *block);

/* Raises BlockLeased: `what` was not done to a block that is lent. Always returns NULL. */
PyObject *hw_raise_leased(PyObject *block, const void *address, Py_ssize_t size_bytes, Py_ssize_t exports, const char *what);

int hw_bind_leases(PyObject *module);

#endif
