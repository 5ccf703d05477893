/* _native.RegionBlock: the handle of a block in an arena. It is alive while the epoch is open that it was born in. One that is
 * dropped counts as freed; but its room is not given to anybody else before that epoch ends. */
#include "binding/export.h"
#include "binding/region_types.h"

#include <stddef.h>

enum { HANDLES_KEPT = 256 };

/* Dead handles for reuse, as CPython keeps floats. Guarded by the GIL. */
static RegionBlockObject *kept[HANDLES_KEPT];
static int kept_count;

RegionBlockObject *hw_region_block_new(ArenaObject *arena, RegionObject *region, uint64_t offset_bytes,
                                       Py_ssize_t size_bytes) {
    RegionBlockObject *self;
    if (kept_count > 0) {
        self = kept[--kept_count];
        PyObject_Init((PyObject *)self, &HwRegionBlock_Type);
    } else {
        self = PyObject_New(RegionBlockObject, &HwRegionBlock_Type);
        if (self == NULL) return NULL;
    }
    self->arena = (ArenaObject *)Py_NewRef(arena);
    self->region = (RegionObject *)Py_NewRef(region);
    self->address = (char *)(uintptr_t)(region->region.base + offset_bytes); /* of the buffer that the region exports */
    self->size_bytes = size_bytes;
    self->exports = 0;
    self->serial = arena->epochs.open[arena->epochs.depth].serial;
    self->depth = arena->epochs.depth;
    self->pinned = self->leased = false;
    self->weak_references = NULL;
    return self;
}

bool hw_region_block_is_live(const RegionBlockObject *self) {
    return hw_epochs_is_open(&self->arena->epochs, self->serial, self->depth);
}

/* While exports > 0 the address stays good: a region lets go of its buffer only when its own exports are 0
 * (hw_region_close), and heaps/chunk_stack.py does not place anything else below a block with a view. */
static void expose(RegionBlockObject *self) {
    self->exports++;
    self->region->exports++;
    self->arena->epochs.open[self->depth].exports++;
}

static void conceal(RegionBlockObject *self) {
    if (hw_region_block_is_live(self)) self->arena->epochs.open[self->depth].exports--; /* else it was promoted */
    self->exports--;
    if (--self->region->exports == 0 && self->region->abandoned) hw_region_close(self->region);
}

void hw_region_block_pin(RegionBlockObject *self) {
    if (self->pinned) return;
    self->pinned = true;
    expose(self);
}

static void block_dealloc(RegionBlockObject *self) {
    ArenaObject *arena = self->arena;
    RegionObject *region = self->region;
    if (self->pinned) conceal(self);
    if (self->leased) conceal(self); /* the interpreter ends, and its leases with it */
    if (hw_region_block_is_live(self)) hw_epochs_died(&arena->epochs, self->depth, (uint64_t)self->size_bytes);
    if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self);
    if (kept_count < HANDLES_KEPT) kept[kept_count++] = self;
    else PyObject_Free(self);
    Py_DECREF(region); /* last: it may be the end of both, and of what they keep */
    Py_DECREF(arena);
}

static int require_live(const RegionBlockObject *self) {
    if (hw_region_block_is_live(self) && self->region->buffer.obj != NULL) return 0;
    hw_raise("BlockFreed", "{s:K,s:n}", "address", (unsigned long long)(uintptr_t)self->address, "size_bytes",
             self->size_bytes);
    return -1;
}

static int lend(RegionBlockObject *self, hw_lent *bytes) {
    if (require_live(self) < 0) return -1;
    /* The view keeps this, and this the region. */
    *bytes = (hw_lent){self->address, self->size_bytes, false};
    return 0;
}

const hw_lender hw_region_block_lender = {(hw_lend)lend, (hw_lending)expose, (hw_lending)conceal, (hw_lending)hw_region_block_pin};

static int block_getbuffer(PyObject *self, Py_buffer *view, int flags) {
    return hw_export(self, &hw_region_block_lender, view, flags);
}

static PyObject *block_view(PyObject *self, PyObject *unused) { return PyMemoryView_FromObject(self); }

static Py_ssize_t block_length(RegionBlockObject *self) { return require_live(self) < 0 ? -1 : self->size_bytes; }

static const char *state_name(const RegionBlockObject *self) {
    return !hw_region_block_is_live(self) ? "freed" : self->leased ? "leased" : self->exports > 0 ? "exposed" : "allocated";
}

static PyObject *get_address(RegionBlockObject *self, void *unused) { return PyLong_FromVoidPtr(self->address); }
static PyObject *get_size(RegionBlockObject *self, void *unused) { return PyLong_FromSsize_t(self->size_bytes); }
static PyObject *get_exports(RegionBlockObject *self, void *unused) { return PyLong_FromSsize_t(self->exports); }
static PyObject *get_arena(RegionBlockObject *self, void *unused) {
    return Py_NewRef(hw_region_block_is_live(self) ? (PyObject *)self->arena : Py_None);
}
static PyObject *get_permissions(RegionBlockObject *self, void *unused) {
    return hw_model_member("heapwright.model.space", "Permissions", PyLong_FromLong(hw_region_block_is_live(self) ? 3 : 0));
}
static PyObject *get_state(RegionBlockObject *self, void *unused) {
    return hw_model_member("heapwright.model.lifecycle", "State", PyUnicode_FromString(state_name(self)));
}

static PyObject *block_repr(RegionBlockObject *self) {
    return PyUnicode_FromFormat("<RegionBlock %p %zd B %s>", self->address, self->size_bytes, state_name(self));
}

static PyMethodDef block_methods[] = {
    {"view", block_view, METH_NOARGS,
     "view($self, /)\n--\n\n"
     "Return a writable memoryview on the bytes: no copy. It keeps the bytes, whatever becomes of the arena.\n\n"
     "Raises\n------\nBlockFreed\n    The arena was reset or closed, or a mark released, since."},
    HW_ACCESS_METHODS,
    {NULL},
};

static PyGetSetDef block_getset[] = {
    {"address", (getter)get_address, NULL, "a: of the first byte.", NULL},
    {"size_bytes", (getter)get_size, NULL, "s: the bytes that were asked for.", NULL},
    {"permissions", (getter)get_permissions, NULL, "p: readable and writable; none once freed.", NULL},
    {"state", (getter)get_state, NULL, "t: allocated, exposed (a view is exported) or freed.", NULL},
    {"exports", (getter)get_exports, NULL, "Views that are exported and not released.", NULL},
    {"arena", (getter)get_arena, NULL, "The arena that it dies with; None once freed.", NULL},
    {NULL},
};

static PySequenceMethods block_as_sequence = {.sq_length = (lenfunc)block_length};
static PyBufferProcs block_as_buffer = {block_getbuffer, hw_export_released};

PyTypeObject HwRegionBlock_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.RegionBlock",
    .tp_doc = "A block of an arena: allocate() makes them.",
    .tp_basicsize = sizeof(RegionBlockObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)block_dealloc,
    .tp_repr = (reprfunc)block_repr,
    .tp_weaklistoffset = offsetof(RegionBlockObject, weak_references),
    .tp_methods = block_methods,
    .tp_getset = block_getset,
    .tp_as_sequence = &block_as_sequence,
    .tp_as_buffer = &block_as_buffer,
};

int hw_bind_region_block(PyObject *module) { return PyModule_AddType(module, &HwRegionBlock_Type); }
