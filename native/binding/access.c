/* read and write: copies in and out of whatever exports its bytes (a block, a pool's buffer, an arena's block), with life,
 * permission and bounds checked at each call. The export says whether there are bytes and may be had, and pins them. */
#include "binding/binding.h"

#include <stdbool.h>
#include <string.h>

enum { LONG_COPY_BYTES = 64 << 10 };

const char HW_READ_DOC[] =
    "read($self, offset_bytes, size_bytes, /)\n--\n\n"
    "Return a copy of these bytes. Bounds and permission are checked; offsets do not count from the end.\n\n"
    "Raises\n------\nOutOfBounds\n    Part of the range lies outside.\nBlockFreed, PermissionDenied\n    As by view.";
const char HW_WRITE_DOC[] =
    "write($self, offset_bytes, data, /)\n--\n\n"
    "Copy any contiguous buffer to this offset, or nothing of it. Bounds and permission are checked.\n\n"
    "Raises\n------\nOutOfBounds\n    Part of the range lies outside.\nBlockFreed, PermissionDenied\n"
    "    The block was freed; it may not be written.";

/* What is beyond Py_ssize_t is clipped to it: out of any block's bounds all the same. */
static int as_index(PyObject *object, Py_ssize_t *index) {
    *index = PyNumber_AsSsize_t(object, NULL);
    return *index == -1 && PyErr_Occurred() ? -1 : 0;
}

static bool require_inside(const Py_buffer *bytes, const char *access, Py_ssize_t offset, Py_ssize_t size) {
    if (offset >= 0 && size >= 0 && size <= bytes->len && offset <= bytes->len - size) return true;
    hw_raise("OutOfBounds", "{s:s,s:n,s:n,s:n}", "access", access, "offset_bytes", offset, "size_bytes", size, "block_bytes",
             bytes->len);
    return false;
}

static bool require_writable(PyObject *self, const Py_buffer *bytes) {
    if (!bytes->readonly) return true;
    PyObject *permissions = PyObject_GetAttrString(self, "permissions");
    PyObject *letters = permissions ? PyObject_GetAttrString(permissions, "letters") : NULL;
    if (letters != NULL) hw_raise("PermissionDenied", "{s:s,s:O}", "wanted", "W", "permissions", letters);
    Py_XDECREF(letters);
    Py_XDECREF(permissions);
    return false;
}

/* A large copy lets go of the GIL: the exports on both sides keep the bytes where they are. */
static void copy(char *to, const char *from, Py_ssize_t size) {
    if (size < LONG_COPY_BYTES) {
        memmove(to, from, (size_t)size); /* who writes may do so from a view of the same block */
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    memmove(to, from, (size_t)size);
    Py_END_ALLOW_THREADS
}

PyObject *hw_read_checked(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    Py_ssize_t offset, size;
    Py_buffer bytes;
    PyObject *result = NULL;
    if (n != 2) return PyErr_SetString(PyExc_TypeError, "read() takes offset_bytes and size_bytes"), NULL;
    if (as_index(args[0], &offset) < 0 || as_index(args[1], &size) < 0) return NULL;
    if (PyObject_GetBuffer(self, &bytes, PyBUF_SIMPLE) < 0) return NULL;
    if (require_inside(&bytes, "read", offset, size)) result = PyBytes_FromStringAndSize(NULL, size);
    if (result != NULL) copy(PyBytes_AS_STRING(result), (char *)bytes.buf + offset, size);
    PyBuffer_Release(&bytes);
    return result;
}

PyObject *hw_write_checked(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    Py_ssize_t offset;
    Py_buffer bytes, data;
    PyObject *result = NULL;
    if (n != 2) return PyErr_SetString(PyExc_TypeError, "write() takes offset_bytes and data"), NULL;
    if (as_index(args[0], &offset) < 0 || PyObject_GetBuffer(args[1], &data, PyBUF_SIMPLE) < 0) return NULL;
    if (PyObject_GetBuffer(self, &bytes, PyBUF_SIMPLE) == 0) { /* second: exporting the data may run Python code */
        if (require_writable(self, &bytes) && require_inside(&bytes, "write", offset, data.len)) {
            copy((char *)bytes.buf + offset, data.buf, data.len);
            result = Py_NewRef(Py_None);
        }
        PyBuffer_Release(&bytes);
    }
    PyBuffer_Release(&data);
    return result;
}
