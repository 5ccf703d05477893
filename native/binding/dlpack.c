/* __dlpack__ and __dlpack_device__ of whatever exports its bytes: a tensor of one dimension of uint8 in host memory, which
 * keeps an export of the block until the consumer calls its deleter. The layout is that of DLPack 1.0, and of the capsules
 * without a version before it; https://dmlc.github.io/dlpack/latest/ and the Python array API standard say what means what. */
#include "binding/binding.h"

#include <stdbool.h>
#include <string.h>

enum { LONG_COPY_BYTES = 64 << 10, CPU = 1, UNSIGNED = 1, READ_ONLY = 1, IS_COPIED = 2 };

static const char VERSIONED[] = "dltensor_versioned", LEGACY[] = "dltensor"; /* a consumer renames the capsule */

typedef struct {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t dimensions;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } element;
    int64_t *shape, *strides;
    uint64_t offset_bytes;
} tensor;

typedef struct legacy {
    tensor tensor;
    void *context;
    void (*deleter)(struct legacy *);
} legacy;

typedef struct versioned {
    struct {
        uint32_t major, minor;
    } version;
    void *context;
    void (*deleter)(struct versioned *);
    uint64_t flags;
    tensor tensor;
} versioned;

_Static_assert(sizeof(tensor) == 48 && sizeof(legacy) == 64 && sizeof(versioned) == 80, "as other libraries have them");

typedef struct {
    union {
        legacy legacy;
        versioned versioned;
    } managed; /* first: its address is all that the consumer has */
    Py_buffer bytes;
    int64_t shape, stride;
} lent;

/* Called by the consumer, on any thread, with or without the GIL. */
static void give_back(void *managed) {
    lent *self = managed;
    if (!Py_IsInitialized()) return; /* a library that ends after the interpreter: there is nothing to give back to */
    PyGILState_STATE state = PyGILState_Ensure();
    PyBuffer_Release(&self->bytes);
    PyMem_Free(self);
    PyGILState_Release(state);
}

static void give_back_legacy(legacy *managed) { give_back(managed); }
static void give_back_versioned(versioned *managed) { give_back(managed); }

static void capsule_unused(PyObject *capsule) {
    if (PyCapsule_IsValid(capsule, VERSIONED)) give_back(PyCapsule_GetPointer(capsule, VERSIONED));
    else if (PyCapsule_IsValid(capsule, LEGACY)) give_back(PyCapsule_GetPointer(capsule, LEGACY));
}

/* `bytes` exported from a copy instead of the block. 0, or -1 with the error set and nothing exported. */
static int copy_instead(Py_buffer *bytes) {
    PyObject *copy = PyByteArray_FromStringAndSize(NULL, bytes->len);
    if (copy != NULL) {
        PyThreadState *thread = bytes->len >= LONG_COPY_BYTES ? PyEval_SaveThread() : NULL;
        memcpy(PyByteArray_AS_STRING(copy), bytes->buf, (size_t)bytes->len); /* the export pins one, nobody knows the other */
        if (thread != NULL) PyEval_RestoreThread(thread);
    }
    PyBuffer_Release(bytes);
    int result = copy == NULL ? -1 : PyObject_GetBuffer(copy, bytes, PyBUF_WRITABLE);
    Py_XDECREF(copy);
    return result;
}

/* A capsule that has the export; NULL with the error set, and then the caller still has it. */
static PyObject *capsule_of(const Py_buffer *bytes, bool with_version, bool is_copied) {
    lent *self = PyMem_Calloc(1, sizeof *self);
    if (self == NULL) return PyErr_NoMemory();
    self->bytes = *bytes; /* filled in by PyBuffer_FillInfo or bytearray: nothing in it points into it but shape, not used */
    self->shape = bytes->len;
    self->stride = 1;
    tensor as_tensor = {.data = bytes->buf, .device.type = CPU, .dimensions = 1, .element = {UNSIGNED, 8, 1},
                        .shape = &self->shape, .strides = &self->stride};
    if (with_version)
        self->managed.versioned = (versioned){.version = {1, 0}, .deleter = give_back_versioned, .tensor = as_tensor,
                                              .flags = (bytes->readonly ? READ_ONLY : 0) | (is_copied ? IS_COPIED : 0)};
    else self->managed.legacy = (legacy){.deleter = give_back_legacy, .tensor = as_tensor};
    PyObject *capsule = PyCapsule_New(self, with_version ? VERSIONED : LEGACY, capsule_unused);
    if (capsule == NULL) PyMem_Free(self);
    return capsule;
}

static int require_host(PyObject *device, PyObject *stream) {
    int type = CPU, id = 0;
    if (device != Py_None && (!PyTuple_Check(device) || !PyArg_ParseTuple(device, "ii;dl_device is (type, id)", &type, &id))) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "dl_device is a tuple (type, id), or None");
        return -1;
    }
    if (type == CPU && id == 0 && stream == Py_None) return 0;
    PyErr_SetString(PyExc_BufferError, "the block is in host memory, which has no streams: ask for dl_device=(1, 0) and "
                                       "stream=None, and copy to the device from there");
    return -1;
}

static int major_version(PyObject *version) {
    int major = 0, minor;
    if (version == Py_None) return 0;
    if (PyTuple_Check(version)) return PyArg_ParseTuple(version, "ii;max_version is (major, minor)", &major, &minor) ? major : -1;
    PyErr_SetString(PyExc_TypeError, "max_version is a tuple (major, minor), or None");
    return -1;
}

const char HW_DLPACK_DOC[] =
    "__dlpack__($self, /, *, stream=None, max_version=None, dl_device=None, copy=None)\n--\n\n"
    "Return the bytes as a DLPack tensor of one dimension of uint8: no copy, unless one is asked for.\n\n"
    "Raises\n------\nBlockFreed, PermissionDenied\n    As by view.\nBufferError\n    Another device is asked for; or the bytes "
    "are read-only, and the consumer knows no version of DLPack that can say so.";
const char HW_DLPACK_DEVICE_DOC[] = "__dlpack_device__($self, /)\n--\n\nReturn (1, 0): host memory.";

PyObject *hw_dlpack(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"stream", "max_version", "dl_device", "copy", NULL};
    PyObject *stream = Py_None, *version = Py_None, *device = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO:__dlpack__", names, &stream, &version, &device, &copy)) return NULL;
    int major = major_version(version), copies = PyObject_IsTrue(copy); /* None: not unless there is no other way */
    Py_buffer bytes;
    if (major < 0 || copies < 0 || require_host(device, stream) < 0) return NULL;
    if (PyObject_GetBuffer(self, &bytes, PyBUF_SIMPLE) < 0 || (copies && copy_instead(&bytes) < 0)) return NULL;
    PyObject *capsule = NULL;
    if (bytes.readonly && major < 1)
        PyErr_SetString(PyExc_BufferError, "the block is read-only, and this consumer's version of DLPack cannot say so: pass a "
                                           "copy (copy=True), or use a consumer of DLPack 1.0 or later");
    else capsule = capsule_of(&bytes, major >= 1, copies);
    if (capsule == NULL) PyBuffer_Release(&bytes);
    return capsule;
}

PyObject *hw_dlpack_device(PyObject *self, PyObject *unused) { return Py_BuildValue("(ii)", CPU, 0); }
