/* What the binding asks of heapwright.model: errors with their figures, sizes as people type them, members of enums. */
#include "binding/heap_types.h"
#include "binding/leases.h"

PyObject *hw_raise(const char *name, const char *format, ...) {
    PyObject *class = hw_error_class(name), *none = PyTuple_New(0), *fields = NULL;
    va_list list;
    va_start(list, format);
    if (class != NULL && none != NULL) fields = Py_VaBuildValue(format, list);
    va_end(list);
    PyObject *error = fields ? PyObject_Call(class, none, fields) : NULL;
    if (error != NULL) PyErr_SetObject(class, error);
    Py_XDECREF(error);
    Py_XDECREF(fields);
    Py_XDECREF(none);
    return NULL;
}

PyObject *hw_site_of(PyObject *block) {
    PyObject *witnesses = block ? PyImport_ImportModule("heapwright.model.witnesses") : NULL;
    PyObject *site = witnesses ? PyObject_CallMethod(witnesses, "site_of", "O", block) : NULL;
    Py_XDECREF(witnesses);
    if (site == NULL) PyErr_Clear(); /* whoever should have known: what is wrong has to be told without it */
    return site ? site : Py_NewRef(Py_None);
}

PyObject *hw_raise_exported(PyObject *block, const void *address, Py_ssize_t size_bytes, Py_ssize_t exports, bool pinned,
                            const char *what) {
    if (block != NULL && *hw_leased(block)) return hw_raise_leased(block, address, size_bytes, exports, what);
    return hw_raise("ViewExported", "{s:K,s:n,s:n,s:O,s:s,s:N}", "address", (unsigned long long)(uintptr_t)address,
                    "size_bytes", size_bytes, "exports", exports, "pinned", pinned ? Py_True : Py_False, "what", what, "site",
                    hw_site_of(block));
}

PyObject *hw_model_member(const char *module, const char *class, PyObject *value) {
    if (value == NULL) return NULL;
    PyObject *home = PyImport_ImportModule(module), *member = NULL;
    PyObject *enumeration = home ? PyObject_GetAttrString(home, class) : NULL;
    if (enumeration != NULL) member = PyObject_CallOneArg(enumeration, value);
    Py_XDECREF(enumeration);
    Py_XDECREF(home);
    Py_DECREF(value);
    return member;
}

/* Anything but a small whole number: the model's parse_size says what it means, or raises. A new reference. */
PyObject *hw_model_size(PyObject *object) {
    PyObject *sizes = PyImport_ImportModule("heapwright.model.sizes");
    PyObject *size = sizes ? PyObject_CallMethod(sizes, "parse_size", "O", object) : NULL;
    Py_XDECREF(sizes);
    return size;
}

int hw_as_size(PyObject *object, uint64_t *size_bytes) {
    if (PyLong_CheckExact(object)) {
        Py_ssize_t small = PyLong_AsSsize_t(object);
        if (small >= 0) {
            *size_bytes = (uint64_t)small;
            return 0;
        }
        PyErr_Clear();
    }
    PyObject *size = hw_model_size(object);
    if (size == NULL) return -1;
    *size_bytes = PyLong_AsUnsignedLongLong(size);
    Py_DECREF(size);
    PyErr_Clear(); /* too large for 64 bits: the value then is UINT64_MAX, and no heap has that much */
    return 0;
}
