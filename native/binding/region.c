/* _native.Region: one chunk of an arena: core/region.h over a buffer that somebody else owns. */
#include "binding/region_types.h"

#include <stddef.h>

static PyObject *region_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *source;
    Py_buffer buffer;
    if (!PyArg_ParseTuple(args, "O:Region", &source)) return NULL;
    if (PyObject_GetBuffer(source, &buffer, PyBUF_WRITABLE) < 0) return NULL; /* contiguous bytes, ours while this exports */
    RegionObject *self = (RegionObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        PyBuffer_Release(&buffer);
        return NULL;
    }
    self->buffer = buffer;
    self->region = hw_region_open((uint64_t)(uintptr_t)buffer.buf, (uint64_t)buffer.len);
    return (PyObject *)self;
}

void hw_region_close(RegionObject *self) {
    self->region = (hw_region){0}; /* no room: nothing is placed in it any more */
    if (self->buffer.obj != NULL) PyBuffer_Release(&self->buffer); /* sets obj to NULL first */
}

static void region_dealloc(RegionObject *self) {
    if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self);
    hw_region_close(self); /* no view is left: each keeps its block, and that keeps this */
    Py_TYPE(self)->tp_free(self);
}

static PyObject *region_abandon(RegionObject *self, PyObject *unused) {
    self->abandoned = true;
    self->region.capacity_bytes = self->region.top_bytes;
    if (self->exports == 0) hw_region_close(self);
    Py_RETURN_NONE;
}

static PyObject *region_rewind(RegionObject *self, PyObject *argument) {
    unsigned long long top = PyLong_AsUnsignedLongLong(argument);
    if (top == (unsigned long long)-1 && PyErr_Occurred()) return NULL;
    hw_region_rewind(&self->region, top);
    Py_RETURN_NONE;
}

static PyObject *get_address(RegionObject *self, void *unused) { return PyLong_FromUnsignedLongLong(self->region.base); }
static PyObject *get_capacity(RegionObject *self, void *unused) {
    return PyLong_FromUnsignedLongLong(self->region.capacity_bytes);
}
static PyObject *get_top(RegionObject *self, void *unused) { return PyLong_FromUnsignedLongLong(self->region.top_bytes); }
static PyObject *get_exports(RegionObject *self, void *unused) { return PyLong_FromSsize_t(self->exports); }
static PyObject *get_closed(RegionObject *self, void *unused) { return PyBool_FromLong(self->buffer.obj == NULL); }

static PyMethodDef region_methods[] = {
    {"abandon", (PyCFunction)region_abandon, METH_NOARGS,
     "abandon($self, /)\n--\n\nPlace nothing any more, and let go of the buffer: now, or when the last view is gone."},
    {"rewind", (PyCFunction)region_rewind, METH_O,
     "rewind($self, top_bytes, /)\n--\n\nGive back everything from this offset on, if the top is above it. The caller knows that nobody looks at it."},
    {NULL},
};

static PyGetSetDef region_getset[] = {
    {"address", (getter)get_address, NULL, "Of the first byte.", NULL},
    {"capacity_bytes", (getter)get_capacity, NULL, "Bytes in all; 0 once closed.", NULL},
    {"top_bytes", (getter)get_top, NULL, "Where the next block goes, but for alignment.", NULL},
    {"exports", (getter)get_exports, NULL, "Views of blocks in it.", NULL},
    {"closed", (getter)get_closed, NULL, "Whether it let go of its buffer.", NULL},
    {NULL},
};

PyTypeObject HwRegion_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.Region",
    .tp_doc = "Region(buffer, /)\n--\n\nA chunk that blocks are placed in, one behind the other.",
    .tp_basicsize = sizeof(RegionObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = region_new,
    .tp_dealloc = (destructor)region_dealloc,
    .tp_weaklistoffset = offsetof(RegionObject, weak_references),
    .tp_methods = region_methods,
    .tp_getset = region_getset,
};

int hw_bind_region(PyObject *module) { return PyModule_AddType(module, &HwRegion_Type); }
