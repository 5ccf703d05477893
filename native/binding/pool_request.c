/* What a pool that is a memory resource is asked for: size_bytes and alignment, as Python calls give them. */
#include "binding/pool_types.h"

int hw_pool_request(const char *function, PyObject *const *args, Py_ssize_t n, PyObject *names, PoolRequest *r) {
    PyObject *size = n > 0 ? args[0] : NULL, *alignment = n > 1 ? args[1] : NULL;
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i), **target = NULL;
        if (PyUnicode_CompareWithASCIIString(name, "alignment") == 0) target = &alignment;
        if (PyUnicode_CompareWithASCIIString(name, "size_bytes") == 0) target = &size;
        if (target == NULL || *target != NULL) n = 3; /* refused below */
        else *target = args[n + i];
    }
    if (n > 2 || size == NULL) {
        PyErr_Format(PyExc_TypeError, "%s() takes size_bytes and optionally alignment", function);
        return -1;
    }
    r->alignment = 16;
    if (alignment != NULL && hw_as_size(alignment, &r->alignment) < 0) return -1;
    if (r->alignment == 0 || (r->alignment & (r->alignment - 1)) != 0) {
        hw_raise("InvalidAlignment", "{s:K}", "alignment", (unsigned long long)r->alignment);
        return -1;
    }
    r->size_object = size;
    return hw_as_size(size, &r->size_bytes);
}
