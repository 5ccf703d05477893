/* _native.Space: pages behind heap/space.h. The Python classes over it parse sizes and name the kinds. */
#include "binding/heap_types.h"

#include <structmember.h>

#include "os/pages.h"

static PyObject *raise_call(const char *call, int error) {
    return hw_raise("SystemCallFailed", "{s:s,s:i}", "call", call, "errno", error);
}

static void raise_sized_call(const char *format, size_t size_bytes, int error) {
    char call[64];
    PyOS_snprintf(call, sizeof call, format, size_bytes);
    raise_call(call, error);
}

PyObject *hw_raise_lock_refused(size_t size_bytes, int error) {
    return hw_raise("MemoryLockRefused", "{s:n,s:i}", "size_bytes", (Py_ssize_t)size_bytes, "errno", error);
}

int hw_space_require_free(const SpaceObject *space) {
    if (space->heap == NULL && !space->has_records) return 0;
    hw_raise("SpaceInUse", "{s:K,s:n}", "address", (unsigned long long)(uintptr_t)space->space.base, "size_bytes",
             (Py_ssize_t)space->space.size_bytes);
    return -1;
}

static PyObject *space_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"size_bytes", "alignment", "huge_pages", "permissions", "populate", "locked", NULL};
    Py_ssize_t size_bytes, alignment;
    int huge_pages, permissions, populate = 0, locked = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "nnpi|pp:Space", names, &size_bytes, &alignment, &huge_pages, &permissions,
                                     &populate, &locked))
        return NULL;
    if (size_bytes <= 0 || alignment <= 0) return PyErr_SetString(PyExc_ValueError, "sizes are positive"), NULL;
    SpaceObject *self = (SpaceObject *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    int error = hw_space_open(&self->space, (size_t)size_bytes, (size_t)alignment, huge_pages, permissions);
    if (error != 0) {
        raise_sized_call("reserving %zu B of address space", (size_t)size_bytes, error);
        Py_CLEAR(self);
    } else if (populate || locked) {
        Py_BEGIN_ALLOW_THREADS /* nobody else knows the space yet; a GiB takes a tenth of a second and more */
        error = hw_space_populate(&self->space, locked);
        Py_END_ALLOW_THREADS
        if (error != 0) {
            if (locked) hw_raise_lock_refused(self->space.size_bytes, error);
            else raise_sized_call("bringing a space of %zu B into memory", self->space.size_bytes, error);
            Py_CLEAR(self);
        }
    }
    return (PyObject *)self;
}

static void space_dealloc(SpaceObject *self) {
    hw_space_close(&self->space); /* no heap, block or view is left: each holds a reference to what it lies in */
    Py_TYPE(self)->tp_free(self);
}

static PyObject *space_protect(SpaceObject *self, PyObject *argument) {
    long permissions = PyLong_AsLong(argument);
    if (permissions == -1 && PyErr_Occurred()) return NULL;
    if (permissions & ~7L) return PyErr_Format(PyExc_ValueError, "%ld are not permissions: 0 to 7", permissions);
    if (self->heap != NULL) hw_heap_enter(self->heap);
    bool narrower = self->space.permissions & ~permissions;
    Py_ssize_t exports = self->exports + (self->heap ? (Py_ssize_t)self->heap->arrays.blocks : 0) + self->has_records;
    if (narrower && exports != 0) /* a view, or an array, that lost its access would end the process at the next touch */
        return hw_raise_exported(NULL, self->space.base, (Py_ssize_t)self->space.size_bytes, exports, false,
                                 "take access away from the space");
    int error = hw_space_protect(&self->space, (int)permissions);
    if (error != 0) return raise_call("changing access to pages", error);
    Py_RETURN_NONE;
}

static PyObject *space_resident(SpaceObject *self, PyObject *unused) {
    size_t resident_bytes;
    if (self->heap != NULL) hw_heap_enter(self->heap);
    int error = hw_space_resident(&self->space, &resident_bytes);
    if (error != 0) return raise_call("asking for resident pages", error);
    return PyLong_FromSize_t(resident_bytes);
}

static PyObject *get_address(SpaceObject *self, void *unused) { return PyLong_FromVoidPtr(self->space.base); }
static PyObject *get_size(SpaceObject *self, void *unused) { return PyLong_FromSize_t(self->space.size_bytes); }
static PyObject *get_alignment(SpaceObject *self, void *unused) { return PyLong_FromSize_t(self->space.alignment); }
static PyObject *get_unit(SpaceObject *self, void *unused) { return PyLong_FromSize_t(self->space.unit_bytes); }
static PyObject *get_huge(SpaceObject *self, void *unused) { return PyBool_FromLong(self->space.huge); }
static PyObject *get_populated(SpaceObject *self, void *unused) { return PyBool_FromLong(self->space.populated); }
static PyObject *get_locked(SpaceObject *self, void *unused) { return PyBool_FromLong(self->space.locked); }
static PyObject *get_committed(SpaceObject *self, void *unused) {
    return PyLong_FromSize_t(self->space.committed_bytes);
}
static PyObject *get_permissions(SpaceObject *self, void *unused) {
    return hw_model_member("heapwright.model.space", "Permissions", PyLong_FromLong(self->space.permissions));
}

static PyMethodDef space_methods[] = {
    {"protect", (PyCFunction)space_protect, METH_O,
     "protect($self, permissions, /)\n--\n\n"
     "Change what may be done with the bytes of the space; the hardware enforces it.\n\n"
     "Raises\n------\nViewExported\n    Access would be taken away while views are exported.\nSystemCallFailed\n    The "
     "operating system refused; access is as before."},
    {"resident_bytes", (PyCFunction)space_resident, METH_NOARGS,
     "resident_bytes($self, /)\n--\n\nReturn the bytes that are in memory now, as the kernel says. O(committed pages)."},
    {NULL},
};

static PyGetSetDef space_getset[] = {
    {"address", (getter)get_address, NULL, "First address.", NULL},
    {"size_bytes", (getter)get_size, NULL, "Bytes reserved: whole pages.", NULL},
    {"alignment", (getter)get_alignment, NULL, "Bytes that the address is a multiple of, as promised.", NULL},
    {"unit_bytes", (getter)get_unit, NULL, "Bytes that are committed together: a page, or a huge page. Given back are pages.", NULL},
    {"huge_pages", (getter)get_huge, NULL, "Whether the kernel took the advice to use huge pages.", NULL},
    {"populated", (getter)get_populated, NULL, "Whether all of it was brought into memory from the start.", NULL},
    {"locked", (getter)get_locked, NULL, "Whether it stays in memory; nothing is given back then.", NULL},
    {"committed_bytes", (getter)get_committed, NULL, "Bytes asked of the operating system and not given back.", NULL},
    {"permissions", (getter)get_permissions, NULL, "What may be done with the bytes.", NULL},
    {NULL},
};

PyTypeObject HwSpace_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.Space",
    .tp_doc = "Space(size_bytes, alignment, huge_pages, permissions, populate=False, locked=False)\n--\n\nA reserved range of addresses.",
    .tp_basicsize = sizeof(SpaceObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = space_new,
    .tp_dealloc = (destructor)space_dealloc,
    .tp_methods = space_methods,
    .tp_getset = space_getset,
};

static PyObject *pages_fail_nth(PyObject *module, PyObject *argument) {
    long n = PyLong_AsLong(argument);
    if (n == -1 && PyErr_Occurred()) return NULL;
    return PyLong_FromLong(hw_pages_fail_nth(n));
}

static PyMethodDef FUNCTIONS[] = {
    {"pages_fail_nth", pages_fail_nth, METH_O,
     "pages_fail_nth($module, n, /)\n--\n\nFor tests: make the n-th system call from now fail with ENOMEM; 0 stops it. "
     "Return how many were still to go."},
    {NULL},
};

int hw_bind_space(PyObject *module) {
    if (PyModule_AddFunctions(module, FUNCTIONS) < 0) return -1;
    return PyModule_AddType(module, &HwSpace_Type);
}
