/* What the supervisor of a run needs from the kernel: lineage and another process's memory. */
#include "binding/binding.h"

#include "os/lineage.h"
#include "os/peer.h"

static PyObject *raise_errno(int error) {
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *die_with_parent(PyObject *module, PyObject *argument) {
    int signal_number = (int)PyLong_AsLong(argument);
    if (signal_number == -1 && PyErr_Occurred()) return NULL;
    int error = hw_die_with_parent(signal_number);
    if (error != 0) return raise_errno(error);
    Py_RETURN_NONE;
}

static PyObject *leave_no_core(PyObject *module, PyObject *unused) {
    int error = hw_leave_no_core();
    if (error != 0) return raise_errno(error);
    Py_RETURN_NONE;
}

static PyObject *peer_read(PyObject *module, PyObject *arguments) {
    int pid;
    Py_buffer addresses;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "iy*n:peer_read", &pid, &addresses, &size)) return NULL;
    PyObject *into = NULL;
    Py_ssize_t count = addresses.len / (Py_ssize_t)sizeof(uint64_t);
    if (size <= 0 || count > PY_SSIZE_T_MAX / size) {
        PyErr_Format(PyExc_ValueError, "size_bytes is %zd; it must be positive, and the result must fit in memory", size);
    } else if ((into = PyBytes_FromStringAndSize(NULL, count * size)) != NULL) {
        int error;
        /* `into` is not visible to anybody else yet, and the buffer keeps `addresses` alive. */
        Py_BEGIN_ALLOW_THREADS
        error = hw_peer_read(pid, addresses.buf, (size_t)count, (size_t)size, (unsigned char *)PyBytes_AS_STRING(into));
        Py_END_ALLOW_THREADS
        if (error != 0) {
            Py_CLEAR(into);
            raise_errno(error);
        }
    }
    PyBuffer_Release(&addresses);
    return into;
}

static PyMethodDef METHODS[] = {
    {"die_with_parent", die_with_parent, METH_O,
     "die_with_parent(signal_number): have the kernel send it when the parent ends"},
    {"leave_no_core", leave_no_core, METH_NOARGS, "leave_no_core(): this process leaves no core dump"},
    {"peer_read", peer_read, METH_VARARGS,
     "peer_read(pid, addresses, size_bytes): size_bytes at each address (packed uint64) of another process, packed"},
    {NULL, NULL, 0, NULL},
};

int hw_bind_peer(PyObject *module) { return PyModule_AddFunctions(module, METHODS); }
