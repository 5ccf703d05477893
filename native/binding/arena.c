/* _native.Arena: epochs over regions. What is hot is here: to place a block where there is room. Where there is none, and
 * for all that happens once per chunk, it asks heaps/arena.py, which derives from it. */
#include "binding/births.h"
#include "binding/region_types.h"

#include <stddef.h>

enum { DEFAULT_ALIGNMENT = 16 };

static PyObject *arena_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *observer;
    if (!PyArg_ParseTuple(args, "O:Arena", &observer)) return NULL;
    ArenaObject *self = (ArenaObject *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    hw_epochs_begin(&self->epochs);
    if (observer != Py_None) self->observer = Py_NewRef(observer);
    return (PyObject *)self;
}

static void arena_dealloc(ArenaObject *self) {
    Py_XDECREF(self->filling);
    Py_XDECREF(self->observer);
    Py_TYPE(self)->tp_free(self);
}

typedef struct {
    PyObject *size_object;
    uint64_t size_bytes, alignment;
} request;

static int parse_request(const char *function, PyObject *const *args, Py_ssize_t n, PyObject *names, request *r) {
    PyObject *alignment = n > 1 ? args[1] : NULL;
    Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    bool is_alignment = named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "alignment") == 0;
    if (n < 1 || n + named > 2 || (named == 1 && !is_alignment)) {
        PyErr_Format(PyExc_TypeError, "%s() takes size_bytes and optionally alignment", function);
        return -1;
    }
    if (named == 1) alignment = args[1];
    r->size_object = args[0];
    r->alignment = DEFAULT_ALIGNMENT;
    if (alignment != NULL && hw_as_size(alignment, &r->alignment) < 0) return -1;
    if (r->alignment == 0 || (r->alignment & (r->alignment - 1))) {
        hw_raise("InvalidAlignment", "{s:K}", "alignment", (unsigned long long)r->alignment);
        return -1;
    }
    return hw_as_size(args[0], &r->size_bytes);
}

/* The region that the request shall go into, a new reference; None if the upstream has no memory and `raises` is false. */
static PyObject *find_region(ArenaObject *self, const request *r, bool raises) {
    PyObject *size = r->size_bytes == UINT64_MAX ? hw_model_size(r->size_object) : PyLong_FromUnsignedLongLong(r->size_bytes);
    if (size == NULL) return NULL;
    PyObject *region = PyObject_CallMethod((PyObject *)self, "_find_region", "NKO", size, (unsigned long long)r->alignment,
                                           raises ? Py_True : Py_False);
    if (region != NULL && region != Py_None && !Py_IS_TYPE(region, &HwRegion_Type)) {
        Py_DECREF(region);
        return PyErr_SetString(PyExc_TypeError, "_find_region() returns a Region or None"), NULL;
    }
    return region;
}

static PyObject *place(ArenaObject *self, RegionObject *region, uint64_t offset_bytes, uint64_t size_bytes) {
    RegionBlockObject *block = hw_region_block_new(self, region, offset_bytes, (Py_ssize_t)size_bytes);
    if (block == NULL) return NULL; /* the room is lost until the epoch ends */
    hw_epochs_born(&self->epochs, size_bytes);
    self->total_blocks++;
    self->total_requested_bytes += size_bytes;
    if (self->observer != NULL) {
        PyObject *nothing = PyObject_CallOneArg(self->observer, (PyObject *)block);
        if (nothing == NULL) Py_CLEAR(block);
        Py_XDECREF(nothing);
    }
    return hw_born((PyObject *)block);
}

static PyObject *allocate(ArenaObject *self, bool raises, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    request r;
    uint64_t offset;
    if (parse_request(raises ? "allocate" : "try_allocate", args, n, names, &r) < 0) return NULL;
    if (__builtin_expect(self->filling != NULL && hw_region_place(&self->filling->region, r.size_bytes, r.alignment, &offset),
                         1))
        return place(self, self->filling, offset, r.size_bytes);
    for (;;) { /* again where another thread took the room first */
        PyObject *region = find_region(self, &r, raises);
        if (region == NULL || region == Py_None) return region;
        PyObject *block = NULL;
        bool placed = hw_region_place(&((RegionObject *)region)->region, r.size_bytes, r.alignment, &offset);
        if (placed) block = place(self, (RegionObject *)region, offset, r.size_bytes);
        Py_DECREF(region);
        if (placed) return block;
    }
}

static PyObject *arena_allocate(ArenaObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    return allocate(self, true, args, n, names);
}

static PyObject *arena_try_allocate(ArenaObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    return allocate(self, false, args, n, names);
}

static PyObject *arena_allocate_pinned(ArenaObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    PyObject *block = allocate(self, true, args, n, names);
    if (block != NULL) hw_region_block_pin((RegionBlockObject *)block);
    return block;
}

static PyObject *arena_deallocate(ArenaObject *self, PyObject *object) {
    if (!Py_IS_TYPE(object, &HwRegionBlock_Type))
        return PyErr_Format(PyExc_TypeError, "expected a block of this arena, not %.100s", Py_TYPE(object)->tp_name);
    RegionBlockObject *block = (RegionBlockObject *)object;
    unsigned long long address = (unsigned long long)(uintptr_t)block->address;
    if (block->arena != self || !hw_region_block_is_live(block))
        return hw_raise("InvalidFree", "{s:K,s:n,s:s}", "address", address, "size_bytes", block->size_bytes, "reason",
                        block->arena == self ? "double" : "foreign");
    if (block->exports > 0)
        return hw_raise_exported(object, block->address, block->size_bytes, block->exports, block->pinned, "free the block");
    hw_region *region = &block->region->region;
    hw_region_unplace(region, (uint64_t)(uintptr_t)block->address - region->base, (uint64_t)block->size_bytes);
    hw_epochs_died(&self->epochs, block->depth, (uint64_t)block->size_bytes);
    block->serial = 0;
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------------------- for heaps/arena.py, once per chunk */

static PyObject *arena_fill(ArenaObject *self, PyObject *region) {
    if (region != Py_None && !Py_IS_TYPE(region, &HwRegion_Type))
        return PyErr_SetString(PyExc_TypeError, "expected a Region or None"), NULL;
    PyObject *old = (PyObject *)self->filling;
    self->filling = region == Py_None ? NULL : (RegionObject *)Py_NewRef(region);
    Py_XDECREF(old);
    Py_RETURN_NONE;
}

static PyObject *arena_set_mark(ArenaObject *self, PyObject *unused) {
    if (!hw_epochs_nest(&self->epochs))
        return hw_raise("TooManyMarks", "{s:i}", "open_count", (int)self->epochs.depth);
    return Py_BuildValue("(KI)", (unsigned long long)self->epochs.open[self->epochs.depth].serial, self->epochs.depth);
}

static PyObject *arena_is_mark_open(ArenaObject *self, PyObject *args) {
    unsigned long long serial;
    unsigned int depth;
    if (!PyArg_ParseTuple(args, "KI:is_mark_open", &serial, &depth)) return NULL;
    return PyBool_FromLong(hw_epochs_is_open(&self->epochs, serial, depth));
}

/* One step under the GIL: nobody gets a view, or a block, between the look at the exports and the end. */
static PyObject *arena_end_epochs(ArenaObject *self, PyObject *args) {
    unsigned int depth;
    int promotes;
    if (!PyArg_ParseTuple(args, "Ip:_end_epochs", &depth, &promotes)) return NULL;
    if (depth > self->epochs.depth) return PyErr_SetString(PyExc_ValueError, "there is no such epoch"), NULL;
    uint64_t exports = hw_epochs_since(&self->epochs, depth).exports;
    if (exports == 0 || promotes) {
        if (depth == 0) hw_epochs_begin(&self->epochs);
        else hw_epochs_end(&self->epochs, depth);
        Py_CLEAR(self->filling); /* whoever allocates now has to ask for a region, and waits for the lock there */
    }
    return PyLong_FromUnsignedLongLong(exports);
}

static PyObject *arena_counters(ArenaObject *self, PyObject *unused) {
    const hw_epochs *epochs = &self->epochs;
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K}", "requested_bytes", (unsigned long long)epochs->requested_bytes, "block_count",
                         (unsigned long long)epochs->blocks, "peak_requested_bytes",
                         (unsigned long long)epochs->peak_requested_bytes, "total_requested_bytes",
                         (unsigned long long)self->total_requested_bytes, "total_block_count",
                         (unsigned long long)self->total_blocks);
}

static PyObject *arena_check(ArenaObject *self, PyObject *unused) {
    const char *broken = hw_epochs_check(&self->epochs);
    if (broken == NULL && self->filling != NULL && self->filling->region.top_bytes > self->filling->region.capacity_bytes)
        broken = "R1";
    if (broken == NULL) Py_RETURN_NONE;
    return hw_raise("CorruptedHeap", "{s:s,s:i}", "invariant", broken, "offset_bytes", 0);
}

static PyObject *get_exports(ArenaObject *self, void *unused) {
    return PyLong_FromUnsignedLongLong(hw_epochs_since(&self->epochs, 0).exports);
}

static PyMethodDef arena_methods[] = {
    {"allocate", (PyCFunction)(void (*)(void))arena_allocate, METH_FASTCALL | METH_KEYWORDS,
     "allocate($self, /, size_bytes, alignment=16)\n--\n\n"
     "Return a block that dies with the arena. O(1), but for a new chunk now and then.\n\n"
     "Its bytes are what they were. If its handle is dropped it counts as freed, and its room waits for the end.\n\n"
     "Raises\n------\nOutOfMemory, LimitExceeded\n    The upstream has no memory for a chunk.\nArenaClosed\n    It is closed."},
    {"try_allocate", (PyCFunction)(void (*)(void))arena_try_allocate, METH_FASTCALL | METH_KEYWORDS,
     "try_allocate($self, /, size_bytes, alignment=16)\n--\n\nThe same, but None where that raises for want of memory."},
    {"deallocate", (PyCFunction)arena_deallocate, METH_O,
     "deallocate($self, block, /)\n--\n\n"
     "End a block before the others: its handle is dead. The room of the latest one is free again, that of another comes\n"
     "back with all the rest.\n\n"
     "Raises\n------\nViewExported, InvalidFree\n    Somebody looks at it; it is dead already, or another's."},
    {"_allocate_pinned", (PyCFunction)(void (*)(void))arena_allocate_pinned, METH_FASTCALL | METH_KEYWORDS,
     "_allocate_pinned($self, /, size_bytes, alignment=16)\n--\n\nAllocate a block that counts as a view while its handle lives."},
    {"_fill", (PyCFunction)arena_fill, METH_O, "_fill($self, region, /)\n--\n\nPlace blocks in this region from now on."},
    {"_set_mark", (PyCFunction)arena_set_mark, METH_NOARGS,
     "_set_mark($self, /)\n--\n\nBegin an epoch; return its serial number and its depth."},
    {"is_mark_open", (PyCFunction)arena_is_mark_open, METH_VARARGS,
     "is_mark_open($self, serial, depth, /)\n--\n\nSay whether an epoch is open."},
    {"_end_epochs", (PyCFunction)arena_end_epochs, METH_VARARGS,
     "_end_epochs($self, depth, promotes, /)\n--\n\n"
     "End the epochs from this depth on, so that their blocks are dead, and fill no region; return how many views are out\n"
     "of them. If there are any, and `promotes` is false, nothing ends."},
    {"counters", (PyCFunction)arena_counters, METH_NOARGS, "counters($self, /)\n--\n\nReturn what blocks are counted by."},
    {"check", (PyCFunction)arena_check, METH_NOARGS,
     "check($self, /)\n--\n\nWalk every invariant; raise CorruptedHeap with the evidence."},
    {NULL},
};

static PyGetSetDef arena_getset[] = {
    {"exports", (getter)get_exports, NULL, "Views of live blocks that are exported and not released.", NULL},
    {NULL},
};

static PyTypeObject arena_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.Arena",
    .tp_doc = "Arena(observer, /)\n--\n\nBlocks that die together; the chunks are the subclass's affair.",
    .tp_basicsize = sizeof(ArenaObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = arena_new,
    .tp_dealloc = (destructor)arena_dealloc,
    .tp_methods = arena_methods,
    .tp_getset = arena_getset,
};

int hw_bind_arena(PyObject *module) { return PyModule_AddType(module, &arena_type); }
