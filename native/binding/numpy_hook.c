/* Where the process allocator and heaps hook in under NumPy. No algorithm: process/ has them.
 *
 * From the top, each only where it was asked for:
 *
 *      NumPy's default handler -> heap hook -> array hook (NumPy < 2.5) -> NumPy's own functions -> raw hook (NumPy >= 2.5)
 */
#include "binding/heap_types.h"

#include <stddef.h>

#include "process/array_heap.h"
#include "process/heap_hook.h"
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
static bool heap_hooked;
static numpy_handler *default_handler; /* a static object of NumPy's, alive for as long as the process; or not yet found */

/* Finds the structure of NumPy's default handler, through the C API table that NumPy exports for this. 0, or -1 with the
 * error set. */
static int find_default_handler(PyObject *multiarray) {
    if (default_handler != NULL) return 0;
    PyObject *capsule = PyObject_GetAttrString(multiarray, "_ARRAY_API");
    if (capsule == NULL) return -1;
    void **api = PyCapsule_GetPointer(capsule, NULL);
    Py_DECREF(capsule);
    if (api == NULL) return -1;
    PyObject *handler = *(PyObject **)api[NUMPY_DEFAULT_HANDLER];
    numpy_handler *found = PyCapsule_GetPointer(handler, "mem_handler");
    if (found == NULL) return -1;
    if (found->version != 1) {
        hw_raise("InstallRefused", "{s:s,s:i}", "reason", "handler", "handler_version", (int)found->version);
        return -1;
    }
    default_handler = found;
    return 0;
}

/* Where the array hook has its place. */
static hw_array_functions *below_heap_hook(void) { return heap_hooked ? &hw_heap_hook_below : &default_handler->allocator; }

static int require_main_interpreter(void) {
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) return 0;
    hw_raise("InstallRefused", "{s:s}", "reason", "subinterpreter");
    return -1;
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
    if (require_main_interpreter() < 0) return NULL;
    if (mode == HW_MODE_POOLED) {
        int error = hw_pooled_start();
        if (error != 0)
            return hw_raise("SystemCallFailed", "{s:s,s:i}", "call", "mapping the first memory of the pooled allocator", "errno",
                            error);
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
            if (find_default_handler(multiarray) < 0) return NULL;
            hw_array_original = *below_heap_hook();
            *below_heap_hook() = hw_array_hook;
            hooked = HOOK_ARRAY;
        }
    }
    hw_hook_mode = mode;
    hw_keeper_start();
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
    if (hw_pooled_retire()) {
        if (hooked == HOOK_RAW && raw_hook_is_on_top()) {
            put_raw_functions(&hw_raw_original);
            hooked = HOOK_NONE;
        } else if (hooked == HOOK_ARRAY && below_heap_hook()->malloc == hw_array_hook.malloc) {
            *below_heap_hook() = hw_array_original;
            hooked = HOOK_NONE;
        }
    }
    hw_process_record->hook = hooked;
    return PyBool_FromLong(hooked == HOOK_NONE);
}

PyDoc_STRVAR(numpy_installed_doc, "numpy_installed()\n--\n\n(mode, hook): 0 off, 1 system, 2 pooled; 0 none, 1 array, 2 raw.");

static PyObject *numpy_installed(PyObject *module, PyObject *unused) { return Py_BuildValue("ii", hw_hook_mode, hooked); }

/* ---- heaps ---- */

static HeapObject *owner(hw_array_heap *arrays) { return (HeapObject *)((char *)arrays - offsetof(HeapObject, arrays)); }

static void enter(hw_array_heap *arrays) { hw_heap_enter(owner(arrays)); }

static void left(hw_array_heap *arrays) { Py_DECREF(owner(arrays)); }

/* Makes the heap, or none, the one that serves: 0, or -1 with the error set. A known heap (A1) is kept by one reference. */
static int serve(HeapObject *heap) {
    bool newly;
    if (heap != NULL) {
        heap->arrays.heap = &heap->heap;
        heap->arrays.enter = enter;
        heap->arrays.left = left;
        Py_INCREF(heap); /* before the one that served is left: its end can run Python */
    }
    int error = hw_array_heap_serve(heap ? &heap->arrays : NULL, &newly);
    if (heap != NULL && !newly) Py_DECREF(heap); /* the caller holds another */
    if (error == 0) return 0;
    hw_raise("SystemCallFailed", "{s:s,s:i}", "call", "making room for the table of a heap's arrays", "errno", error);
    return -1;
}

PyDoc_STRVAR(numpy_serve_doc,
             "numpy_serve(multiarray, heap, falls_back, /)\n--\n\n"
             "Serve arrays from the heap, in front of whatever serves them now. None: from no heap any more.\n\n"
             "Returns whether the heap hook is out: it stays in, forwarding, while arrays live in heaps, and where somebody\n"
             "else has put a hook on top of it.");

static PyObject *numpy_serve(PyObject *module, PyObject *args) {
    PyObject *multiarray, *heap;
    int falls_back;
    if (!PyArg_ParseTuple(args, "OOp:numpy_serve", &multiarray, &heap, &falls_back)) return NULL;
    if (heap != Py_None) {
        if (!PyObject_TypeCheck(heap, &HwHeap_Type))
            return PyErr_Format(PyExc_TypeError, "expected a Heap, not %.100s", Py_TYPE(heap)->tp_name);
        if (require_main_interpreter() < 0 || find_default_handler(multiarray) < 0) return NULL;
    }
    if (serve(heap == Py_None ? NULL : (HeapObject *)heap) < 0) return NULL;
    hw_heap_hook_falls_back = falls_back;
    if (hw_array_heap_serving != NULL && !heap_hooked) {
        hw_heap_hook_below = default_handler->allocator;
        default_handler->allocator = hw_heap_hook;
        heap_hooked = true;
    } else if (hw_array_heap_known == NULL && heap_hooked && default_handler->allocator.malloc == hw_heap_hook.malloc) {
        default_handler->allocator = hw_heap_hook_below;
        heap_hooked = false;
    }
    return PyBool_FromLong(!heap_hooked);
}

PyDoc_STRVAR(numpy_serving_doc, "numpy_serving()\n--\n\n(heap or None, whether what it has no room for goes elsewhere).");

static PyObject *numpy_serving(PyObject *module, PyObject *unused) {
    PyObject *heap = hw_array_heap_serving ? (PyObject *)owner(hw_array_heap_serving) : Py_None;
    return Py_BuildValue("OO", heap, hw_heap_hook_falls_back ? Py_True : Py_False);
}

PyDoc_STRVAR(numpy_heap_of_doc, "numpy_heap_of(address, /)\n--\n\nThe heap under an array's data, or None.");

static PyObject *numpy_heap_of(PyObject *module, PyObject *argument) {
    void *address = PyLong_AsVoidPtr(argument);
    if (address == NULL && PyErr_Occurred()) return NULL;
    hw_array_heap *arrays = hw_array_heap_of(address);
    return Py_NewRef(arrays ? (PyObject *)owner(arrays) : Py_None);
}

static PyMethodDef METHODS[] = {
    {"numpy_install", numpy_install, METH_VARARGS, numpy_install_doc},
    {"numpy_uninstall", numpy_uninstall, METH_NOARGS, numpy_uninstall_doc},
    {"numpy_installed", numpy_installed, METH_NOARGS, numpy_installed_doc},
    {"numpy_serve", numpy_serve, METH_VARARGS, numpy_serve_doc},
    {"numpy_serving", numpy_serving, METH_NOARGS, numpy_serving_doc},
    {"numpy_heap_of", numpy_heap_of, METH_O, numpy_heap_of_doc},
    {NULL, NULL, 0, NULL},
};

int hw_bind_numpy_hook(PyObject *module) { return PyModule_AddFunctions(module, METHODS); }
