/* Stands between CPython's small-object allocator and the kernel, to know where its arenas are. */
#include "binding/binding.h"

#include "os/mappings.h"
#include "process/arenas.h"

static PyObjectArenaAllocator original;

static void *arena_allocate(void *context, size_t size_bytes) {
    void *address = original.alloc(original.ctx, size_bytes);
    if (address != NULL) hw_arenas_added((uintptr_t)address, size_bytes);
    return address;
}

static void arena_free(void *context, void *address, size_t size_bytes) {
    /* Removed first: the kernel may hand the same address to another thread at once. */
    hw_arenas_removed((uintptr_t)address);
    original.free(original.ctx, address, size_bytes);
}

static PyObject *arenas_start(PyObject *module, PyObject *argument) {
    const char *session = PyUnicode_AsUTF8(argument);
    if (session == NULL) return NULL;
    int error = hw_arenas_open(session);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    uintptr_t heap_start, heap_end;
    size_t earlier = 0;
    void *block = PyObject_Malloc(16);
    if (block == NULL) return PyErr_NoMemory();
    /* Nothing of CPython's can change meanwhile: this thread has the GIL. */
    if (hw_break_heap(&heap_start, &heap_end) == 0)
        earlier = hw_arenas_find_earlier((uintptr_t)block, heap_start, heap_end);
    PyObject_GetArenaAllocator(&original);
    PyObjectArenaAllocator ours = {NULL, arena_allocate, arena_free};
    PyObject_SetArenaAllocator(&ours);
    PyObject_Free(block);
    return PyLong_FromSize_t(earlier);
}

static PyMethodDef METHODS[] = {
    {"arenas_start", arenas_start, METH_O,
     "arenas_start(session): keep <session>/<pid>.arenas; returns the number of arenas found that were there before"},
    {NULL, NULL, 0, NULL},
};

int hw_bind_arenas(PyObject *module) { return PyModule_AddFunctions(module, METHODS); }
