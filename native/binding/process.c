/* The process allocator for Python: where it hooks in, and what it counts. No algorithm: process/ has them. */
#include "binding/binding.h"

#include "os/pages.h"
#include "os/process_figures.h"
#include "process/hook.h"
#include "process/pooled.h"
#include "process/record.h"
#include "process/retention.h"

/* ---- NumPy's default handler ---- */

/* NumPy's PyDataMem_Handler (NEP 49), of which the version 1 layout is fixed. */
typedef struct {
    char name[127];
    uint8_t version;
    hw_array_functions allocator;
} numpy_handler;

#define NUMPY_DEFAULT_HANDLER 306 /* index of PyDataMem_DefaultHandler in NumPy's C API table */

enum { HOOK_NONE, HOOK_ARRAY, HOOK_RAW };
static int hooked = HOOK_NONE;
static numpy_handler *default_handler; /* a static object of NumPy's, alive for as long as the process */

/* The structure of NumPy's default handler, through the C API table that NumPy exports for this. */
static numpy_handler *find_default_handler(PyObject *multiarray) {
    PyObject *capsule = PyObject_GetAttrString(multiarray, "_ARRAY_API");
    if (capsule == NULL) return NULL;
    void **api = PyCapsule_GetPointer(capsule, NULL);
    Py_DECREF(capsule);
    if (api == NULL) return NULL;
    PyObject *handler = *(PyObject **)api[NUMPY_DEFAULT_HANDLER];
    numpy_handler *found = PyCapsule_GetPointer(handler, "mem_handler");
    if (found != NULL && found->version != 1) {
        PyErr_Format(PyExc_RuntimeError,
                     "NumPy's memory handler has version %d; this heapwright knows version 1 (NumPy 1.22 and later). "
                     "Update heapwright, or run with --allocator system", found->version);
        return NULL;
    }
    return found;
}

/* CPython's debug hooks put a header of 16 bytes in front of each block: the domain's letter and 7 bytes 0xFD. */
static bool raw_domain_has_debug_hooks(void) {
    unsigned char *block = PyMem_RawMalloc(64);
    if (block == NULL) return false;
    bool debug = block[-8] == 'r';
    for (int i = 1; i < 8; i++) debug = debug && block[-i] == 0xFD;
    PyMem_RawFree(block);
    return debug;
}

static bool raw_hook_is_on_top(void) {
    PyMemAllocatorEx current;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &current);
    return current.malloc == hw_raw_hook.malloc;
}

static void put_raw_functions(const hw_raw_functions *functions) {
    PyMemAllocatorEx allocator = {functions->ctx, functions->malloc, functions->calloc, functions->realloc, functions->free};
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &allocator);
}

PyDoc_STRVAR(numpy_install_doc,
             "numpy_install(multiarray, mode, raw, /)\n--\n\n"
             "Hook in under NumPy: in the raw domain, or in the structure of NumPy's default handler.\n\n"
             "mode 1 counts and forwards, 2 serves from the pool. Again: only the mode changes.");

static PyObject *numpy_install(PyObject *module, PyObject *args) {
    PyObject *multiarray;
    int mode, raw;
    if (!PyArg_ParseTuple(args, "Oip:numpy_install", &multiarray, &mode, &raw)) return NULL;
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "heapwright manages the memory of the whole process and can only be installed from its main "
                        "interpreter; this is a subinterpreter. Install it before the subinterpreter starts");
        return NULL;
    }
    if (mode == HW_MODE_POOLED) {
        int error = hw_pooled_start();
        if (error != 0) {
            errno = error;
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        hw_retention_adopt_libc();
    }
    if (hooked == HOOK_NONE) {
        hw_hook_knows_sizes = !raw_domain_has_debug_hooks();
        if (raw) {
            PyMemAllocatorEx current;
            PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &current);
            hw_raw_original =
                (hw_raw_functions){current.ctx, current.malloc, current.calloc, current.realloc, current.free};
            put_raw_functions(&hw_raw_hook);
            hooked = HOOK_RAW;
        } else {
            default_handler = find_default_handler(multiarray);
            if (default_handler == NULL) return NULL;
            hw_array_original = default_handler->allocator;
            default_handler->allocator = hw_array_hook;
            hooked = HOOK_ARRAY;
        }
    }
    hw_hook_mode = mode;
    hw_process_record->hook = hooked;
    hw_process_record->allocator = mode == HW_MODE_POOLED;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(numpy_uninstall_doc,
             "numpy_uninstall()\n--\n\n"
             "Serve no further request. Returns whether the hook is out altogether: it stays in, forwarding, while blocks\n"
             "of ours live, and where somebody else has put a hook on top of it.");

static PyObject *numpy_uninstall(PyObject *module, PyObject *unused) {
    hw_hook_mode = HW_MODE_OFF;
    if (hw_process_record->heap_blocks == 0) {
        if (hooked == HOOK_RAW && raw_hook_is_on_top()) {
            put_raw_functions(&hw_raw_original);
            hooked = HOOK_NONE;
        } else if (hooked == HOOK_ARRAY && default_handler->allocator.malloc == hw_array_hook.malloc) {
            default_handler->allocator = hw_array_original;
            hooked = HOOK_NONE;
        }
    }
    hw_process_record->hook = hooked;
    return PyBool_FromLong(hooked == HOOK_NONE);
}

PyDoc_STRVAR(numpy_installed_doc, "numpy_installed()\n--\n\n(mode, hook): 0 off, 1 system, 2 pooled; 0 none, 1 array, 2 raw.");

static PyObject *numpy_installed(PyObject *module, PyObject *unused) { return Py_BuildValue("ii", hw_hook_mode, hooked); }

/* ---- the pooled allocator ---- */

PyDoc_STRVAR(pooled_owns_doc, "pooled_owns(address, /)\n--\n\nWhether the address lies in the pooled allocator's memory.");

static PyObject *pooled_owns(PyObject *module, PyObject *argument) {
    void *address = PyLong_AsVoidPtr(argument);
    if (address == NULL && PyErr_Occurred()) return NULL;
    return PyBool_FromLong(hw_pooled_owns(address));
}

static PyObject *pooled_free_for_tests(PyObject *module, PyObject *argument) {
    void *address = PyLong_AsVoidPtr(argument);
    if (address == NULL && PyErr_Occurred()) return NULL;
    hw_pooled_free(address);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(pooled_trim_doc, "pooled_trim(keep_bytes, /)\n--\n\nGive retained memory back; bytes given.");

static PyObject *pooled_trim(PyObject *module, PyObject *argument) {
    size_t keep_bytes = PyLong_AsSize_t(argument), given;
    if (keep_bytes == (size_t)-1 && PyErr_Occurred()) return NULL;
    Py_BEGIN_ALLOW_THREADS /* unmapping takes about a millisecond per GiB; the heap has a lock of its own */
    given = hw_pooled_trim(keep_bytes);
    Py_END_ALLOW_THREADS
    return PyLong_FromSize_t(given);
}

PyDoc_STRVAR(pooled_check_doc, "pooled_check()\n--\n\nNone, or (broken invariant, byte offset).");

static PyObject *pooled_check(PyObject *module, PyObject *unused) {
    uint64_t offset_bytes;
    const char *broken;
    Py_BEGIN_ALLOW_THREADS /* walks the whole heap, under its own lock */
    broken = hw_pooled_check(&offset_bytes);
    Py_END_ALLOW_THREADS
    if (broken == NULL) Py_RETURN_NONE;
    return Py_BuildValue("sK", broken, (unsigned long long)offset_bytes);
}

PyDoc_STRVAR(pooled_statistics_doc, "pooled_statistics()\n--\n\nFigures of the pooled allocator, as a dict of bytes and counts.");

static PyObject *pooled_statistics(PyObject *module, PyObject *unused) {
    hw_pooled_figures f;
    size_t resident = 0;
    Py_BEGIN_ALLOW_THREADS /* mincore takes some 10 ms per 10 GiB */
    hw_pooled_read(&f);
    if (f.committed_bytes != 0) hw_pages_resident(hw_pooled_extent.base, f.committed_bytes, &resident);
    Py_END_ALLOW_THREADS
    return Py_BuildValue("{sKsKsKsKsKsKsKsn}", "requested_bytes", (unsigned long long)f.requested_bytes, "allocated_bytes",
                         (unsigned long long)f.allocated_bytes, "blocks", (unsigned long long)f.blocks, "committed_bytes",
                         (unsigned long long)f.committed_bytes, "retained_bytes", (unsigned long long)f.retained_bytes,
                         "longest_free_bytes", (unsigned long long)f.longest_free_bytes, "free_bytes",
                         (unsigned long long)f.free_bytes, "resident_bytes", (Py_ssize_t)resident);
}

/* ---- the record ---- */

PyDoc_STRVAR(process_start_doc,
             "process_start(directory, allocator, /)\n--\n\n"
             "Keep this process's record in <directory>/<pid>.record, and its forked children's beside it. `allocator`,\n"
             "\"system\" or \"pooled\", is what NumPy will get; with pooled the C library's heap is looked after as well.");

static PyObject *process_start(PyObject *module, PyObject *args) {
    PyObject *directory;
    const char *allocator;
    if (!PyArg_ParseTuple(args, "O&s:process_start", PyUnicode_FSConverter, &directory, &allocator)) return NULL;
    bool pooled = strcmp(allocator, "pooled") == 0;
    hw_process_record->allocator = pooled;
    int error = hw_record_open(PyBytes_AS_STRING(directory));
    if (error != 0) {
        errno = error;
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, PyBytes_AS_STRING(directory));
    }
    Py_DECREF(directory);
    if (error != 0) return NULL;
    if (pooled) hw_retention_adopt_libc();
    hw_keeper_start();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(process_finish_doc, "process_finish()\n--\n\nTake the last figures: the interpreter is leaving in order.");

static PyObject *process_finish(PyObject *module, PyObject *unused) {
    hw_retention_look_at_libc();
    hw_record_tick();
    hw_process_record->finished = 1;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(process_record_doc, "process_record()\n--\n\nThe record's bytes as they are now.");

static PyObject *process_record(PyObject *module, PyObject *unused) {
    return PyBytes_FromStringAndSize((const char *)hw_process_record, sizeof(hw_record));
}

PyDoc_STRVAR(process_keeper_doc, "process_keeper()\n--\n\nStart the keeper thread if it does not run, as after a fork.");

static PyObject *process_keeper(PyObject *module, PyObject *unused) {
    hw_keeper_start();
    Py_RETURN_NONE;
}

static PyMethodDef METHODS[] = {
    {"numpy_install", numpy_install, METH_VARARGS, numpy_install_doc},
    {"numpy_uninstall", numpy_uninstall, METH_NOARGS, numpy_uninstall_doc},
    {"numpy_installed", numpy_installed, METH_NOARGS, numpy_installed_doc},
    {"pooled_owns", pooled_owns, METH_O, pooled_owns_doc},
    {"pooled_free_for_tests", pooled_free_for_tests, METH_O, "Free a block behind its owner's back, as faulty code would."},
    {"pooled_trim", pooled_trim, METH_O, pooled_trim_doc},
    {"pooled_check", pooled_check, METH_NOARGS, pooled_check_doc},
    {"pooled_statistics", pooled_statistics, METH_NOARGS, pooled_statistics_doc},
    {"process_start", process_start, METH_VARARGS, process_start_doc},
    {"process_finish", process_finish, METH_NOARGS, process_finish_doc},
    {"process_record", process_record, METH_NOARGS, process_record_doc},
    {"process_keeper", process_keeper, METH_NOARGS, process_keeper_doc},
    {NULL, NULL, 0, NULL},
};

static const char *const RECORD_FIELDS[] = {
#define HW_NAME(name) #name,
    HW_RECORD_FIELDS(HW_NAME)
#undef HW_NAME
};

int hw_bind_process(PyObject *module) {
    if (PyModule_AddFunctions(module, METHODS) < 0) return -1;
    Py_ssize_t n = sizeof RECORD_FIELDS / sizeof *RECORD_FIELDS;
    PyObject *fields = PyTuple_New(n);
    if (fields == NULL) return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *name = PyUnicode_FromString(RECORD_FIELDS[i]);
        if (name == NULL) {
            Py_DECREF(fields);
            return -1;
        }
        PyTuple_SET_ITEM(fields, i, name);
    }
    int result = PyModule_AddObjectRef(module, "RECORD_FIELDS", fields);
    Py_DECREF(fields);
    if (result < 0) return -1;
    if (PyModule_AddIntConstant(module, "RECORD_MAGIC", (long)HW_RECORD_MAGIC) < 0) return -1;
    if (PyModule_AddIntConstant(module, "RECORD_VERSION", HW_RECORD_VERSION) < 0) return -1;
    return PyModule_AddIntConstant(module, "RECORD_SIZE_CLASSES", HW_RECORD_SIZE_CLASSES);
}
