/* The process allocator for Python: what it holds, and what it counts. Where it hooks in: numpy_hook.c. */
#include "binding/binding.h"

#include "os/pages.h"
#include "os/process_figures.h"
#include "process/pooled.h"
#include "process/record.h"
#include "process/retention.h"

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
    const hw_record *record = hw_process_record;
    return Py_BuildValue(
        "{sKsKsKsKsnsKsKsKsKsKsKsKsK}", "requested_bytes", (unsigned long long)f.requested_bytes, "allocated_bytes",
        (unsigned long long)f.allocated_bytes, "committed_bytes", (unsigned long long)f.committed_bytes, "reserved_bytes",
        (unsigned long long)f.committed_bytes, "resident_bytes", (Py_ssize_t)resident, "retained_bytes",
        (unsigned long long)f.retained_bytes, "free_bytes", (unsigned long long)f.free_bytes, "largest_free_bytes",
        (unsigned long long)f.longest_free_bytes, "block_count", (unsigned long long)f.blocks, "peak_requested_bytes",
        (unsigned long long)record->peak_requested_bytes, "peak_retained_bytes",
        (unsigned long long)record->peak_retained_bytes, "spilled_bytes", (unsigned long long)record->spilled_bytes,
        "failed_count", (unsigned long long)record->failed_blocks);
}

/* ---- the record ---- */

PyDoc_STRVAR(process_start_doc,
             "process_start(directory, allocator, huge_pages=\"auto\", /)\n--\n\n"
             "Keep this process's record in <directory>/<pid>.record, and its forked children's beside it. `allocator`,\n"
             "\"system\" or \"pooled\", is what NumPy will get.");

static PyObject *process_start(PyObject *module, PyObject *args) {
    PyObject *directory;
    const char *allocator, *huge_pages = "auto";
    if (!PyArg_ParseTuple(args, "O&s|s:process_start", PyUnicode_FSConverter, &directory, &allocator, &huge_pages))
        return NULL;
    hw_pooled_use_huge_pages(strcmp(huge_pages, "always") == 0  ? HW_HUGE_ALWAYS
                             : strcmp(huge_pages, "never") == 0 ? HW_HUGE_NEVER
                                                                : HW_HUGE_AUTO);
    hw_process_record->allocator = strcmp(allocator, "pooled") == 0;
    int error = hw_record_open(PyBytes_AS_STRING(directory));
    if (error != 0) {
        errno = error;
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, PyBytes_AS_STRING(directory));
    }
    Py_DECREF(directory);
    if (error != 0) return NULL;
    hw_record_tick();
    hw_follow_forks();
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

static PyMethodDef METHODS[] = {
    {"pooled_owns", pooled_owns, METH_O, pooled_owns_doc},
    {"pooled_free_for_tests", pooled_free_for_tests, METH_O, "Free a block behind its owner's back, as faulty code would."},
    {"pooled_trim", pooled_trim, METH_O, pooled_trim_doc},
    {"pooled_check", pooled_check, METH_NOARGS, pooled_check_doc},
    {"pooled_statistics", pooled_statistics, METH_NOARGS, pooled_statistics_doc},
    {"process_start", process_start, METH_VARARGS, process_start_doc},
    {"process_finish", process_finish, METH_NOARGS, process_finish_doc},
    {"process_record", process_record, METH_NOARGS, process_record_doc},
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
    if (PyModule_AddIntConstant(module, "RECORD_HEAPS", HW_RECORD_HEAPS) < 0) return -1;
    return PyModule_AddIntConstant(module, "RECORD_SIZE_CLASSES", HW_RECORD_SIZE_CLASSES);
}
