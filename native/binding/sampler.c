/* _native.sampler_*: starting and stopping the sampler, the layout of its file, and the calls of an allocator for
 * tests, which book blocks that need not exist. */
#include "binding/binding.h"

#include <errno.h>
#include <pthread.h>

#include "binding/frames.h"

static PyObject *sampler_start(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"session_dir", "mean_bytes", "seed", NULL};
    PyObject *directory;
    long long mean_bytes;
    unsigned long long seed = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&L|K:sampler_start", names, PyUnicode_FSConverter, &directory,
                                     &mean_bytes, &seed))
        return NULL;
    int error = EINVAL;
    const char *path = PyBytes_AS_STRING(directory);
    if (mean_bytes < 0)
        PyErr_Format(PyExc_ValueError,
                     "mean_bytes is %lld; give the mean number of bytes between samples, or 0 for every allocation",
                     mean_bytes);
    else if (path[0] != '/')
        PyErr_Format(PyExc_ValueError,
                     "session_dir is '%s'; give an absolute path, for a forked child may be elsewhere by then", path);
    else if ((error = hw_sampler_start(path, (uint64_t)mean_bytes, seed, &hw_frames_walker)) == EALREADY)
        PyErr_SetString(PyExc_RuntimeError, "the sampler is running already; call sampler_stop() first");
    else if (error != 0) {
        errno = error;
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
    }
    Py_DECREF(directory);
    if (error != 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *sampler_stop(PyObject *module, PyObject *unused) {
    hw_sampler_stop();
    Py_RETURN_NONE;
}

/* --------------------------------------------------------------- for tests */

typedef struct {
    void *address;
    size_t size_bytes;
} booking;

static bool parse_booking(PyObject *args, booking *block) {
    unsigned long long address, size_bytes;
    if (!PyArg_ParseTuple(args, "KK", &address, &size_bytes)) return false;
    *block = (booking){(void *)(uintptr_t)address, (size_t)size_bytes};
    return true;
}

static PyObject *sampler_allocated(PyObject *module, PyObject *args) {
    booking block;
    if (!parse_booking(args, &block)) return NULL;
    hw_sampler_allocated(block.address, block.size_bytes);
    Py_RETURN_NONE;
}

static PyObject *sampler_freed(PyObject *module, PyObject *args) {
    unsigned long long address;
    if (!PyArg_ParseTuple(args, "K", &address)) return NULL;
    hw_sampler_freed((void *)(uintptr_t)address);
    Py_RETURN_NONE;
}

/* The same, from this thread while it does not hold the GIL. */
static PyObject *sampler_allocated_without_gil(PyObject *module, PyObject *args) {
    booking block;
    if (!parse_booking(args, &block)) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    hw_sampler_allocated(block.address, block.size_bytes);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

static void *allocate_on_thread(void *block) {
    hw_sampler_allocated(((booking *)block)->address, ((booking *)block)->size_bytes);
    return NULL;
}

/* The same, from a thread that Python does not know, while this one holds the GIL. */
static PyObject *sampler_allocated_on_native_thread(PyObject *module, PyObject *args) {
    booking block;
    pthread_t thread;
    if (!parse_booking(args, &block)) return NULL;
    int error = pthread_create(&thread, NULL, allocate_on_thread, &block);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    pthread_join(thread, NULL); /* with the GIL: the point of the test; the thread does not ask for it */
    Py_RETURN_NONE;
}

/* `count` pairs of allocated and freed, at addresses of their own, without the interpreter in between and without the
 * GIL if so told: what the sampler itself costs, and contention on its lock. */
static PyObject *sampler_exercise(PyObject *module, PyObject *args) {
    unsigned long long first, size_bytes, count;
    int without_gil = 0;
    if (!PyArg_ParseTuple(args, "KKK|p", &first, &size_bytes, &count, &without_gil)) return NULL;
    PyThreadState *thread = without_gil ? PyEval_SaveThread() : NULL;
    for (unsigned long long i = 0; i < count; i++) {
        void *address = (void *)(uintptr_t)(first + 64 * (i % 1024));
        hw_sampler_allocated(address, (size_t)size_bytes);
        hw_sampler_freed(address);
    }
    if (thread != NULL) PyEval_RestoreThread(thread);
    Py_RETURN_NONE;
}

static PyMethodDef METHODS[] = {
    {"sampler_start", (PyCFunction)(void (*)(void))sampler_start, METH_VARARGS | METH_KEYWORDS, NULL},
    {"sampler_stop", sampler_stop, METH_NOARGS, NULL},
    {"sampler_allocated", sampler_allocated, METH_VARARGS, NULL},
    {"sampler_freed", sampler_freed, METH_VARARGS, NULL},
    {"sampler_allocated_without_gil", sampler_allocated_without_gil, METH_VARARGS, NULL},
    {"sampler_allocated_on_native_thread", sampler_allocated_on_native_thread, METH_VARARGS, NULL},
    {"sampler_exercise", sampler_exercise, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* The names of an X list, as a tuple of str. */
static int add_names(PyObject *module, const char *name, const char *const *names, Py_ssize_t count) {
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
        PyObject *text = PyUnicode_FromString(names[i]);
        if (text == NULL) Py_CLEAR(tuple);
        else PyTuple_SET_ITEM(tuple, i, text);
    }
    int result = tuple == NULL ? -1 : PyModule_AddObjectRef(module, name, tuple);
    Py_XDECREF(tuple);
    return result;
}

int hw_bind_sampler(PyObject *module) {
#define HW_NAME(name) #name,
    static const char *const FIELDS[] = {HW_SITES_FIELDS(HW_NAME)};
    static const char *const STACK_FIELDS[] = {HW_SITES_STACK_FIELDS(HW_NAME)};
#undef HW_NAME
    if (PyModule_AddFunctions(module, METHODS) < 0) return -1;
    if (add_names(module, "SITES_FIELDS", FIELDS, sizeof FIELDS / sizeof *FIELDS) < 0) return -1;
    if (add_names(module, "SITES_STACK_FIELDS", STACK_FIELDS, sizeof STACK_FIELDS / sizeof *STACK_FIELDS) < 0) return -1;
    if (PyModule_AddIntConstant(module, "SITES_VERSION", HW_SITES_VERSION) < 0) return -1;
    return PyModule_AddIntConstant(module, "SAMPLER_SEES_FRAMES", hw_frames_visible);
}
