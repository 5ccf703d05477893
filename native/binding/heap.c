/* _native.Heap and one type per strategy: heap/heap.h behind Python's calling convention.
 *
 * The strategy of _native.Heap is a field, read at each call. _native.BestFitHeap and its like are the same type with
 * allocate, try_allocate and deallocate compiled for one strategy: no test of it and no indirect call is left in them.
 *
 * GIL: it is this heap's lock. Nearly everything takes less than a microsecond and keeps it. What can take long (trim,
 * check, statistics; copying in reallocate) releases it: the first three make the heap `busy` meanwhile, and whoever
 * wants the heap then waits without the GIL; a copy pins the block instead, as an export does. */
#include "binding/births.h"
#include "binding/heap_types.h"

#include <string.h>
#include <unistd.h>

#include "heap/fork_gate.h"

enum { LONG_COPY_BYTES = 64 << 10 };

#define FUSED static inline __attribute__((always_inline))

/* ------------------------------------------------------------------------------------------ one thread at a time */

/* In a forked child the threads that held or wanted the lock do not exist, and its state is that of some moment. */
static void renew_after_fork(HeapObject *self) {
    if (self->pid == (long)getpid()) return;
    PyThread_type_lock lock = PyThread_allocate_lock();
    if (lock == NULL) Py_FatalError("no memory for a lock in a forked child");
    self->lock = lock; /* the old one is in nobody's power to free */
    self->busy = false;
    self->pid = (long)getpid();
}

static void wait_until_idle(HeapObject *self) {
    renew_after_fork(self);
    self->waiting++;
    while (self->busy) {
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(self->lock, WAIT_LOCK);
        PyThread_release_lock(self->lock);
        Py_END_ALLOW_THREADS
    }
    self->waiting--;
}

FUSED void enter(HeapObject *self) {
    if (__builtin_expect(self->until_tick != 0, 0) && --self->until_tick == 0) hw_heap_decay_in_passing(self);
    if (__builtin_expect(self->busy, 0)) wait_until_idle(self);
}

void hw_heap_enter(HeapObject *self) { enter(self); }

PyThreadState *hw_heap_begin_long(HeapObject *self) {
    wait_until_idle(self);
    /* Whoever waited goes first: a loop of trims would starve them, since it has the GIL each time they wake. */
    for (int i = 0; self->waiting > 0 && i < 100; i++) {
        Py_BEGIN_ALLOW_THREADS
        usleep(50);
        Py_END_ALLOW_THREADS
        wait_until_idle(self);
    }
    self->busy = true;
    PyThread_acquire_lock(self->lock, WAIT_LOCK); /* held by nobody, or by one who waited and lets go at once */
    PyThreadState *thread = PyEval_SaveThread();
    hw_fork_gate_enter(); /* after the GIL is free: who forks has it, and waits for all that are through the gate */
    return thread;
}

void hw_heap_end_long(HeapObject *self, PyThreadState *thread) {
    hw_fork_gate_leave();
    PyEval_RestoreThread(thread);
    self->busy = false;
    PyThread_release_lock(self->lock);
}

/* --------------------------------------------------------------------------------------------------- arguments */

typedef struct {
    PyObject *size_object;
    uint64_t size_bytes; /* UINT64_MAX: more than 64 bits hold */
    uint64_t alignment;
} request;

FUSED int parse_request(HeapObject *self, const char *function, PyObject *const *args, Py_ssize_t n, PyObject *names,
                        request *r) {
    PyObject *alignment = NULL;
    r->size_object = n > 0 ? args[0] : NULL;
    if (n > 1) alignment = args[1];
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i), **target = NULL;
        if (PyUnicode_CompareWithASCIIString(name, "alignment") == 0) target = &alignment;
        if (PyUnicode_CompareWithASCIIString(name, "size_bytes") == 0) target = &r->size_object;
        if (target == NULL || *target != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() got %s argument %R", function, target ? "two values for" : "an unexpected",
                         name);
            return -1;
        }
        *target = args[n + i];
    }
    if (n > 2 || r->size_object == NULL) {
        PyErr_Format(PyExc_TypeError, "%s() takes size_bytes and optionally alignment", function);
        return -1;
    }
    r->alignment = (uint64_t)self->alignment;
    if (alignment != NULL && hw_as_size(alignment, &r->alignment) < 0) return -1;
    return hw_as_size(r->size_object, &r->size_bytes);
}

static PyObject *raise_failure(HeapObject *self, const request *r, int result) {
    if (result == HW_HEAP_BAD_ALIGNMENT) {
        bool power = r->alignment != 0 && (r->alignment & (r->alignment - 1)) == 0;
        if (!power) return hw_raise("InvalidAlignment", "{s:K}", "alignment", (unsigned long long)r->alignment);
        return hw_raise("InvalidAlignment", "{s:K,s:n}", "alignment", (unsigned long long)r->alignment, "space_alignment",
                        (Py_ssize_t)self->space->space.alignment);
    }
    PyObject *size = hw_model_size(r->size_object), *name = NULL;
    if (size != NULL) name = PyObject_Repr((PyObject *)self);
    if (name != NULL)
        hw_raise("OutOfMemory", "{s:O,s:K,s:K,s:K,s:K,s:O,s:i,s:k}", "size_bytes", size, "alignment",
                 (unsigned long long)r->alignment, "capacity_bytes",
                 (unsigned long long)hw_heap_head(&self->heap)->capacity_bytes, "free_bytes",
                 (unsigned long long)hw_strategy_totals_of(self->heap.control).free, "largest_free_bytes",
                 (unsigned long long)hw_strategy_largest_hole(self->heap.control), "resource", name, "errno",
                 result > 0 ? result : 0, "block_capacity",
                 result == HW_HEAP_BLOCKS_FULL ? (unsigned long)self->heap.blocks_fixed : 0);
    Py_XDECREF(size);
    Py_XDECREF(name);
    return NULL;
}

/* ------------------------------------------------------------------------------------- allocate and deallocate */

FUSED hw_strategy_handle handle_of(const BlockObject *block) {
    return (hw_strategy_handle){(uint64_t)(block->address - block->heap->heap.space->base), block->number};
}

FUSED PyObject *allocate(HeapObject *self, enum hw_strategy strategy, bool raises, PyObject *const *args, Py_ssize_t n,
                         PyObject *names) {
    request r;
    hw_strategy_handle handle;
    if (parse_request(self, raises ? "allocate" : "try_allocate", args, n, names, &r) < 0) return NULL;
    enter(self);
    int result = hw_heap_allocate_fused(&self->heap, strategy, r.size_bytes, r.alignment, &handle);
    if (__builtin_expect(result != 0, 0)) {
        if (raises || result == HW_HEAP_BAD_ALIGNMENT) return raise_failure(self, &r, result);
        Py_RETURN_NONE;
    }
    BlockObject *block = hw_block_new(self, handle, (Py_ssize_t)r.size_bytes, (uint8_t)__builtin_ctzll(r.alignment));
    if (block == NULL) hw_heap_free_fused(&self->heap, strategy, handle);
    return hw_born((PyObject *)block);
}

/* The block is a live one of this heap, and nobody looks at it. Returns it, or NULL with the error set. */
FUSED BlockObject *require_own(HeapObject *self, PyObject *object, const char *what) {
    if (__builtin_expect(!Py_IS_TYPE(object, &HwBlock_Type), 0)) {
        PyErr_Format(PyExc_TypeError, "expected a Block, not %.100s", Py_TYPE(object)->tp_name);
        return NULL;
    }
    BlockObject *block = (BlockObject *)object;
    if (__builtin_expect(block->heap == self && block->exports == 0, 1)) return block;
    unsigned long long address = (unsigned long long)(uintptr_t)block->address;
    if (block->heap != self)
        hw_raise("InvalidFree", "{s:K,s:n,s:s}", "address", address, "size_bytes", block->size_bytes, "reason",
                 block->heap == NULL ? "double" : "foreign");
    else
        hw_raise_exported(object, block->address, block->size_bytes, block->exports, block->pinned, what);
    return NULL;
}

static PyObject *raise_not_live(uint64_t offset_bytes) {
    return hw_raise("CorruptedHeap", "{s:s,s:K}", "invariant", "I1", "offset_bytes", (unsigned long long)offset_bytes);
}

FUSED PyObject *deallocate(HeapObject *self, enum hw_strategy strategy, PyObject *object) {
    enter(self);
    BlockObject *block = require_own(self, object, "free the block");
    if (block == NULL) return NULL;
    hw_strategy_handle handle = handle_of(block);
    if (__builtin_expect(hw_heap_free_fused(&self->heap, strategy, handle) != 0, 0)) return raise_not_live(handle.offset_bytes);
    hw_handle_delist(self, block);
    block->heap = NULL;
    Py_DECREF(self); /* the caller holds another */
    Py_RETURN_NONE;
}

#define STRATEGY_OF(self) hw_heap_strategy(&(self)->heap)

void hw_heap_drop_block(BlockObject *block) {
    HeapObject *heap = (HeapObject *)Py_NewRef(block->heap);
    enter(heap); /* may let others run: a mark that one of them releases frees the block, and takes the heap from it */
    if (block->heap != NULL) {
        hw_heap_free_fused(&heap->heap, STRATEGY_OF(heap), handle_of(block));
        hw_handle_delist(heap, block);
        block->heap = NULL;
        Py_DECREF(heap);
    }
    Py_DECREF(heap);
}

/* ------------------------------------------------------------------------------------------------- reallocate */

/* The handle of a freed or replaced block: it keeps nothing alive. */
static void retire(BlockObject *block) {
    hw_handle_delist(block->heap, block);
    Py_CLEAR(block->heap);
}

/* Copies while nobody can free, move or protect either block. */
static void copy_pinned(HeapObject *self, BlockObject *from, BlockObject *to, size_t size_bytes) {
    if (size_bytes < LONG_COPY_BYTES) {
        memcpy(to->address, from->address, size_bytes);
        return;
    }
    from->exports++;
    to->exports++; /* nobody else knows it, but who releases a mark frees it all the same */
    self->space->exports++;
    Py_BEGIN_ALLOW_THREADS
    memcpy(to->address, from->address, size_bytes);
    Py_END_ALLOW_THREADS
    enter(self);
    self->space->exports--;
    to->exports--;
    from->exports--;
}

static PyObject *move(HeapObject *self, BlockObject *old, const request *r) {
    hw_strategy_handle handle;
    if ((self->space->space.permissions & 3) != 3)
        return hw_raise("PermissionDenied", "{s:s,s:s}", "wanted", "RW", "permissions", "less than that");
    int result = hw_heap_allocate_fused(&self->heap, STRATEGY_OF(self), r->size_bytes, r->alignment, &handle);
    if (result != 0) return raise_failure(self, r, result);
    BlockObject *new = hw_block_new(self, handle, (Py_ssize_t)r->size_bytes, old->alignment_log2);
    if (new == NULL) {
        hw_heap_free_fused(&self->heap, STRATEGY_OF(self), handle);
        return NULL;
    }
    copy_pinned(self, old, new, (size_t)(old->size_bytes < new->size_bytes ? old->size_bytes : new->size_bytes));
    if (require_own(self, (PyObject *)old, "reallocate the block") == NULL) { /* changed while the GIL was away */
        Py_DECREF(new);                                                       /* frees the new block */
        return NULL;
    }
    hw_heap_free_fused(&self->heap, STRATEGY_OF(self), handle_of(old));
    retire(old);
    return hw_reborn((PyObject *)new, (PyObject *)old);
}

static PyObject *heap_reallocate(HeapObject *self, PyObject *const *args, Py_ssize_t n) {
    request r;
    if (n != 2) return PyErr_SetString(PyExc_TypeError, "reallocate() takes a block and size_bytes"), NULL;
    r.size_object = args[1];
    if (hw_as_size(args[1], &r.size_bytes) < 0) return NULL;
    enter(self);
    BlockObject *old = require_own(self, args[0], "reallocate the block");
    if (old == NULL) return NULL;
    r.alignment = (uint64_t)1 << old->alignment_log2;
    hw_strategy_handle handle = handle_of(old);
    /* The new handle first: once the block has changed, nothing may fail. */
    BlockObject *new = hw_block_new(self, handle, (Py_ssize_t)r.size_bytes, old->alignment_log2);
    if (new == NULL) return NULL;
    int result = hw_heap_resize(&self->heap, handle, r.size_bytes);
    if (result == 0) {
        retire(old);
        return hw_reborn((PyObject *)new, (PyObject *)old);
    }
    retire(new);
    Py_DECREF(new);
    if (self->by_number != NULL) self->by_number[old->number] = old; /* where the new one was */
    return result == HW_HEAP_NOT_LIVE ? raise_not_live(handle.offset_bytes) : move(self, old, &r);
}

static PyObject *heap_owns(HeapObject *self, PyObject *argument) {
    void *address = PyLong_AsVoidPtr(argument);
    if (address == NULL && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return NULL;
        PyErr_Clear(); /* not an address of this machine */
        Py_RETURN_FALSE;
    }
    const hw_space *space = &self->space->space;
    return PyBool_FromLong((uintptr_t)address - (uintptr_t)space->base < space->size_bytes);
}

/* --------------------------------------------------------------------------------------------------- the types */

static PyTypeObject *const FUSED_TYPES[HW_STRATEGIES]; /* by strategy */

static PyObject *heap_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    SpaceObject *space;
    int strategy;
    Py_ssize_t alignment, blocks = 0;
    if (!PyArg_ParseTuple(args, "O!in|n:Heap", &HwSpace_Type, &space, &strategy, &alignment, &blocks)) return NULL;
    if (hw_space_require_free(space) < 0) return NULL;
    if (strategy < HW_FIRST_FIT || strategy >= HW_STRATEGIES || alignment <= 0)
        return PyErr_SetString(PyExc_ValueError, "no such strategy, or an alignment that is not positive"), NULL;
    for (int other = HW_FIRST_FIT; other < HW_STRATEGIES; other++) /* its methods read the index in another order */
        if (other != strategy && PyType_IsSubtype(type, FUSED_TYPES[other]))
            return PyErr_Format(PyExc_ValueError, "%s is compiled for another strategy", FUSED_TYPES[other]->tp_name);
    HeapObject *self = (HeapObject *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->lock = PyThread_allocate_lock();
    int error = ENOMEM;
    if (self->lock != NULL && blocks == 0) error = hw_heap_open(&self->heap, &space->space, (enum hw_strategy)strategy);
    else if (self->lock != NULL && blocks > 0 && blocks <= UINT32_MAX)
        error = hw_heap_open_fixed(&self->heap, &space->space, (enum hw_strategy)strategy, (uint32_t)blocks);
    if (error != 0) {
        if (space->space.locked && self->heap.control_bytes != 0) hw_raise_lock_refused(self->heap.control_bytes, error);
        else hw_raise("SystemCallFailed", "{s:s,s:i}", "call", "making room for the control data of a heap", "errno", error);
        Py_DECREF(self);
        return NULL;
    }
    if (strategy == HW_BUMP && hw_handle_enlist(self, NULL) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->alignment = alignment;
    self->pid = (long)getpid();
    self->space = (SpaceObject *)Py_NewRef(space);
    space->heap = self;
    return (PyObject *)self;
}

static void heap_dealloc(HeapObject *self) {
    hw_heap_close(&self->heap); /* no live block is left: each held a reference, or was NumPy's and counted (A1) */
    PyMem_Free(self->by_number);
    if (self->lock != NULL) PyThread_free_lock(self->lock);
    if (self->space != NULL) {
        self->space->heap = NULL;
        Py_DECREF(self->space);
    }
    Py_TYPE(self)->tp_free(self);
}

static PyObject *get_space(HeapObject *self, void *unused) { return Py_NewRef(self->space); }
static PyObject *get_capacity(HeapObject *self, void *unused) {
    return PyLong_FromUnsignedLongLong(hw_heap_head(&self->heap)->capacity_bytes);
}
static PyObject *get_granule(HeapObject *self, void *unused) {
    return PyLong_FromLong(1L << hw_heap_head(&self->heap)->granule_shift);
}
static PyObject *get_alignment(HeapObject *self, void *unused) { return PyLong_FromSsize_t(self->alignment); }
static PyObject *get_block_capacity(HeapObject *self, void *unused) {
    if (self->heap.blocks_fixed == 0) Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(self->heap.blocks_fixed);
}
static PyObject *get_strategy(HeapObject *self, void *unused) { return PyLong_FromLong(STRATEGY_OF(self)); }

static PyGetSetDef heap_getset[] = {
    {"upstream", (getter)get_space, NULL, "The space that the blocks lie in; the heap owns it.", NULL},
    {"space", (getter)get_space, NULL, "The same as upstream.", NULL},
    {"capacity_bytes", (getter)get_capacity, NULL, "Bytes that blocks and holes have together: whole granules.", NULL},
    {"granule_bytes", (getter)get_granule, NULL, "What every offset and allocated size is a multiple of.", NULL},
    {"alignment", (getter)get_alignment, NULL, "In bytes, for requests that name none.", NULL},
    {"decay_s", (getter)hw_heap_get_decay, (setter)hw_heap_set_decay,
     "Seconds for which the heap keeps what recent demand has needed; None: until trim(). May be set.", NULL},
    {"block_capacity", (getter)get_block_capacity, NULL,
     "Live blocks that the heap has room to describe, fixed when it was made; None: as many as come.", NULL},
    {"strategy_number", (getter)get_strategy, NULL, "Position of the strategy in STRATEGIES.", NULL},
    {NULL},
};

#define ALLOCATE_DOC                                                                                                   \
    "allocate($self, /, size_bytes, alignment=16)\n--\n\n"                                                             \
    "Return a live block of `size_bytes` bytes whose address is a multiple of `alignment`.\n\n"                        \
    "Its bytes are zeros where the memory was never used before, else what they were. The block lives as long as its\n" \
    "handle, or until deallocate().\n\nParameters\n----------\nsize_bytes\n    Bytes, or text such as '64KiB'. 0 is a "  \
    "block of its own.\nalignment\n    Power of two in bytes, at most the space's; without it the heap's.\n\n"           \
    "Raises\n------\nOutOfMemory\n    No hole is large enough, or the operating system gave no memory.\n"               \
    "InvalidAlignment, InvalidSize\n    An argument is not what it should be.\n\nComplexity: O(log n), n = holes; TLSF: constant."
#define TRY_ALLOCATE_DOC                                                                                               \
    "try_allocate($self, /, size_bytes, alignment=16)\n--\n\nThe same as allocate, but None where that raises OutOfMemory."
#define DEALLOCATE_DOC                                                                                                 \
    "deallocate($self, block, /)\n--\n\nFree a block; its hole coalesces with its neighbours at once. O(log n).\n\n"     \
    "Raises\n------\nViewExported\n    A view of it is exported; nothing was freed.\nInvalidFree\n    It was freed "    \
    "before, or is another heap's; nothing was freed."

/* The three hot methods, for a strategy that is a constant, or a field. */
#define HOT_METHODS(name, chosen)                                                                                      \
    static PyObject *name##_allocate(HeapObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {         \
        return allocate(self, chosen, true, args, n, names);                                                           \
    }                                                                                                                  \
    static PyObject *name##_try_allocate(HeapObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {     \
        return allocate(self, chosen, false, args, n, names);                                                          \
    }                                                                                                                  \
    static PyObject *name##_deallocate(HeapObject *self, PyObject *block) { return deallocate(self, chosen, block); }

#define HOT_ROWS(name)                                                                                                 \
    {"allocate", (PyCFunction)(void (*)(void))name##_allocate, METH_FASTCALL | METH_KEYWORDS, ALLOCATE_DOC},           \
        {"try_allocate", (PyCFunction)(void (*)(void))name##_try_allocate, METH_FASTCALL | METH_KEYWORDS,              \
         TRY_ALLOCATE_DOC},                                                                                            \
        {"deallocate", (PyCFunction)name##_deallocate, METH_O, DEALLOCATE_DOC}

#define FUSED_TYPE(name, title, chosen)                                                                                \
    HOT_METHODS(name, chosen)                                                                                          \
    static PyMethodDef name##_methods[] = {HOT_ROWS(name), {NULL}};                                                    \
    static PyTypeObject name##_type = {                                                                                \
        PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native." title,                                          \
        .tp_basicsize = sizeof(HeapObject),                                                                            \
        .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,                                                          \
        .tp_base = &HwHeap_Type,                                                                                       \
        .tp_methods = name##_methods,                                                                                  \
    };

HOT_METHODS(any, STRATEGY_OF(self))

static PyMethodDef heap_methods[] = {
    HOT_ROWS(any),
    {"reallocate", (PyCFunction)(void (*)(void))heap_reallocate, METH_FASTCALL,
     "reallocate($self, block, size_bytes, /)\n--\n\n"
     "Replace a block by one of another size with the same first bytes: in place where what follows it is free.\n\n"
     "The handle that is passed in is dead afterwards, whether or not the bytes moved; alignment is kept.\n\n"
     "Raises\n------\nViewExported, InvalidFree, OutOfMemory\n    As by deallocate and allocate; the block is as it was."},
    {"owns", (PyCFunction)heap_owns, METH_O,
     "owns($self, address, /)\n--\n\nSay whether an address lies in the heap's space. O(1)."},
    {"trim", (PyCFunction)(void (*)(void))hw_heap_trim_method, METH_VARARGS | METH_KEYWORDS, HW_HEAP_TRIM_DOC},
    {"trim_step", (PyCFunction)(void (*)(void))hw_heap_trim_step_method, METH_VARARGS | METH_KEYWORDS,
     HW_HEAP_TRIM_STEP_DOC},
    {"set_mark", (PyCFunction)hw_heap_set_mark_method, METH_NOARGS,
     "set_mark($self, /)\n--\n\nReturn a new mark as numbers. Use it through Heap.mark()."},
    {"release_mark", (PyCFunction)hw_heap_release_mark_method, METH_VARARGS,
     "release_mark($self, serial, depth, /)\n--\n\nFree every block since an open mark, and close it; False: it is closed."},
    {"is_mark_open", (PyCFunction)hw_heap_is_open_method, METH_VARARGS,
     "is_mark_open($self, serial, depth, /)\n--\n\nSay whether neither the mark nor an earlier one was released. O(1)."},
    {"decay_tick", (PyCFunction)(void (*)(void))hw_heap_decay_tick_method, METH_VARARGS | METH_KEYWORDS,
     HW_HEAP_DECAY_TICK_DOC},
    {"check", (PyCFunction)hw_heap_check_method, METH_NOARGS,
     "check($self, /)\n--\n\nWalk every invariant of the heap; raise CorruptedHeap with the evidence. O(n log n)."},
    {"counters", (PyCFunction)hw_heap_counters_method, METH_NOARGS,
     "counters($self, /)\n--\n\nReturn the fields of HeapStatistics as a dictionary. Asks the kernel for resident pages."},
    {"walk", (PyCFunction)hw_heap_walk_method, METH_NOARGS,
     "walk($self, /)\n--\n\nReturn (offset_bytes, size_bytes, requested_bytes, live) of all blocks and holes, by address."},
    {NULL},
};

PyTypeObject HwHeap_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "heapwright._native.Heap",
    .tp_doc = "Heap(space, strategy, alignment, block_capacity=0, /)\n--\n\nOne strategy over one space.",
    .tp_basicsize = sizeof(HeapObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = heap_new,
    .tp_dealloc = (destructor)heap_dealloc,
    .tp_methods = heap_methods,
    .tp_getset = heap_getset,
};

FUSED_TYPE(first, "FirstFitHeap", HW_FIRST_FIT)
FUSED_TYPE(best, "BestFitHeap", HW_BEST_FIT)
FUSED_TYPE(worst, "WorstFitHeap", HW_WORST_FIT)
FUSED_TYPE(next, "NextFitHeap", HW_NEXT_FIT)
FUSED_TYPE(tlsf, "TLSFHeap", HW_TLSF)
FUSED_TYPE(buddy, "BuddyHeap", HW_BUDDY)
FUSED_TYPE(slab, "SlabHeap", HW_SLAB)
FUSED_TYPE(bump, "BumpHeap", HW_BUMP)

static PyTypeObject *const FUSED_TYPES[HW_STRATEGIES] = {
    &first_type, &best_type, &worst_type, &next_type, &tlsf_type, &buddy_type, &slab_type, &bump_type,
};
const char *const HW_STRATEGY_NAMES[HW_STRATEGIES] = {
    "first-fit", "best-fit", "worst-fit", "next-fit", "tlsf", "buddy", "slab", "bump",
};

int hw_bind_heap(PyObject *module) {
    if (PyModule_AddType(module, &HwHeap_Type) < 0) return -1;
    PyObject *names = PyTuple_New(HW_STRATEGIES);
    int result = names ? PyModule_AddObjectRef(module, "STRATEGIES", names) : -1;
    for (int strategy = HW_FIRST_FIT; strategy < HW_STRATEGIES && result == 0; strategy++) {
        PyObject *name = PyUnicode_FromString(HW_STRATEGY_NAMES[strategy]);
        result = name ? PyModule_AddType(module, FUSED_TYPES[strategy]) : -1;
        if (name != NULL) PyTuple_SET_ITEM(names, strategy, name);
    }
    Py_XDECREF(names);
    return result;
}
